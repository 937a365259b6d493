"""Thousands of events in one append: the store records them while they are folded and the answer is made."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connections
from msgspec.structs import replace
from psycopg.pq import PipelineStatus

from eventstore import administration, dispatcher, log
from eventstore.dispatcher import CommandId, DomainError, Outcome
from eventstore.domain import user
from eventstore.domain.batch import Batch
from eventstore.domain.identifiers import item_of
from eventstore.domain.messages import Command, Origin
from eventstore.domain.plays import PlayEntry
from eventstore.domain.sync import SyncUserData
from eventstore.streams import rebuild
from tests.eventstore.dispatching import (
    ALICE,
    NEWS,
    NOON,
    SCIENCE,
    dispatch,
    elsewhere,
    events_of,
    execute,
    play,
    replayed,
    subscribe,
    types,
)
from tests.eventstore.writers import connect, plays

PATIENCE = 30.0
KEPT = "SELECT topic, key, name, state FROM events.snapshots WHERE stream = %s ORDER BY topic, key"


@pytest.fixture(autouse=True)
def three_are_many(stores: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher, "MANY", 3)
    monkeypatch.setattr(dispatcher, "STEP", 2)


def batch(*numbers: int) -> Command:
    orders = tuple(play(number, item=item_of(f"episode {number}", "")) for number in numbers or range(3))
    return Batch(user_id=ALICE, now=NOON, orders=orders)


def sync(count: int = 3, guid: str = "episode") -> Command:
    entries = [
        PlayEntry(NEWS, item_of(f"{guid} {number}", ""), number, played=False, updated_at=NOON)
        for number in range(count)
    ]
    return SyncUserData(user_id=ALICE, now=NOON, play_statuses=entries)


def heard_before() -> None:
    """Store an entry that the next append changes beside those that it adds."""
    dispatch(subscribe(feed=SCIENCE))
    dispatch(replace(play(7, item=item_of("episode 1", "")), now=NOON - timedelta(hours=1)))


def whole(
    command: Command, answer: Callable[[Outcome], bytes] | None = None, command_id: CommandId | None = None
) -> Outcome:
    return dispatcher.dispatch(
        command, Origin(), answer=answer or tell_state, whole=True, command_id=command_id
    )


def tell_state(outcome: Outcome) -> bytes:
    return encoded(outcome.user)


def encoded(user: Any) -> bytes:
    followed, heard = (sorted(of) for of in (user.subscriptions, user.plays))
    return repr((followed, heard)).encode()


def kept() -> list[Any]:
    return execute(KEPT, log.stream_of(ALICE))


@pytest.mark.parametrize("command", [batch(), sync()])
def test_it_is_answered_from_the_whole_state(command: Command) -> None:
    dispatch(subscribe(feed=SCIENCE))
    outcome = whole(command)
    assert outcome.answer == encoded(replayed())
    assert (outcome.version, outcome.position) == (4, events_of()[-1].position)
    assert connections["events"].connection.pgconn.pipeline_status == PipelineStatus.OFF


@pytest.mark.parametrize("command", [batch(), batch(4, 5, 1), batch(*range(7)), sync(), sync(5)])
def test_it_records_what_a_small_append_would_record(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard_before()
    large = dispatcher.dispatch(command, Origin())
    found = [(row.version, row.type, row.data, row.metadata) for row in events_of()], kept()
    assert large.user == replayed()

    execute("TRUNCATE events.events, events.snapshots")
    dispatcher.clear_cache()
    monkeypatch.setattr(dispatcher, "MANY", 1_000)
    heard_before()
    dispatcher.dispatch(command, Origin())
    assert found == ([(row.version, row.type, row.data, row.metadata) for row in events_of()], kept())


def test_the_store_records_the_events_before_the_answer_is_made() -> None:
    def look(outcome: Outcome) -> bytes:
        until = time.monotonic() + PATIENCE
        with connect("the test") as eye:
            # positions are drawn, whether or not they are committed
            while eye.execute(administration.LAST_POSITION).fetchall() != [(1_000,)]:
                assert time.monotonic() < until, "the store has not got the statement"
                time.sleep(0.01)
        return b"it has"

    # more than a socket takes at once
    assert whole(sync(1_000, guid=2_000 * "g"), look).answer == b"it has"


@pytest.mark.parametrize(("stored", "status"), [(0, PipelineStatus.ON), (6, PipelineStatus.OFF)])
def test_no_transaction_stays_open_for_an_answer_that_takes_longer(
    stored: int, status: PipelineStatus
) -> None:
    for number in range(stored):
        dispatch(play(number, item=item_of(f"stored {number}", "")))
    seen = []

    def look(outcome: Outcome) -> bytes:
        seen.append(connections["events"].connection.pgconn.pipeline_status)
        return b""

    whole(batch(), look)
    assert seen == [status]


@pytest.mark.parametrize("command", [batch(), sync()])
def test_after_a_lost_race_everything_is_decided_and_rendered_again(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    races = iter([True])

    def late(*arguments: Any) -> int | None:
        if next(races, False):
            elsewhere(play(7))
        return real(*arguments)

    real = log.append_while
    monkeypatch.setattr(log, "append_while", late)
    outcome = whole(command)
    assert (outcome.version, outcome.answer) == (4, encoded(replayed()))
    assert [row.version for row in events_of()] == [1, 2, 3, 4]
    assert len(kept()) == 4


def test_what_was_folded_anew_since_it_was_read_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    dispatch(play(7, item=item_of("episode 1", "")))
    execute("DELETE FROM events.snapshots")
    dispatcher.clear_cache()
    attempts: list[int | None] = []

    def late(*arguments: Any) -> int | None:
        if not attempts:
            rebuild(ALICE)
        attempts.append(real(*arguments))
        return attempts[-1]

    real = log.append_while
    monkeypatch.setattr(log, "append_while", late)
    dispatch(batch(2, 1, 3, 4))
    assert attempts[0] is None
    assert attempts[1] is not None
    assert len(kept()) == 4
    assert dispatcher.state_of(ALICE).read_whole() == replayed()


def test_a_batch_is_recorded_from_the_first_order_on_that_says_something_new() -> None:
    dispatch(batch(*range(5)))
    assert dispatch(batch(*range(5))).events == []
    outcome = dispatch(batch(*range(6), 2, 7))
    assert [event.position for event in outcome.events] == [5, 7]  # type: ignore[attr-defined]
    assert [row.version for row in events_of()] == list(range(1, 8))
    assert (outcome.version, outcome.user) == (7, replayed())
    assert len(kept()) == 7


def test_nothing_is_recorded_where_a_later_order_of_a_batch_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    real = user.decide_on

    def stumble(entries: Any, command: Any) -> Any:
        if command.position == 5:
            raise ZeroDivisionError
        return real(entries, command)

    monkeypatch.setattr(user, "decide_on", stumble)
    with pytest.raises(ZeroDivisionError):
        dispatch(batch(*range(7)))
    assert (types(), kept()) == ([], [])
    assert dispatch(play()).user == replayed()


def test_what_an_append_finds_that_it_has_not_read_is_read_in_its_midst() -> None:
    dispatch(subscribe(feed=SCIENCE))
    dispatcher.clear_cache()
    stream = dispatcher.state_of(ALICE)
    found = log.append_while(
        stream.id,
        stream.version,
        iter([plays(1), plays(2)]),
        Origin(),
        lambda: stream.changes(plays(1, 2)),
        CommandId(uuid4(), b"digest"),
        lambda: b"%d" % stream.user.subscriptions[SCIENCE].active,
    )
    assert found == events_of()[-1].position
    assert execute("SELECT answer FROM events.commands") == [(b"1",)]


def test_nothing_is_recorded_where_the_answer_fails_that_is_made_meanwhile() -> None:
    def refuse(outcome: Outcome) -> bytes:
        raise DomainError("unspeakable", "No words for it.")

    with pytest.raises(DomainError, match="unspeakable"):
        whole(batch(), refuse)
    assert (types(), kept()) == ([], [])
    assert dispatch(play()).user == replayed()


def test_the_repeat_of_a_command_gets_the_answer_of_the_first() -> None:
    command_id = CommandId(uuid4(), b"digest")
    first = whole(sync(), lambda outcome: b"the first", command_id)
    again = whole(sync(), lambda outcome: b"the second", command_id)
    assert again.replayed
    assert (again.answer, again.version, again.position) == (b"the first", first.version, first.position)
    assert len(events_of()) == 3


def test_of_the_same_command_twice_at_once_one_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    command_id, races = CommandId(uuid4(), b"digest"), iter([True])

    def late(*arguments: Any) -> int | None:
        if next(races, False):
            dispatcher.clear_cache()
            whole(sync(4), lambda outcome: b"the rival", command_id)
        return real(*arguments)

    real = log.append_while
    monkeypatch.setattr(log, "append_while", late)
    outcome = whole(batch(7, 8, 9), lambda outcome: b"mine", command_id)
    assert (outcome.answer, outcome.replayed) == (b"the rival", True)
    assert len(events_of()) == 4


def test_an_erased_listener_gets_nothing_recorded() -> None:
    dispatch(subscribe())
    execute("UPDATE events.streams SET tombstone = now() WHERE id = %s", log.stream_of(ALICE))
    with pytest.raises(log.StreamErased):
        whole(batch())
    assert types() == ["UserSubscribed"]
