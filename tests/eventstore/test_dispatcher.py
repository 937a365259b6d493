"""Deciding on the newest state: rival writers, conflicts, refusals, lost connections, unreadable streams."""

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from unittest.mock import patch
from uuid import RFC_4122, UUID

import psycopg
import pytest
from django.db import connections

from eventstore import dispatcher, log
from eventstore.dispatcher import Conflict, DomainError, Outcome, StreamErased, StreamUnreadable
from eventstore.domain.checkpoint import TakeCheckpoint
from eventstore.domain.messages import Command, Origin
from tests.eventstore.dispatching import (
    ALICE,
    BOB,
    EPISODE,
    ITEM,
    NEWS,
    NOON,
    SCIENCE,
    Processes,
    append_what_nobody_knows,
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
    types,
    unsubscribe,
)
from tests.eventstore.test_connections import end_every_backend_of
from tests.eventstore.writers import plays

pytestmark = pytest.mark.usefixtures("stores")

Append = Callable[..., int | None]


def test_what_a_command_leads_to_is_recorded() -> None:
    outcome = dispatch(subscribe())
    assert types() == ["UserSubscribed"]
    assert (outcome.version, outcome.position) == (1, events_of()[0].position)
    assert outcome.user == replayed()
    assert not outcome.replayed


def test_every_event_has_a_random_id_of_its_own() -> None:
    for minute in range(8):
        dispatch(play(minute))
    dispatch(subscribe())
    log.append(log.stream_of(BOB), 0, plays(*range(20)), Origin())
    ids = [UUID(row.event_id) for user in (ALICE, BOB) for row in events_of(user)]
    assert len(set(ids)) == len(ids) > 28
    assert {(one.version, one.variant) for one in ids} == {(4, RFC_4122)}


def test_a_command_that_changes_nothing_tells_where_the_stream_stands() -> None:
    dispatch(subscribe())
    dispatch(subscribe(BOB))
    outcome = dispatch(subscribe())
    assert (outcome.events, outcome.version, outcome.position) == ([], 1, events_of()[0].position)
    assert elsewhere(subscribe())[:3] == outcome[:3]


def test_a_refused_command_records_nothing_and_leaves_the_kept_state_alone() -> None:
    dispatch(subscribe())
    with pytest.raises(DomainError, match="not_subscribed"):
        dispatch(unsubscribe(feed=SCIENCE))
    assert dispatch(play()).user == replayed()
    assert types() == ["UserSubscribed", "PlayRecorded"]


def test_it_decides_again_when_another_process_came_first() -> None:
    dispatch(play(1))
    elsewhere(play(2))
    outcome = dispatch(move(3))
    assert outcome.version == 3
    assert outcome.user == replayed()
    assert outcome.user.plays[EPISODE].position == 3


def test_the_second_decision_is_made_on_the_newest_state() -> None:
    dispatch(play(1))
    elsewhere(subscribe(minute=1))
    # decided on the cached state, the command would be recorded
    assert dispatch(subscribe(minute=2)).events == []
    assert types() == ["PlayRecorded", "UserSubscribed"]


def test_there_being_nothing_to_do_is_checked_on_the_newest_state() -> None:
    dispatch(subscribe())
    elsewhere(unsubscribe(minute=1))
    outcome = dispatch(subscribe(minute=2))
    assert len(outcome.events) == 1
    assert outcome.user.subscriptions[NEWS].active


@pytest.mark.parametrize(("before", "command"), [(subscribe(), unsubscribe(minute=1)), (play(1), move(2))])
def test_a_refusal_is_checked_on_the_newest_state(before: Command, command: Command) -> None:
    dispatch(subscribe(feed=SCIENCE))
    elsewhere(before)
    assert len(dispatch(command).events) == 1


def test_it_gives_up_when_others_come_first_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = 0

    def rival_first(stream: int, expected: int, *more: Any, **named: Any) -> int | None:
        nonlocal attempts
        attempts += 1
        append_as_a_rival(real, attempts)
        return real(stream, expected, *more, **named)

    dispatch(play(0))
    real = patched_append(monkeypatch, rival_first)
    with pytest.raises(Conflict):
        dispatch(play(7_777))
    assert attempts == dispatcher.ATTEMPTS + 1
    # the last attempt locked out all other writers, but not this rival, which uses the same connection
    assert [row.version for row in events_of()] == list(range(1, attempts + 2))
    assert "7777" not in "".join(row.data for row in events_of())

    monkeypatch.setattr(log, "append", real)
    assert dispatch(play(1)).user == replayed()


def test_a_lost_race_or_two_are_no_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    races = iter([True, True])

    def sometimes_late(stream: int, expected: int, *more: Any, **named: Any) -> int | None:
        if next(races, False):
            append_as_a_rival(real, expected)
        return real(stream, expected, *more, **named)

    real = patched_append(monkeypatch, sometimes_late)
    outcome = dispatch(play(1))
    assert outcome.version == 3
    assert outcome.user == replayed()


