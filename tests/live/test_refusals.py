"""Who is not let in, which messages are refused, and when a connection ends: each with its close code."""

import json
import os
import socket as sockets
from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import OperationalError
from django.utils import timezone
from pytest_django.fixtures import Settings
from websockets.exceptions import InvalidStatus

from accounts import grants
from accounts.erasure import begin as begin_erasure
from accounts.models import PlayToken, User
from accounts.tokens import read_authorization
from live.limits import Limits
from tests.api.devices import Device, count_events, feed, play
from tests.apps import App
from tests.live.sockets import WAIT, Gateway, Socket

Connect = Callable[..., Socket]


def auth(socket: Socket, token: object, **more: object) -> None:
    socket.send({"type": "auth", "token": token, **more})


def token_of(device: Device) -> str:
    return device.headers["Authorization"].removeprefix("Bearer ")


def test_who_says_nothing_is_closed(stores: None) -> None:
    with Gateway(authenticate_within=0.05) as gateway:
        socket = Socket(gateway.port)
        assert socket.closing() == (4408, "auth_timeout")


@pytest.mark.parametrize(
    "first", ['{"type": "ping"}', '{"type": "record_play", "id": "x"}', "not JSON", "[]", '{"type": "auth"}']
)
def test_the_first_message_authenticates(connect: Connect, first: str) -> None:
    socket = connect()
    socket.socket.send(first)
    assert socket.closing() == (4401, "auth_first")


def test_a_token_that_is_none_is_told_so(connect: Connect, phone: Device, charlie: User) -> None:
    expired = Device(phone.user_id, iat=1_700_000_000, exp=1_700_000_060)
    stranger = Device(charlie.pk)
    words = {
        token_of(expired): "token_expired",
        token_of(stranger): "not_authenticated",
        "x" * 43: "not_authenticated",
        "ticket.none": "not_authenticated",
        "a.b.c": "invalid_token",
    }
    for token, reason in words.items():
        socket = connect()
        auth(socket, token)
        assert socket.closing() == (4401, reason)


def test_a_second_token_renews_but_never_changes_whose_it_is(
    connect: Connect, phone: Device, tablet: Device, bobs: Device
) -> None:
    socket = connect(phone)
    auth(socket, token_of(phone))
    assert socket.receive()["type"] == "ready"
    for other in (tablet, bobs):
        auth(socket, token_of(other))
        refused = socket.receive()
        assert (refused["type"], refused["status"], refused["errors"][0]["code"]) == (
            "error",
            403,
            "other_client",
        )
    bobs.post("plays", play())
    assert socket.command("record_play", **play(position=3))["status"] == 200


def test_a_revoked_app_is_closed_and_records_nothing_more(
    gateway: Gateway, connect: Connect, phone: Device, tablet: Device
) -> None:
    listening, sending = connect(phone), connect(tablet)
    grants.revoke(phone.user_id, App().iss)
    before = count_events()
    sending.send({"type": "record_play", "id": str(uuid4()), **play()})
    assert sending.closing() == (4403, "revoked")
    assert sending.pushed[-1]["status"] == 401
    gateway.check()
    assert listening.closing() == (4403, "revoked")
    assert count_events() == before


def test_within_five_seconds_and_by_itself_whoever_may_not_go_on_is_closed(
    stores: None, alice: User, phone: Device, bobs: Device
) -> None:
    usual = Limits()
    assert usual.authenticate_within == 10.0
    assert usual.check_every + usual.close_within < 5.0
    with Gateway(check_every=usual.check_every) as gateway:
        mine, bobs_own = Socket(gateway.port), Socket(gateway.port)
        mine.authenticate(phone)
        bobs_own.authenticate(bobs)
        grants.revoke(alice.pk, App().iss)
        begin_erasure(bobs.user_id, timezone.now())
        head = count_events()
        # at most WAIT, as a busy machine may take longer than the 5 seconds that are intended
        ended = [socket.closing() for socket in (mine, bobs_own)]
        assert ended == [(4403, "revoked"), (4403, "account_closed")]
    assert count_events() == head


