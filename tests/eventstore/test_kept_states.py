"""Kept states and snapshots: they spare reading, are bounded, and never say anything but the log."""

from collections.abc import Callable
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

import msgspec
import pytest

from eventstore import dispatcher, log, streams
from eventstore.dispatcher import CommandId
from eventstore.domain.identifiers import item_of
from eventstore.streams import Streams, StreamUnreadable
from tests.eventstore.dispatching import (
    ALICE,
    BOB,
    CHARLIE,
    NEWS,
    at_once,
    dispatch,
    elsewhere,
    events_of,
    execute,
    let_retention_delete,
    move,
    play,
    replayed,
    subscribe,
    unsubscribe,
)

pytestmark = pytest.mark.usefixtures("stores")

READS = ("stream_of", "read_stream", "read_snapshot", "remembered_command")
WRITES = ("append", "remember_command", "write_snapshot", "notify")
Asked = list[tuple[Any, ...]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What the store was asked, in order: function and arguments."""
    asked: Asked = []

    def listening(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def listen(*arguments: Any, **named: Any) -> Any:
            asked.append((name, *arguments, *named.values()))
            return function(*arguments, **named)

        return listen

    for name in READS + WRITES:
        monkeypatch.setattr(log, name, listening(name, getattr(log, name)))
    return asked


def names(asked: Asked) -> list[str]:
    return [name for name, *_ in asked]


def test_the_next_command_reads_nothing(asked: Asked) -> None:
    dispatch(subscribe())
    assert names(asked) == ["stream_of", "read_snapshot", "read_stream", "append", "notify"]
    asked.clear()
    dispatch(play(1))
    dispatch(move(2))
    assert names(asked) == ["append", "notify"] * 2


def test_a_command_id_costs_one_look(asked: Asked) -> None:
    dispatch(subscribe())
    asked.clear()
    dispatch(play(1), CommandId(uuid4(), b"play"))
    assert names(asked) == ["remembered_command", "append", "notify"]


def test_what_only_the_newest_state_can_tell_costs_one_read_of_what_is_newer(asked: Asked) -> None:
    dispatch(subscribe())
    stream = log.stream_of(ALICE)
    asked.clear()
    assert dispatch(subscribe(minute=1)).events == []
    assert asked == [("read_stream", stream, 1)]


def test_a_lost_race_reads_what_is_newer_alone(asked: Asked) -> None:
    dispatch(play(1))
    elsewhere(play(2))
    asked.clear()
    dispatch(play(3))
    assert names(asked) == ["append", "read_stream", "append", "notify"]
    assert asked[1][2] == 1


# --- snapshots


@pytest.fixture
def every_five(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "SNAPSHOT_EVERY", 5)


def listen_to(episodes: int) -> None:
    """A subscription and as many plays, from a process that keeps the state to itself."""
    with patch.object(dispatcher, "_streams", Streams()):
        dispatch(subscribe())
        for number in range(episodes):
            dispatch(play(number, item=item_of(f"item-{number % 3}", "")))


def snapshots() -> list[tuple[Any, ...]]:
    return execute("SELECT version, position, schema FROM events.snapshots")


@pytest.mark.usefixtures("every_five")
def test_a_long_load_leaves_a_snapshot(asked: Asked) -> None:
    listen_to(4)
    dispatch(play(4))
    assert snapshots() == []
    dispatcher.forget()
    dispatch(play(5))
    assert snapshots() == [(6, events_of()[5].position, streams.SNAPSHOT_SCHEMA)]
    assert names(asked).count("write_snapshot") == 1


@pytest.mark.usefixtures("every_five")
def test_a_load_starts_from_the_snapshot_and_comes_to_the_same_state(asked: Asked) -> None:
    listen_to(8)
    dispatch(play(8))
    dispatch(play(9))
    stream = log.stream_of(ALICE)
    dispatcher.forget()
    asked.clear()
    outcome = dispatch(unsubscribe(minute=1))
    assert asked[1:3] == [("read_snapshot", stream, streams.SNAPSHOT_SCHEMA), ("read_stream", stream, 9)]
    assert names(asked[3:]) == ["append", "notify"]
    assert outcome.user == replayed()
    assert (outcome.version, outcome.position) == (12, events_of()[-1].position)


@pytest.mark.usefixtures("every_five")
def test_a_snapshot_at_the_head_knows_its_position() -> None:
    listen_to(8)
    dispatch(subscribe(minute=1))
    dispatcher.forget()
    outcome = dispatch(subscribe(minute=2))
    assert (outcome.version, outcome.position) == (9, events_of()[-1].position)


@pytest.mark.usefixtures("every_five")
def test_a_snapshot_of_another_schema_is_ignored_and_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    listen_to(8)
    dispatch(play(8))
    execute("UPDATE events.snapshots SET state = %s, version = 5", b"of another shape")
    dispatcher.forget()
    monkeypatch.setattr(streams, "SNAPSHOT_SCHEMA", streams.SNAPSHOT_SCHEMA + 1)
    assert dispatch(subscribe(minute=1)).user == replayed()
    assert snapshots() == [(10, events_of()[-1].position, streams.SNAPSHOT_SCHEMA)]


@pytest.mark.usefixtures("every_five")
def test_nothing_is_decided_on_a_snapshot_that_cannot_be_read() -> None:
    listen_to(8)
    dispatch(play(8))
    execute("UPDATE events.snapshots SET state = %s", b'{"user_id": "secret"}')
    dispatcher.forget()
    with pytest.raises(StreamUnreadable, match="snapshot of version 9") as refused:
        dispatch(play(9))
    assert "secret" not in str(refused.value)
    assert len(events_of()) == 10


@pytest.mark.usefixtures("every_five")
def test_a_snapshot_stands_for_events_that_retention_deleted() -> None:
    listen_to(8)
    before = dispatch(subscribe(minute=1)).user
    let_retention_delete(upto=9)
    dispatcher.forget()
    outcome = dispatch(play(77))
    assert outcome.version == 10
    assert outcome.user.subscriptions == before.subscriptions
    assert outcome.user.plays.keys() > before.plays.keys()


def test_a_snapshot_holds_everything_of_a_state() -> None:
    listen_to(3)
    ahead = msgspec.structs.replace(subscribe(minute=1), at=play().now.replace(year=2030))
    user = dispatch(ahead).user
    assert user.subscriptions[NEWS].skewed
    assert streams._decode_state(msgspec.json.encode(user)) == user == replayed()


# --- the bounds


def kept() -> list[UUID]:
    """Whose states are kept, least recently used first; their weights must add up."""
    streams = dispatcher._streams
    assert streams._entries == sum(folded.size for folded in streams._kept.values())
    return list(streams._kept)


def test_the_least_recently_used_state_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MOST_STREAMS", 2)
    for user_id in (ALICE, BOB, ALICE, CHARLIE):
        dispatch(play(1, user_id))
    assert kept() == [ALICE, CHARLIE]
    assert dispatch(play(2, BOB)).user == replayed(BOB)
    assert kept() == [CHARLIE, BOB]


def test_large_states_leave_room_for_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MOST_ENTRIES", 4)
    for number in range(3):
        dispatch(play(number, item=item_of(f"item-{number}", "")))
    dispatch(subscribe(BOB))
    assert kept() == [ALICE, BOB]
    dispatch(subscribe(CHARLIE))
    assert kept() == [BOB, CHARLIE]
    assert dispatch(subscribe()).user == replayed()


def test_a_state_that_is_too_large_to_keep_is_used_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MOST_ENTRIES", 2)
    for number in range(5):
        outcome = dispatch(play(number, item=item_of(f"item-{number}", "")))
        assert outcome.user == replayed()
    assert kept() == []
    assert outcome.version == 5


def test_a_state_is_weighed_anew_when_it_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    dispatch(subscribe())
    monkeypatch.setattr(log, "append", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        dispatch(play(1))
    assert kept() == [ALICE]
    assert dispatcher._streams._entries == 0


def test_a_state_may_be_evicted_while_it_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MOST_STREAMS", 1)
    dispatch(subscribe())
    with dispatcher._streams.hold(ALICE):
        dispatch(subscribe(BOB))
        assert kept() == [BOB]
        # a second state of Alice's: the store decides between the two
        dispatch(play(1))
    assert kept() == [ALICE]
    assert dispatch(play(2)).user == replayed()


def test_states_may_be_forgotten_while_one_is_held() -> None:
    dispatch(subscribe())
    with dispatcher._streams.hold(ALICE):
        dispatcher.forget()
    assert kept() == []
    assert dispatch(play(1)).user == replayed()


def test_many_users_at_once_in_a_small_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    users = [uuid4() for _ in range(6)]
    monkeypatch.setattr(streams, "MOST_STREAMS", 2)
    monkeypatch.setattr(streams, "MOST_ENTRIES", 5)

    def work(number: int) -> None:
        for turn in range(12):
            user_id = users[(number + turn) % 6]
            dispatch(play(number * 100 + turn, user_id, item=item_of(f"item-{turn % 4}", "")))

    at_once(8, work)
    assert len(kept()) <= 2
    for user_id in users:
        assert len(events_of(user_id)) == 16
        assert dispatch(play(7, user_id)).user == replayed(user_id)
