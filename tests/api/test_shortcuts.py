"""What the event loop answers by itself is what Django would answer; it leaves everything else to Django."""

import asyncio
import json
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from accounts import attempts, grants
from accounts.models import AppGrant, User
from accounts.tokens import read_authorization
from api.clock import now
from feeds.models import Feed
from tests.api.bothways import BothWays, run, sent_by
from tests.api.devices import Device
from tests.apps import App
from tests.direct import Server
from tests.feeds.known import known_feed
from tests.projecting import bring_up_to_date

LISTED = "/api/v1/subscriptions"
URL = "https://example.org/1.xml"


def follow(device: Device, url: str = URL) -> None:
    assert device.post("subscriptions", {"feed_url": url}).status_code == 201
    bring_up_to_date()
    assert device.get("subscriptions").status_code == 200


@pytest.fixture
def follows(phone: Device, settings: Settings) -> Device:
    """Alice's phone, whose list of one subscription the process has kept."""
    settings.API_REQUESTS_PER_MINUTE = 1_000
    known_feed(URL, title="Slow Radio")
    follow(phone)
    return phone


def test_a_kept_list_is_answered_as_django_answers(follows: Device, settings: Settings) -> None:
    settings.SECURE_HSTS_SECONDS = 60

    async def check(server: Server) -> None:
        both = BothWays(follows, server)
        headers = sent_by(follows, x_request_id="0123456789abcdef", balados_position="1")
        for address in (LISTED, f"{LISTED}?limit=1&unknown=2"):
            await server.send("GET", address, **headers)
            ours, theirs = await both.send("GET", address, **headers)
            assert ours == theirs
            assert (ours.answer[0], ours.used) == (200, 1)
            assert ours.lines[0]["request"] == ours.answer[1]["x-request-id"] == "0123456789abcdef"
            assert ours.lines[0]["app"] == follows.app.iss
            assert json.loads(ours.answer[2])["subscriptions"][0]["rss_feed_title"] == "Slow Radio"
        await asyncio.gather(*(server.by(False, "GET", LISTED, **headers) for _ in range(10)))

    run(check)


def test_what_is_not_certain_about_a_list_is_left_to_django(follows: Device) -> None:
    other = Device(follows.user_id, device_id="tablet-1")
    ours, theirs = sent_by(follows), sent_by(other)

    async def check(server: Server) -> None:
        token = ours["authorization"]
        requests: list[tuple[int, str, str, dict[str, Any]]] = [
            (200, "HEAD", LISTED, ours),
            (204, "OPTIONS", LISTED, ours),
            (200, "GET", f"{LISTED}?include=removed", ours),
            (200, "GET", f"{LISTED}?limit=7", ours),
            (400, "GET", f"{LISTED}?limit=0", ours),
            (400, "GET", f"{LISTED}?cursor=a", ours),
            (200, "GET", f"{LISTED}?unknown={'1' * 100}", ours),
            (401, "GET", LISTED, {}),
            (401, "GET", LISTED, {**ours, "authorization": "Bearer a.b.c"}),
            (401, "GET", LISTED, {**ours, "authorization": token[:-4]}),
            (401, "GET", LISTED, {**ours, "authorization": token.replace("Bearer", "Basic")}),
            (400, "GET", LISTED, {**ours, "host": "evil.example"}),
            (400, "GET", LISTED, {**ours, "balados_position": "x"}),
            (400, "GET", LISTED, {**ours, "balados_position": "99999"}),
            (200, "GET", LISTED, {**ours, "content_length": "2"}),
            (200, "GET", LISTED, theirs),
        ]
        for status, method, address, headers in requests:
            found = await server.by(True, method, address, **headers)
            assert found[0] == status, (method, address, headers, found)
        for headers in (ours, theirs, {**ours, "balados_position": "1"}):
            assert (await server.by(False, "GET", LISTED, **headers))[0] == 200

    run(check)


def test_a_list_that_has_changed_is_made_by_django(follows: Device) -> None:
    async def check(server: Server) -> None:
        headers = sent_by(follows)
        await server.by(False, "GET", LISTED, **headers)
        await asyncio.to_thread(Feed.objects.update, title="Slower Radio")
        for by_django in (True, False):
            _, _, body = await server.by(by_django, "GET", LISTED, **headers)
            assert json.loads(body)["subscriptions"][0]["rss_feed_title"] == "Slower Radio"
        await asyncio.to_thread(follows.post, "subscriptions", {"feed_url": "https://example.org/2.xml"})
        await asyncio.to_thread(bring_up_to_date)
        for by_django in (True, False):
            _, _, body = await server.by(by_django, "GET", LISTED, **headers)
            assert len(json.loads(body)["subscriptions"]) == 2

    run(check)


