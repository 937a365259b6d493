"""Hubs on loopback: what they are asked, what they may send, and what happens to a feed then."""

import os
import subprocess
import sys
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings as configuration
from django.test import Client
from django.utils import timezone
from msgspec.structs import replace
from pytest_django.fixtures import Settings

from balados import redaction
from balados import urls as _of_an_instance_without_it  # noqa: F401  before any test switches it on
from feeds import hubs
from feeds.claims import claim_one, finish
from feeds.fetch import Request, fetch_one
from feeds.hubs import renew
from feeds.models import Feed, FeedSchedule, HubSubscription
from jobs.feeds import renew_hubs
from tests.feeds.origin import Hub, Origin, answer, cut_off, redirect, status_only
from tests.feeds.pumping import follow, item, make_due, pump, rss, schedule

pytestmark = pytest.mark.usefixtures("stores")

DAY = timedelta(days=1)


@pytest.fixture
def websub(settings: Settings) -> Client:
    """An HTTP client of an instance that subscribes to hubs."""
    settings.WEBSUB = True
    settings.PUBLIC_URL = "https://balados.example"
    settings.ROOT_URLCONF = "tests.feeds.hub_addresses"
    return Client(enforce_csrf_checks=True)


def document(origin: Origin, *, hub: str = "/hub", topic: str = "/feed") -> bytes:
    links = f'<a:link rel="hub" href="{origin.url(hub)}"/><a:link rel="self" href="{origin.url(topic)}"/>'
    return rss(item(1), more=links.replace("<a:link", '<a:link xmlns:a="http://www.w3.org/2005/Atom"'))


def follow_in_public(origin: Origin, *paths: str) -> list[int]:
    """Follow feeds as if their addresses were not secret, as addresses in private networks normally are."""
    found = follow(origin, *paths)
    Feed.objects.update(is_secret=False)
    return found


def fetched_twice(origin: Origin) -> int:
    """A feed whose document names the hub, fetched twice, so that it may be subscribed to at the hub."""
    origin.on("/feed", answer(document(origin), etag='"1"'))
    (feed_id,) = follow_in_public(origin, "/feed")
    pump()
    assert renew(timezone.now()).asked == 0
    make_due()
    pump()
    return feed_id


def subscribed(origin: Origin, client: Client) -> tuple[int, Hub]:
    feed_id, hub = fetched_twice(origin), Hub(origin)
    renew(timezone.now())
    response = client.get(hub.intent())
    assert (response.status_code, response.content) == (200, b"ch4llenge")
    return feed_id, hub


def due_in(feed_id: int) -> timedelta:
    next_at = schedule(feed_id).next_at
    assert next_at is not None
    return next_at - timezone.now()


def test_a_hub_is_asked_after_the_second_good_fetch_and_tells_of_news(origin: Origin, websub: Client) -> None:
    feed_id, hub = fetched_twice(origin), Hub(origin)
    renew_hubs()
    (asked,) = hub.asked
    (row,) = HubSubscription.objects.all()
    assert asked == {
        "hub.mode": "subscribe",
        "hub.topic": origin.url("/feed"),
        "hub.callback": f"https://balados.example/websub/{row.callback}",
        "hub.lease_seconds": "864000",
    }
    assert websub.post(hub.callback).status_code == 410  # the hub has not verified the subscription yet
    response = websub.get(hub.intent())
    assert (response.status_code, response.content) == (200, b"ch4llenge")
    assert response.headers["Content-Type"].startswith("text/plain")
    assert due_in(feed_id) > timedelta(hours=1)
    push = websub.post(hub.callback, data=b"<rss>forged</rss>", content_type="application/rss+xml")
    assert (push.status_code, push.content) == (204, b"")
    assert pump() == 1
    assert Feed.objects.get().title == "Show"
    # the hub announces news, so the feed is fetched less often; its stored interval does not change
    assert due_in(feed_id) > timedelta(hours=10.7)
    assert schedule(feed_id).interval_s == 6 * 60 * 60


