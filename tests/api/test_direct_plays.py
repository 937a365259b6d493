"""Plays that the event loop records are recorded as Django records them, and each once."""

import asyncio
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from accounts.models import AppGrant
from api.v1.shortcuts import ATTEMPTS
from eventstore import counters
from eventstore.log import NOTIFICATION_CHANNEL, stream_name
from projections.connect import connect
from tests.api.bothways import BothWays, run, sent_by
from tests.api.devices import Device, b64, feed, item, play
from tests.direct import Server

PLAYS = "/api/v1/plays"
EVENTS = """
SELECT version, type, schema, data - 'user_id', metadata
  FROM events.events JOIN events.streams ON id = stream WHERE name = %s AND version > 1 ORDER BY version"""
ENTRIES = """
SELECT topic, key, snapshots.name, state
  FROM events.snapshots JOIN events.streams ON id = stream WHERE streams.name = %s ORDER BY topic, key"""


@pytest.fixture
def limited(settings: Settings) -> None:
    settings.API_REQUESTS_PER_MINUTE = 100_000


@pytest.fixture
def plays(phone: Device, limited: None) -> Device:
    """Alice's phone, which has recorded a play."""
    return begun(phone)


@pytest.fixture
def bob_plays(bobs: Device, limited: None) -> Device:
    bobs.claims |= {"device_id": "phone-1", "device_name": "Alice's phone"}
    return begun(bobs)


def begun(device: Device) -> Device:
    assert device.post("plays", play(99, played_at="2026-05-01T12:00:00Z")).status_code == 200
    return device


def body_of(*numbers: Any, **changes: Any) -> bytes:
    return json.dumps(play(*numbers, **changes)).encode()


def stored(user_id: UUID) -> tuple[list[Any], list[Any]]:
    """Return the events of a listener after the first, and the entries."""
    with connect("events") as connection:
        events, kept = (
            connection.execute(statement, [stream_name(user_id)]).fetchall()
            for statement in (EVENTS, ENTRIES)
        )
    return events, [row for row in kept if row[0] != "subscriptions"]


def recorded(device: Device) -> list[int]:
    """Return the positions that a listener's plays report."""
    return [data["position"] for _, type_, _, data, _ in stored(device.user_id)[0] if type_ == "PlayRecorded"]