@pytest.mark.parametrize("recorded", [True, False])
def test_an_append_of_which_nobody_knows_the_outcome_is_no_truth(
    recorded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(*arguments: Any, **named: Any) -> int | None:
        if recorded:
            real(*arguments, **named)
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    dispatch(play())
    real = patched_append(monkeypatch, cut_off)
    with pytest.raises(psycopg.OperationalError):
        dispatch(subscribe())
    monkeypatch.setattr(log, "append", real)

    again = dispatch(subscribe())
    assert len(again.events) == (0 if recorded else 1)
    assert again.user == replayed()
    assert types() == ["PlayRecorded", "UserSubscribed"]


def test_a_command_that_was_recorded_succeeds_even_when_nobody_can_be_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def then_the_server_restarts(*arguments: Any, **named: Any) -> int | None:
        position = real(*arguments, **named)
        end_every_backend_of(connections["events"].settings_dict)
        return position

    real = patched_append(monkeypatch, then_the_server_restarts)
    monkeypatch.setattr(log, "_hinted", 0.0)
    assert dispatch(subscribe()).version == 1
    # the next command does not get the broken connection either
    monkeypatch.setattr(log, "append", real)
    assert dispatch(play()).version == 2


def test_an_answer_that_fails_leaves_no_false_state_behind() -> None:
    def refuse(outcome: Outcome) -> bytes:
        raise DomainError("unspeakable", "No words for it.")

    with pytest.raises(DomainError, match="unspeakable"):
        dispatch(subscribe(), None, refuse)
    assert dispatch(play()).user == replayed()
    assert types() == ["UserSubscribed", "PlayRecorded"]


def test_a_checkpoint_stands_for_no_event_that_this_program_cannot_read() -> None:
    dispatch(subscribe())
    append_what_nobody_knows()
    with pytest.raises(StreamUnreadable, match="UserSang"):
        dispatch(TakeCheckpoint(user_id=ALICE, now=NOON, before=NOON))
    assert types() == ["UserSubscribed", "UserSang"]
    # the state is stored beside the log, so other commands do not read the unreadable event
    assert dispatch(play()).version == 3


def test_a_checkpoint_stands_for_no_stream_whose_beginning_is_missing() -> None:
    for position in range(3):
        dispatch(play(position))
    let_retention_delete(upto=1)
    with pytest.raises(StreamUnreadable, match="after version 0 are gone"):
        dispatch(TakeCheckpoint(user_id=ALICE, now=NOON, before=NOON))
    assert [row.version for row in events_of()] == [2, 3]


def test_an_erased_user_is_refused() -> None:
    dispatch(subscribe())
    execute("UPDATE events.streams SET tombstone = now() WHERE id = %s", log.stream_of(ALICE))
    log.clear_caches()
    dispatcher.clear_cache()
    with pytest.raises(StreamErased):
        dispatch(play())


@pytest.mark.parametrize("processes", [1, 4])
def test_sixteen_threads_of_one_user_leave_what_a_serial_replay_leads_to(
    processes: int,
) -> None:
    world = Processes(processes)

    def work(number: int) -> int:
        world.join(number)
        draw = random.Random(number)
        recorded = 0
        for _ in range(12):
            with suppress(DomainError, Conflict):
                recorded += len(dispatch(anything(draw)).events)
            connections.close_all()  # as at the end of a request
        return recorded

    with patch.object(dispatcher, "_streams", world):
        assert sum(at_once(16, work)) == len(events_of()) > 16
    stream = dispatcher.state_of(ALICE)
    assert stream.read_whole() == replayed()
    assert (stream.version, stream.position) == (events_of()[-1].version, events_of()[-1].position)


def anything(draw: random.Random) -> Command:
    feed, minute, position = draw.choice([NEWS, SCIENCE]), draw.randrange(60), draw.randrange(1_000)
    item = draw.choice([ITEM, "dHVlc2RheSw="])
    commands: list[Command] = [
        subscribe(feed=feed, minute=minute),
        unsubscribe(feed=feed, minute=minute),
        play(position, item=item),
        move(position, item=item),
    ]
    return draw.choice(commands)


def test_the_events_since_a_version_are_those_after_it() -> None:
    first, second = dispatch(subscribe()).events, dispatch(play()).events
    assert dispatcher.events_since(ALICE, 0) == first + second
    assert dispatcher.events_since(ALICE, 1) == second
    assert dispatcher.events_since(ALICE, 2) == []
    assert dispatcher.events_since(BOB, 0) == []


def test_the_log_says_when_it_does_not_reach_back() -> None:
    for position in range(3):
        dispatch(play(position))
    let_retention_delete(upto=2)
    assert dispatcher.events_since(ALICE, 0) is None
    assert dispatcher.events_since(ALICE, 1) is None
    since = dispatcher.events_since(ALICE, 2)
    assert since is not None
    assert len(since) == 1


def test_the_events_since_a_version_may_be_unreadable() -> None:
    dispatch(play(user_id=BOB))
    append_what_nobody_knows(BOB)
    with pytest.raises(StreamUnreadable):
        dispatcher.events_since(BOB, 0)


def patched_append(monkeypatch: pytest.MonkeyPatch, instead: Append) -> Append:
    """Replace ``log.append`` by ``instead``; return the real one."""
    real = log.append
    monkeypatch.setattr(log, "append", instead)
    return real


def append_as_a_rival(append: Append, number: int) -> None:
    rival, events = dispatcher.state_of(ALICE), plays(number)
    append(rival.id, rival.version, events, Origin(), changed=rival.apply(events))