def test_what_a_forger_says_is_not_believed(origin: Origin, websub: Client) -> None:
    feed_id, hub = fetched_twice(origin), Hub(origin)
    assert websub.get(f"/websub/{'x' * 43}?hub.mode=subscribe&hub.topic=x&hub.challenge=x").status_code == 404
    renew(timezone.now())
    refused = {
        "another topic": hub.intent(topic="https://elsewhere.example/feed"),
        "a topic that no row takes": hub.intent(topic="\0"),
        "no challenge": hub.intent(challenge=""),
        "a long challenge": hub.intent(challenge="x" * 2_001),
        "an end that we did not ask for": hub.intent("unsubscribe"),
        "another callback": hub.intent().replace(hub.callback, f"/websub/{'x' * 43}"),
    }
    for name, path in refused.items():
        assert websub.get(path).status_code == 404, name
    assert HubSubscription.objects.get().lease_until is None
    HubSubscription.objects.update(asked_at=timezone.now() - timedelta(hours=2))
    assert websub.get(hub.intent()).status_code == 404  # the subscription was requested, but too long ago
    before = schedule(feed_id).next_at
    for path in (hub.callback, f"/websub/{'x' * 43}"):
        assert websub.post(path, data=b"<rss/>", content_type="text/xml").status_code == 410
    assert websub.post("/websub/short").status_code == 404
    assert websub.put(hub.callback).status_code == 405
    assert schedule(feed_id).next_at == before


def test_a_flood_of_pushes_is_a_fetch_a_minute(origin: Origin, websub: Client) -> None:
    feed_id, hub = subscribed(origin, websub)
    now = timezone.now()
    callback = hub.callback.removeprefix("/websub/")
    due: list[datetime] = []
    for second in range(150):
        at = now + timedelta(seconds=second)
        assert hubs.push(callback, at)
        next_at = schedule(feed_id).next_at
        assert next_at is not None
        if next_at <= at:  # the pump takes it
            due.append(next_at)
            FeedSchedule.objects.update(next_at=at + DAY / 2)
    assert due == [now, now + timedelta(seconds=60), now + timedelta(seconds=120)]
    # and the last push is not forgotten
    assert schedule(feed_id).next_at == now + timedelta(seconds=180)


def test_a_push_during_a_fetch_is_not_forgotten(origin: Origin, websub: Client) -> None:
    feed_id, hub = subscribed(origin, websub)
    callback = hub.callback.removeprefix("/websub/")
    now = timezone.now()

    def fetch_from(start: datetime) -> datetime | None:
        claimed = claim_one(feed_id, start, at_once=True)
        assert claimed is not None
        if start == now:
            hubs.push(callback, now + timedelta(seconds=1))
            assert claim_one(feed_id, now + timedelta(seconds=2), at_once=True)  # by another process
        finish([(claimed, replace(claimed.schedule, next_at=start + DAY))])
        return schedule(feed_id).next_at

    assert fetch_from(now) == now + timedelta(seconds=1)
    assert fetch_from(now + timedelta(seconds=3)) == now + timedelta(seconds=3) + DAY


def test_a_push_puts_nothing_off_and_wakes_nothing_that_nobody_wants(origin: Origin, websub: Client) -> None:
    feed_id, hub = subscribed(origin, websub)
    make_due()
    before = schedule(feed_id).next_at
    websub.post(hub.callback)
    assert schedule(feed_id).next_at == before
    FeedSchedule.objects.update(next_at=None)
    HubSubscription.objects.update(due_at=None)
    assert websub.post(hub.callback).status_code == 204
    assert schedule(feed_id).next_at is None
    renew(timezone.now())
    assert websub.post(hub.callback).status_code == 410