@pytest.fixture
def moment(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """A moment in which the clock stands still."""
    moment = datetime.now(UTC)
    for module in ("api.v1.shortcuts", "api.v1.plays"):
        monkeypatch.setattr(f"{module}.now", lambda: moment)
    return moment


def bodies() -> Iterable[bytes]:
    named = {"guid": "episode-3", "enclosure_url": "https://example.org/3.mp3"}
    unlike = {"rss_source_feed": b64("HTTPS://Example.org:443/1.xml"), "rss_source_item": item(4)}
    yield body_of(1)
    yield body_of(1, position=61, speed=1.5)
    yield body_of(2, played_at="2026-05-01T11:59:00+02:00")
    yield json.dumps({"rss_source_feed": feed(), "position": 1, "played": True, **named}).encode()
    yield json.dumps({"position": 0, "played": False, **unlike}).encode()
    yield body_of(5, unknown={"a": [1]}, played_at="2026-05-01T12:00:09Z")


def test_a_play_is_recorded_as_django_records_it(
    plays: Device, bob_plays: Device, moment: datetime, settings: Settings
) -> None:
    settings.SECURE_HSTS_SECONDS = 60
    alike = {"x_request_id": "0123456789abcdef"}

    async def check(server: Server) -> None:
        for body in bodies():
            mine = BothWays(plays, server), sent_by(plays, **alike)
            other = BothWays(bob_plays, server), sent_by(bob_plays, **alike)
            ours = await mine[0].send_once(False, "POST", PLAYS, body, **mine[1])
            server.close()
            theirs = await other[0].send_once(True, "POST", PLAYS, body, **other[1])
            await server.connect()
            assert ours.answer[0] == 200
            first, second = (int(each.answer[1].pop("balados-position")) for each in (ours, theirs))
            assert second == first + 1
            ours.lines[0].pop("user"), theirs.lines[0].pop("user")
            assert ours == theirs
            assert ours.used == 1

    run(check)
    ours, theirs = stored(plays.user_id), stored(bob_plays.user_id)
    assert ours == theirs
    assert len(ours[0]) == 6


# number, position, played, and how many seconds ago, if that is said
SENT = st.tuples(st.integers(1, 3), st.integers(0, 3), st.booleans(), st.one_of(st.none(), st.integers(0, 3)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(SENT, min_size=1, max_size=8))
def test_any_plays_lead_to_the_same(
    plays: Device, bob_plays: Device, moment: datetime, listed: list[tuple[int, int, bool, int | None]]
) -> None:
    async def check(server: Server) -> None:
        for number, position, played, ago in listed:
            at = {} if ago is None else {"played_at": (moment - timedelta(seconds=ago)).isoformat()}
            body = body_of(number, position=position, played=played, **at)
            ours = await server.send("POST", PLAYS, body, **sent_by(plays))
            theirs = await server.by(True, "POST", f"{PLAYS}?django", body, **sent_by(bob_plays))
            assert (ours[0], ours[2]) == (theirs[0], theirs[2])

    run(check)
    assert stored(plays.user_id) == stored(bob_plays.user_id)


def test_what_is_not_certain_about_a_play_is_left_to_django(plays: Device) -> None:
    headers = sent_by(plays)
    once = {**headers, "idempotency_key": "5e2a2a5c-2f0c-4f8a-9d4b-3f3a4c7c1f10"}
    alone = {"rss_source_feed": feed(), "enclosure_url": "https://example.org/7.mp3"}
    requests: list[tuple[int, str, bytes, dict[str, Any], int]] = [
        (200, PLAYS, body_of(1), once, 1),
        (200, PLAYS, body_of(1), once, 0),
        (200, f"{PLAYS}?a=1", body_of(2), headers, 1),
        (200, PLAYS, body_of(2, position=5, played_at="2020-01-01T00:00:00Z"), headers, 1),
        (200, PLAYS, body_of(2, position=6, played_at="2026-01-01T00:00:00Z"), headers, 1),
        (200, PLAYS, json.dumps({"position": 9, "played": False, **alone}).encode(), headers, 1),
        (200, PLAYS, body_of(3), {**headers, "transfer_encoding": "chunked"}, 1),
        (400, PLAYS, body_of(4, position=-1), headers, 0),
        (400, PLAYS, body_of(4, rss_source_feed="a"), headers, 0),
        (400, PLAYS, b"{", headers, 0),
        (400, PLAYS, b"", headers, 0),
        (400, PLAYS, b'{"a": "\\u0000"}', headers, 0),
        (413, PLAYS, body_of(4, unknown="a" * 300_000), headers, 0),
        (415, PLAYS, body_of(4), {**headers, "content_type": "text/plain"}, 0),
        (415, PLAYS, body_of(4), {**headers, "content_encoding": "gzip"}, 0),
        (401, PLAYS, body_of(4), {**headers, "authorization": "Bearer a"}, 0),
        (400, PLAYS, body_of(4), {**headers, "host": "evil.example"}, 0),
    ]

    async def check(server: Server) -> None:
        for status, address, body, own, more in requests:
            before = await asyncio.to_thread(recorded, plays)
            answer = await server.by(True, "POST", address, body, **own)
            after = await asyncio.to_thread(recorded, plays)
            assert (answer[0], len(after) - len(before)) == (status, more), (body, answer)
        await server.by(False, "POST", PLAYS, body_of(6), **headers)
        await asyncio.to_thread(AppGrant.objects.update, scopes=["user.plays.read"])
        assert (await server.by(True, "POST", PLAYS, body_of(7), **headers))[0] == 403

    run(check)


def test_the_first_play_of_a_listener_opens_the_stream(phone: Device, limited: None) -> None:
    async def check(server: Server) -> None:
        await server.send("GET", "/api/v1/me", **sent_by(phone))
        await server.by(True, "POST", PLAYS, body_of(1), **sent_by(phone))
        await server.by(False, "POST", PLAYS, body_of(2), **sent_by(phone))

    run(check)


def test_a_finished_episode_leaves_up_next(plays: Device) -> None:
    queued = {"rss_source_feed": feed(), "rss_source_item": item(1)}
    assert plays.post("playlists/queue/items", queued).status_code in (200, 201)

    async def check(server: Server) -> None:
        await server.by(True, "POST", PLAYS, body_of(1, played=True), **sent_by(plays))

    run(check)
    types = [type_ for _, type_, *_ in stored(plays.user_id)[0]]
    assert types[-2:] == ["PlayRecorded", "PlaylistItemRemoved"]


def beaten(server: Server, other: Callable[[], object], times: int = 1) -> None:
    """Let another writer come first, so many times."""
    ask, left = server.shortcuts.appends.ask, list(range(times))

    async def after_another(*arguments: Any, **named: Any) -> Any:
        if left:
            left.pop()
            await asyncio.to_thread(other)
        return await ask(*arguments, **named)

    server.shortcuts.appends.ask = after_another  # type: ignore[assignment,method-assign]


def test_when_another_writer_comes_first_the_play_is_decided_again(plays: Device) -> None:
    async def check(server: Server) -> None:
        beaten(server, lambda: plays.post("plays", play(1, position=5)))
        both = BothWays(plays, server)
        left = await both.send_once(False, "POST", PLAYS, body_of(1, position=6), **sent_by(plays))
        assert left.answer[0] == 200
        assert left.counted[("append_conflicts",)] == 1
        assert left.used == 2  # one of them is that of the other writer

    run(check)
    assert recorded(plays) == [5, 6]


def test_when_others_come_first_again_and_again_django_decides(plays: Device) -> None:
    async def check(server: Server) -> None:
        beaten(server, lambda: plays.post("plays", play(1, position=5)), times=ATTEMPTS)
        both = BothWays(plays, server)
        left = await both.send_once(True, "POST", PLAYS, body_of(1, position=6), **sent_by(plays))
        assert left.answer[0] == 200
        assert left.counted[("append_conflicts",)] == ATTEMPTS
        assert left.used == ATTEMPTS + 1

    run(check)
    assert recorded(plays) == [*[5] * ATTEMPTS, 6]


def test_many_at_once_are_recorded_once_each(plays: Device, bob_plays: Device) -> None:
    async def check(server: Server) -> None:
        counters._counts.clear()
        requests = [(device, number) for device in (plays, bob_plays) for number in range(20)]
        answers = await asyncio.gather(
            *(
                server.send("POST", PLAYS, body_of(1, position=number), **sent_by(device))
                for device, number in requests
            )
        )
        assert {status for status, _, _ in answers} == {200}
        assert len({headers["balados-position"] for _, headers, _ in answers}) == 40
        assert ("append_conflicts",) not in counters._counts

    run(check)
    for device in (plays, bob_plays):
        assert sorted(recorded(device)) == list(range(20))


def test_where_nobody_knows_what_was_recorded_it_is_not_recorded_again(plays: Device) -> None:
    async def check(server: Server) -> None:
        connection = server.shortcuts.appends._connection
        assert connection is not None
        with connect("events") as operator, operator.transaction():
            operator.execute("LOCK TABLE events.snapshots IN SHARE ROW EXCLUSIVE MODE")
            sending = asyncio.create_task(server.send("POST", PLAYS, body_of(1), **sent_by(plays)))
            while not await asyncio.to_thread(_waits_for_a_lock, connection.info.backend_pid):
                await asyncio.sleep(0.01)
            with connect("events") as other:
                other.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.info.backend_pid])
            status, headers, body = await sending
        assert (status, headers["retry-after"]) == (503, "5")
        assert json.loads(body)["errors"][0]["code"] == "unavailable"
        assert await asyncio.to_thread(recorded, plays) == []
        assert (await server.by(True, "POST", PLAYS, body_of(1), **sent_by(plays)))[0] == 200
        await server.connect()
        assert (await server.by(False, "POST", PLAYS, body_of(2), **sent_by(plays)))[0] == 200

    run(check)