def test_what_is_taken_from_an_app_is_refused_in_the_next_request(alice: User) -> None:
    def revoke(user: User, app: App) -> None:
        grants.revoke(user.pk, app.iss)

    def change_key(user: User, app: App) -> None:
        signed = App(iss=app.iss, key="second").authorization(("*",))
        read = read_authorization(signed, now(), "https://balados.example")
        grants.authorize(user, read, replace_key=True)

    def narrow(user: User, app: App) -> None:
        AppGrant.objects.filter(app_id=app.iss).update(scopes=["user.plays"])

    def deactivate(user: User, app: App) -> None:
        User.objects.filter(pk=user.pk).update(is_active=False)

    ends = {revoke: 401, change_key: 401, narrow: 403, deactivate: 401}
    devices = [Device(alice.pk, App(iss=f"org.example.{number}")) for number in range(len(ends))]
    for device in devices:
        device.app.grant(alice)
    follow(devices[0])
    for device in devices:
        device.get("subscriptions")

    async def check(server: Server) -> None:
        for device, (end, status) in zip(devices, ends.items(), strict=True):
            await server.by(False, "GET", LISTED, **sent_by(device))
            await asyncio.to_thread(end, alice, device.app)
            assert (await server.by(True, "GET", LISTED, **sent_by(device)))[0] == status, end

    run(check)


def test_a_token_that_expires_is_refused(follows: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check(server: Server) -> None:
        await server.by(False, "GET", LISTED, **sent_by(follows))
        for module in ("api.v1.shortcuts", "api.auth"):
            monkeypatch.setattr(f"{module}.now", lambda: now() + timedelta(hours=2))
        assert (await server.by(True, "GET", LISTED, **sent_by(follows)))[0] == 401

    run(check)


def test_the_limit_of_requests_holds_for_both_ways_together(follows: Device, settings: Settings) -> None:
    settings.API_REQUESTS_PER_MINUTE = 110  # two are counted in advance
    answered = 0

    async def check(server: Server) -> None:
        nonlocal answered
        for number in range(300):
            how = server.send if number % 3 else partial(server.by, True)
            address = LISTED if number % 3 else f"{LISTED}?include=removed"
            status, _, _ = await how("GET", address, **sent_by(other))
            if status == 429:
                break
            assert status == 200
            answered += 1

    other = Device(follows.user_id, App(iss="org.example.other"))
    other.app.grant(User.objects.get(pk=follows.user_id))
    run(check)
    assert answered == 110


def test_the_first_request_of_a_minute_is_counted_and_the_first_of_an_hour_noted(
    follows: Device, settings: Settings
) -> None:
    settings.API_REQUESTS_PER_MINUTE = 110  # two are counted in advance
    AppGrant.objects.update(last_used_at=None)
    attempts._counted.clear()
    grants._noted.clear()

    async def check(server: Server) -> None:
        assert (await server.by(False, "GET", LISTED, **sent_by(follows)))[0] == 200

    run(check)
    assert AppGrant.objects.get().last_used_at == now().replace(minute=0, second=0, microsecond=0)
    assert attempts._counted["requests", f"{follows.user_id} {follows.app.iss}"][0] == 1


def test_a_forged_token_is_refused(follows: Device) -> None:
    forged = Device(follows.user_id, App(iss=follows.app.iss, key="second"))

    async def check(server: Server) -> None:
        assert (await server.by(True, "GET", LISTED, **sent_by(forged)))[0] == 401

    run(check)


def test_while_a_store_is_away_django_answers(follows: Device) -> None:
    async def check(server: Server) -> None:
        for pipeline in (server.shortcuts.system, server.shortcuts.projections):
            await server.by(False, "GET", LISTED, **sent_by(follows))
            pipeline._close(TimeoutError())
            assert (await server.by(True, "GET", LISTED, **sent_by(follows)))[0] == 200
            await server.connect()

    run(check)


def test_reads_from_replicas_are_left_to_django(follows: Device, settings: Settings) -> None:
    settings.PROJECTIONS_REPLICAS = ["projections"]

    async def check(server: Server) -> None:
        assert (await server.by(True, "GET", LISTED, **sent_by(follows)))[0] == 200

    run(check)