def test_a_lease_is_renewed_at_four_fifths_of_it_under_the_same_callback(
    origin: Origin, websub: Client
) -> None:
    _, hub = subscribed(origin, websub)
    now = timezone.now()
    assert renew(now + 7.9 * DAY).asked == 0
    assert renew(now + 8.1 * DAY).accepted == 1
    assert hub.asked[0] == hub.asked[1]
    assert websub.post(hub.callback).status_code == 204
    # an unverified subscription is requested again a day later, and an expired one no longer counts
    assert renew(now + 9 * DAY).asked == 0
    assert renew(now + 9.2 * DAY).asked == 1
    assert not hubs.push(hub.callback.removeprefix("/websub/"), now + 11 * DAY)


def test_a_lease_is_believed_within_reason(origin: Origin, websub: Client) -> None:
    _, hub = subscribed(origin, websub)
    longest, shortest = 30 * DAY, timedelta(minutes=5)
    cases = {
        "1": shortest,
        "0": shortest,
        "9" * 12: DAY,
        "9" * 10: longest,
        "-4": DAY,
        "x": DAY,
        "7200": DAY / 12,
    }
    for seconds, lease in cases.items():
        now = timezone.now()
        assert websub.get(hub.intent(lease_seconds=seconds)).status_code == 200
        until = HubSubscription.objects.get().lease_until
        assert until is not None, seconds
        assert timedelta(0) <= until - now - lease < timedelta(seconds=5), seconds


def test_a_hub_that_refuses_is_asked_again_the_next_day(origin: Origin, websub: Client) -> None:
    _, hub = subscribed(origin, websub)
    assert websub.get(hub.intent("denied")).status_code == 200
    assert websub.post(hub.callback).status_code == 410
    assert websub.get(hub.intent()).status_code == 404
    assert renew(timezone.now() + timedelta(hours=23)).asked == 0
    assert renew(timezone.now() + timedelta(hours=25)).asked == 1


def test_the_header_counts_more_than_the_document_and_the_topic_never_becomes_the_address(
    origin: Origin, websub: Client
) -> None:
    links = [
        ("Link", f'<{origin.url("/style")}>; rel=stylesheet, </hub2>; rel="hub"; title=x'),
        ("Link", f"<{origin.url('/topic')}>; REL = self"),
        ("Link", "<\0http://x>; rel=hub, <javascript:1>; rel=hub, <>, rel=hub, <"),
    ]
    links[2] = ("Link", links[2][1].replace("\0", ""))
    origin.on("/feed", answer(document(origin), headers=links))
    (feed_id,) = follow_in_public(origin, "/feed")
    pump()
    feed = Feed.objects.get(pk=feed_id)
    assert (feed.hub_url, feed.self_url) == (origin.url("/hub2"), origin.url("/topic"))
    hub = Hub(origin, "/hub2")
    renew(timezone.now())
    make_due()
    pump()
    renew(timezone.now())
    assert hub.asked[0]["hub.topic"] == origin.url("/topic")
    websub.get(hub.intent())
    websub.post(hub.callback)
    pump()
    assert Feed.objects.get(pk=feed_id).url == origin.url("/feed")
    assert len(origin.asked("/feed")) == 3
    assert origin.asked("/topic") == []


def test_no_hub_is_told_of_a_secret_feed(origin: Origin, websub: Client) -> None:
    path = "/feed?token=geheim"
    origin.on(path, answer(document(origin, topic="/other")))
    hub = Hub(origin)
    follow(origin, path)
    for _ in range(2):
        make_due()
        pump()
        renew(timezone.now())
    assert Feed.objects.get().is_secret
    assert Feed.objects.get().hub_url == hub.url
    assert (hub.asked, HubSubscription.objects.count()) == ([], 0)


def test_a_hub_in_a_private_network_is_not_asked(origin: Origin, websub: Client, settings: Settings) -> None:
    feed_id = fetched_twice(origin)
    hub = Hub(origin)
    settings.FEED_ALLOW_NETWORKS = []
    done = renew(timezone.now())
    assert (done.asked, done.accepted, hub.asked) == (1, 0, [])
    assert HubSubscription.objects.get(pk=feed_id).asked_at is None