def _waits_for_a_lock(pid: int) -> bool:
    with connect("events") as connection:
        row = connection.execute(
            "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s", [pid]
        ).fetchone()
    return bool(row and row[0])


def test_while_a_store_is_away_django_answers(plays: Device) -> None:
    async def check(server: Server) -> None:
        for number, pipeline in enumerate(dict.fromkeys((server.shortcuts.events, server.shortcuts.appends))):
            await server.by(False, "POST", PLAYS, body_of(number), **sent_by(plays))
            pipeline._close(TimeoutError())
            assert (await server.by(True, "POST", PLAYS, body_of(10 + number), **sent_by(plays)))[0] == 200
            await server.connect()

    run(check)


def test_projectors_and_feeds_are_told(plays: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    announced: list[str] = []
    monkeypatch.setattr("jobs.announcing.want", announced.extend)
    monkeypatch.setattr("eventstore.log._hinted", float("-inf"))

    async def check(server: Server) -> None:
        with connect("events") as listening:
            listening.execute(f"LISTEN {NOTIFICATION_CHANNEL}")
            new = {**play(1), "rss_source_feed": feed(7)}
            await server.by(False, "POST", PLAYS, json.dumps(new).encode(), **sent_by(plays))
            told = await asyncio.to_thread(lambda: next(listening.notifies(timeout=10)))
            assert told.channel == NOTIFICATION_CHANNEL

    run(check)
    assert announced == [feed(7)]