def test_a_closed_account_and_a_replaced_key_end_their_connections(
    gateway: Gateway, connect: Connect, alice: User, phone: Device, bobs: Device, bob: User
) -> None:
    mine, bob_listens = connect(phone), connect(bobs)
    User.objects.filter(pk=bob.pk).update(is_active=False)
    other = App(key="second").authorization(), timezone.now(), "http://localhost:8000"
    grants.authorize(alice, read_authorization(*other), replace_key=True)
    gateway.check()
    assert bob_listens.closing() == (4403, "account_closed")
    assert mine.closing() == (4403, "key_replaced")


def test_an_expired_token_ends_its_connection(
    gateway: Gateway, connect: Connect, phone: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    socket = connect(phone)
    sending = connect(phone)
    before = count_events()
    for clock in ("live.server.now", "live.connection.now", "api.auth.now"):
        monkeypatch.setattr(clock, lambda: timezone.now() + timedelta(hours=2))
    sending.send({"type": "record_play", "id": str(uuid4()), **play()})
    assert sending.closing() == (4401, "token_expired")
    gateway.check()
    assert socket.closing() == (4401, "token_expired")
    assert count_events() == before


def test_fewer_scopes_count_at_once(
    gateway: Gateway, connect: Connect, alice: User, phone: Device, tablet: Device
) -> None:
    socket = connect(phone)
    App().grant(alice, ["user.subscriptions.read"])
    gateway.check()
    # whichever scopes its own token names
    claiming = connect(Device(alice.pk, scopes=["*"]))
    for each in (socket, claiming):
        refused = each.command("record_play", **play())
        assert (refused["status"], refused["errors"][0]["code"]) == (403, "scope_missing")
    App().grant(alice, ["user.subscriptions.read", "user.plays.write", "user.subscriptions.write"])
    tablet.post("plays", play())
    tablet.post("subscriptions", {"rss_source_feed": feed()})
    assert list(socket.changes()["data"]) == ["subscriptions"]


def test_a_play_token_records_plays_and_nothing_else(
    gateway: Gateway, connect: Connect, alice: User, phone: Device
) -> None:
    row, text = PlayToken.objects.issue(alice, "Car", timezone.now())
    listening, car = connect(phone), connect()
    auth(car, text)
    assert car.receive()["cursor"] is None
    assert car.command("record_play", **play(position=12))["status"] == 200
    assert listening.changes()["data"]["play_statuses"][0]["position"] == 12
    for kind in ("subscribe", "save_episode", "set_privacy", "create_playlist"):
        fields = {"rss_source_feed": feed(), "rss_source_item": play()["rss_source_item"]}
        assert car.command(kind, **fields)["status"] == 403, kind
    phone.post("plays", play(position=99))
    row.delete()
    car.send({"type": "record_play", "id": str(uuid4()), **play()})
    assert car.closing() == (4403, "revoked")
    assert car.pushed == []


def test_a_play_token_that_is_over_is_refused(connect: Connect, alice: User) -> None:
    hour = timedelta(hours=1)
    _, text = PlayToken.objects.issue(alice, "Car", timezone.now() - 2 * hour, timezone.now() - hour)
    socket = connect()
    auth(socket, text)
    assert socket.closing() == (4401, "not_authenticated")


def test_a_play_token_of_single_lists_is_refused(connect: Connect, alice: User) -> None:
    _, text = PlayToken.objects.issue(alice, "Car", timezone.now(), lists=["subscriptions"])
    socket = connect()
    auth(socket, text)
    assert socket.closing() == (4401, "token_limited")


def test_a_cookie_says_nothing(connect: Connect, alice: User) -> None:
    from django.test import Client

    client = Client()
    client.force_login(alice)
    cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    for origin in ("http://localhost:8000", "https://evil.example", "null"):
        socket = connect(Cookie=cookies, Origin=origin)
        socket.send({"type": "auth"})
        assert socket.closing() == (4401, "auth_first"), origin


def test_what_is_no_message_is_refused_by_its_code(connect: Connect, phone: Device) -> None:
    frames: dict[int, Callable[[Socket], None]] = {
        1003: lambda socket: socket.socket.send(b"{}"),
        1007: lambda socket: socket.socket.send(b'{"type": "\xff"}', text=True),
        1009: lambda socket: socket.socket.send('{"type": "' + "x" * 64 * 1024 + '"}'),
    }
    for code, send in frames.items():
        socket = connect(phone)
        send(socket)
        assert socket.closing()[0] == code


def test_the_largest_message_is_read_and_none_that_is_a_byte_longer(connect: Connect, phone: Device) -> None:
    socket, begun = connect(phone), '{"type": "'
    longest = begun + "x" * (64 * 1024 - len(begun) - 2) + '"}'
    socket.socket.send(longest)
    assert socket.receive()["status"] == 400
    socket.socket.send(longest.replace("x", "xx", 1))
    assert socket.closing()[0] == 1009


def test_fragments_without_end_are_cut_off(connect: Connect, phone: Device) -> None:
    socket = connect(phone)

    def fragments() -> Iterator[str]:
        while True:
            yield "x" * 1_000

    with pytest.raises(Exception, match="1009"):
        socket.socket.send(fragments())


@pytest.mark.parametrize(
    "text",
    [
        "not JSON",
        "[" * 5_000,
        "{}",
        '{"type": 5}',
        '{"type": "record_play"}',
        '{"type": "record_play", "id": 5}',
        '{"type": "record_play", "id": "' + "x" * 36 + '"}',
        '{"type": "drop_tables", "id": "6f0a1f4c-58a5-4c0c-8f3e-0d6a1c5d7b11"}',
        '{"type": "record_play", "id": "6f0a1f4c-58a5-4c0c-8f3e-0d6a1c5d7b11", "position": NaN}',
        '{"type": "record_play", "id": "6f0a1f4c-58a5-4c0c-8f3e-0d6a1c5d7b11", "title": "\\ud800"}',
        '{"type": "record_play", "id": "6f0a1f4c-58a5-4c0c-8f3e-0d6a1c5d7b11"}',
        '{"type": "unsubscribe", "id": "6f0a1f4c-58a5-4c0c-8f3e-0d6a1c5d7b11"}',
        '{"type": "save_episode", "id": "6f0a1f4c-58a5-4c0c-8f3e-0d6a1c5d7b11", "guid": "\\u0000"}',
        '{"type": "unsubscribe", "id": "6f0a1f4c-58a5-4c0c-8f3e-0d6a1c5d7b11", "rss_source_feed": "../me"}',
        '{"type": "delete_playlist", "id": "6f0a1f4c-58a5-4c0c-8f3e-0d6a1c5d7b11", "playlist_id": "a/b"}',
    ],
)
def test_a_message_that_cannot_be_acted_upon_is_answered(connect: Connect, phone: Device, text: str) -> None:
    socket = connect(phone)
    before = count_events()
    socket.socket.send(text)
    refused = socket.receive()
    assert (refused["type"], refused["status"]) == ("error", 400)
    assert refused["errors"][0]["detail"]
    socket.send({"type": "ping"})
    assert socket.receive() == {"type": "pong"}
    assert count_events() == before


def test_every_fault_of_a_command_is_named(connect: Connect, phone: Device) -> None:
    refused = connect(phone).command("record_play", rss_source_feed="?", position=-1, played="yes")
    assert refused["status"] == 400
    assert {fault["attr"] for fault in refused["errors"]} >= {"rss_source_feed", "position", "played"}


def test_a_message_sent_again_on_a_new_connection_counts_once(connect: Connect, phone: Device) -> None:
    id_, before = str(uuid4()), count_events()
    first = connect(phone)
    answer = first.command("record_play", id_, **play(position=40))
    first.close()
    again = connect(phone).command("record_play", id_, **play(position=40))
    assert again == answer
    assert count_events() == before + 1
    other = connect(phone).command("record_play", id_, **play(position=41))
    assert (other["status"], other["errors"][0]["code"]) == (422, "idempotency_key_reused")


def test_a_flood_is_cut_off(stores: None, alice: User, phone: Device) -> None:
    with Gateway(at_once=50) as gateway:
        socket = Socket(gateway.port)
        socket.authenticate(phone)
        for _ in range(50):
            socket.send({"type": "ping"})
        gateway.now += 1.0  # after a second twenty more messages are allowed
        for _ in range(71):
            socket.send({"type": "ping"})
        assert socket.closing() == (4429, "too_many_messages")


def test_a_listener_has_so_many_connections(phone: Device, bobs: Device) -> None:
    with Gateway(per_user=3) as gateway:
        kept = [Socket(gateway.port) for _ in range(3)]
        for each in kept:
            each.authenticate(phone)
        fourth = Socket(gateway.port)
        auth(fourth, token_of(phone))
        assert fourth.closing() == (4429, "too_many_connections")
        Socket(gateway.port).authenticate(bobs)
        kept[0].close()
        while gateway.live.census.connections > 3:
            pass
        Socket(gateway.port).authenticate(phone)


def test_a_full_process_and_a_crowding_address_are_told_to_wait(stores: None) -> None:
    for limits, status in (({"connections": 1}, 503), ({"unauthenticated_per_address": 1}, 429)):
        with Gateway(**limits) as gateway:
            Socket(gateway.port)
            with pytest.raises(InvalidStatus) as refused:
                Socket(gateway.port)
            assert refused.value.response.status_code == status
            assert refused.value.response.headers["Retry-After"] == "5"


def test_an_address_that_guesses_is_told_to_stop(connect: Connect, settings: Settings) -> None:
    settings.API_FAILURES_PER_MINUTE = 3
    found = []
    for _ in range(5):
        socket = connect(**{"X-Forwarded-For": os.urandom(4).hex()})
        auth(socket, "x" * 43)
        found.append(socket.closing())
    assert found[:3] == [(4401, "not_authenticated")] * 3
    assert found[3:] == [(4429, "too_many_failures")] * 2


def test_other_addresses_are_not_found_and_no_web_socket_is_no_fault(gateway: Gateway) -> None:
    for path, status in (("/api/v1/me", 404), ("/api/v1/live", 200), ("/health/live", 200)):
        with sockets.create_connection(("127.0.0.1", gateway.port), WAIT) as plain:
            plain.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert plain.recv(1_000).decode().split()[1] == str(status), path
    Socket(gateway.port, "/sync/api/v1/live")


def test_while_a_store_is_away_it_says_so_and_goes_on_afterwards(
    connect: Connect, phone: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise OperationalError("away")

    socket = connect(phone)
    with monkeypatch.context() as outage:
        outage.setattr("api.answers.dispatch", away)
        refused = socket.command("record_play", **play())
        assert (refused["status"], refused["errors"][0]["code"]) == (503, "unavailable")
        assert refused["retry_after"] > 0
        outage.setattr("live.clients.grants.authenticate", away)
        other = connect()
        auth(other, token_of(phone))
        assert other.closing() == (1013, "unavailable")
    assert socket.command("record_play", **play())["status"] == 200


def test_nothing_of_a_token_is_logged(
    connect: Connect, phone: Device, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    socket = connect(phone)
    socket.command("record_play", **play())
    socket.socket.send(json.dumps({"type": "auth", "token": "x" * 43}))
    socket.closing()
    ours = [record.getMessage() for record in caplog.records if record.name != "websockets.client"]
    for secret in (token_of(phone), "x" * 43, play()["rss_source_item"]):
        assert not any(secret in line for line in ours)