def test_a_dead_hub_is_asked_once_in_a_run_and_its_feeds_are_fetched_as_ever(
    origin: Origin, websub: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubs, "AT_A_TIME", 1)
    paths = [f"/feed{number}" for number in range(5)]
    with cut_off() as port:
        configuration.FEED_PORTS.append(port)
        for path in paths:
            body = document(origin, topic=path).replace(
                f":{origin.port}/hub".encode(), f":{port}/hub".encode()
            )
            origin.on(path, answer(body))
        feeds = follow_in_public(origin, *paths)
        for _ in range(2):
            make_due()
            pump()
            done = renew(timezone.now())
    assert (done.asked, done.accepted) == (1, 0)
    assert [timedelta(hours=5) < due_in(feed_id) < timedelta(hours=7) for feed_id in feeds] == [True] * 5
    assert renew(timezone.now()).asked == 0


def test_a_form_is_not_sent_to_where_it_would_be_lost(origin: Origin) -> None:
    origin.on("/found", redirect("/hub", 302))
    origin.on("/kept", redirect("/hub", 307))
    hub = Hub(origin)
    assert fetch_one(Request(origin.url("/found"), form="a=1")).code == "bad_answer"
    assert fetch_one(Request(origin.url("/kept"), form="a=1")).status == 202
    assert hub.asked == [{"a": "1"}]


def test_a_handle_that_posted_asks_as_ever_afterwards(origin: Origin) -> None:
    from feeds.fetch import fetch

    origin.on("/hub", status_only(202))
    origin.on("/feed", answer(b"<rss/>"))
    requests = [Request(origin.url("/hub"), form="a=1"), Request(origin.url("/feed"))]
    assert [outcome.status for outcome in fetch(requests, concurrency=1)] == [202, 200]
    assert [(asked.method, asked.body) for asked in origin.requests] == [("POST", b"a=1"), ("GET", b"")]


def test_what_a_feed_no_longer_says_is_over(origin: Origin, websub: Client) -> None:
    feed_id, hub = subscribed(origin, websub)
    Hub(origin, "/hub2")
    origin.on("/feed", answer(document(origin, hub="/hub2")))
    make_due()
    pump()
    renew(timezone.now())
    assert websub.post(hub.callback).status_code == 410
    assert HubSubscription.objects.get(pk=feed_id).hub == origin.url("/hub2")


def test_hubs_are_off_unless_somebody_switches_them_on(origin: Origin) -> None:
    fetched: Any = fetched_twice(origin)
    HubSubscription.objects.update(lease_until=timezone.now() + DAY)
    make_due()
    pump()
    assert due_in(fetched) < timedelta(hours=7)
    hub, before = Hub(origin), list(HubSubscription.objects.values())
    renew_hubs()
    assert (hub.asked, list(HubSubscription.objects.values())) == ([], before)
    for method in ("get", "post"):
        assert getattr(Client(), method)(f"/websub/{'x' * 43}").status_code == 404
    assert "renew hubs" not in configuration.CELERY_BEAT_SCHEDULE


def test_an_instance_that_asks_hubs_has_an_address_for_them_and_the_hour_of_it() -> None:
    program = (
        "import django; django.setup(); from django.conf import settings; from django.urls import resolve;"
        f"print(resolve('/websub/{'x' * 43}').route, settings.CELERY_BEAT_SCHEDULE['renew hubs']['task'])"
    )
    environment = {"WEBSUB": "true", "PUBLIC_URL": "https://balados.example"}
    environment["DJANGO_SETTINGS_MODULE"] = "balados.settings"
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["^websub/(?P<name>[A-Za-z0-9_-]{43})$", "jobs.feeds.renew_hubs"]


def test_no_log_has_what_opens_a_callback() -> None:
    for callback in ("x" * 43, "only-letters_and_signs" * 2):
        for line in (
            f"GET /websub/{callback} failed",
            f"/websub/{callback}?hub.mode=subscribe",
            f"websub/{callback}",
        ):
            assert callback not in redaction.text(line)
