"""Command ids: a command is recorded once, however often and wherever it arrives, with its first answer."""

from typing import Any
from unittest.mock import patch
from uuid import uuid4

import psycopg
import pytest

from eventstore import dispatcher, log
from eventstore.dispatcher import CommandId, CommandIdReused, Conflict, DomainError, Outcome
from eventstore.domain.messages import Command
from tests.eventstore.dispatching import (
    BOB,
    EPISODE,
    SCIENCE,
    Processes,
    at_once,
    dispatch,
    elsewhere,
    events_of,
    execute,
    play,
    replayed,
    subscribe,
    types,
    unsubscribe,
)

pytestmark = pytest.mark.usefixtures("stores")


def an_id(fingerprint: bytes = b"play") -> CommandId:
    return CommandId(uuid4(), fingerprint)


def seen(outcome: Outcome) -> bytes:
    """An answer that describes the state after its command."""
    status = outcome.user.plays.get(EPISODE)
    return f"version {outcome.version}, at {status and status.position}".encode()


def never(outcome: Outcome) -> bytes:
    raise AssertionError("rendered a second time")


@pytest.mark.parametrize("again", [dispatch, elsewhere])
def test_a_repeat_gets_the_first_answer_and_records_nothing(again: Any) -> None:
    command_id = an_id()
    first = dispatch(play(7), command_id, seen)
    assert (first.answer, first.replayed) == (b"version 1, at 7", False)
    dispatch(play(8))
    dispatch(subscribe(BOB))

    second = again(play(7), command_id, never)
    assert second.replayed
    assert second.events == []
    assert (second.answer, second.version, second.position) == (first.answer, 1, events_of()[0].position)
    assert len(events_of()) == 2


def test_it_is_remembered_over_a_restart() -> None:
    command_id = an_id()
    dispatch(play(7), command_id, seen)
    dispatcher.clear_cache()
    log.clear_caches()
    assert dispatch(play(7), command_id, never).answer == b"version 1, at 7"


def test_a_command_without_an_answer_is_remembered_too() -> None:
    command_id = an_id()
    first = dispatch(play(), command_id)
    second = dispatch(play(), command_id)
    assert second.replayed
    assert (second.answer, second.position) == (b"", first.position)


def test_the_answer_of_a_lost_race_is_never_given() -> None:
    dispatch(play(1))
    elsewhere(play(2))
    command_id = an_id()
    outcome = dispatch(play(3), command_id, seen)
    assert outcome.answer == b"version 3, at 3"
    assert outcome.user == replayed()
    assert elsewhere(play(3), command_id, never).answer == b"version 3, at 3"


def test_an_id_stands_for_one_command_of_its_user() -> None:
    command_id = an_id()
    dispatch(play(7), command_id)
    other = CommandId(command_id.key, b"subscribe")
    for somewhere in (dispatch, elsewhere):
        with pytest.raises(CommandIdReused):
            somewhere(subscribe(), other)
    assert types() == ["PlayRecorded"]
    # Bob's keys are separate from Alice's
    assert not dispatch(subscribe(BOB), other).replayed
    assert dispatch(subscribe()).user == replayed()


def test_a_command_that_changed_nothing_is_remembered() -> None:
    dispatch(subscribe())
    command_id = an_id(b"subscribe")
    first = dispatch(subscribe(minute=1), command_id, seen)
    assert (first.events, first.answer) == ([], b"version 1, at None")
    dispatch(unsubscribe(minute=2))
    # if it were decided again, it would subscribe again
    second = dispatch(subscribe(minute=1), command_id, never)
    assert (second.replayed, second.answer) == (True, first.answer)
    assert (second.version, second.position) == (1, first.position)
    assert types() == ["UserSubscribed", "UserUnsubscribed"]


def test_a_refused_command_is_not_remembered() -> None:
    command_id = an_id(b"unsubscribe")
    with pytest.raises(DomainError):
        dispatch(unsubscribe(feed=SCIENCE, minute=1), command_id)
    dispatch(subscribe(feed=SCIENCE))
    assert len(dispatch(unsubscribe(feed=SCIENCE, minute=1), command_id).events) == 1


def test_an_answer_that_cannot_be_given_records_nothing_and_leaves_no_false_state_behind() -> None:
    def refuse(outcome: Outcome) -> bytes:
        raise DomainError("unspeakable", "No words for it.")

    dispatch(play())
    command_id = an_id(b"subscribe")
    with pytest.raises(DomainError, match="unspeakable"):
        dispatch(subscribe(), command_id, refuse)
    assert types() == ["PlayRecorded"]
    assert len(dispatch(subscribe(), command_id, seen).events) == 1


@pytest.mark.parametrize("recorded", [True, False])
def test_a_repeat_after_an_unknown_outcome_ends_with_one_event_and_one_answer(
    recorded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(*arguments: Any, **named: Any) -> int | None:
        if recorded:
            real(*arguments, **named)
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    real = log.append
    command_id = an_id()
    with monkeypatch.context() as cut:
        cut.setattr(log, "append", cut_off)
        with pytest.raises(psycopg.OperationalError):
            dispatch(play(7), command_id, seen)

    again = dispatch(play(7), command_id, seen)
    assert (again.answer, again.replayed) == (b"version 1, at 7", recorded)
    assert again.position == events_of()[0].position
    assert again.user == replayed()
    assert len(events_of()) == 1


@pytest.mark.parametrize("first", [play(7), subscribe()], ids=["that records", "that changes nothing"])
@pytest.mark.parametrize("fingerprint", [b"the same", b"another"])
def test_the_id_being_taken_between_the_look_and_the_append_is_noticed(
    first: Command, fingerprint: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def looked_too_early(stream: int, key: Any) -> None:
        monkeypatch.setattr(log, "remembered_command", real)
        elsewhere(first, CommandId(command_id.key, fingerprint), seen)

    dispatch(subscribe())
    real = log.remembered_command
    command_id = an_id(b"the same")
    monkeypatch.setattr(log, "remembered_command", looked_too_early)
    if fingerprint == b"another":
        with pytest.raises(CommandIdReused):
            dispatch(first, command_id, seen)
    else:
        outcome = dispatch(first, command_id, seen)
        assert outcome.replayed
        assert outcome.user == replayed()
        assert outcome.answer == elsewhere(first, command_id, never).answer
    assert len(events_of()) == (2 if first == play(7) else 1)


def test_a_repeat_that_found_nothing_to_do_sees_the_state_of_the_one_that_did(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def too_late(*arguments: Any) -> None:
        elsewhere(unsubscribe(minute=1))
        elsewhere(subscribe(minute=2), command_id, seen)
        real(*arguments)

    dispatch(subscribe())
    real = log.remember_command
    command_id = an_id(b"subscribe")
    monkeypatch.setattr(log, "remember_command", too_late)
    outcome = dispatch(subscribe(minute=2), command_id, seen)
    assert (outcome.replayed, outcome.version, outcome.user) == (True, 3, replayed())


def test_an_id_that_is_taken_and_purged_at_once_is_a_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    command_id = an_id()
    dispatch(play(7), command_id)
    monkeypatch.setattr(log, "remembered_command", lambda stream, key: None)
    with pytest.raises(Conflict):
        dispatch(play(7), command_id)
    assert len(events_of()) == 1


def test_nothing_is_remembered_of_a_command_on_an_entry_that_cannot_be_read() -> None:
    dispatch(play())
    execute("UPDATE events.snapshots SET state = ''")
    dispatcher.clear_cache()
    with pytest.raises(dispatcher.StreamUnreadable):
        dispatch(play(), an_id(), seen)
    assert execute("SELECT count(*) FROM events.commands") == [(0,)]


@pytest.mark.parametrize("processes", [1, 20])
@pytest.mark.parametrize("kind", ["records", "changes nothing"])
def test_twenty_at_once_with_one_id_are_one_command(processes: int, kind: str) -> None:
    dispatch(subscribe())
    command = play(7) if kind == "records" else subscribe(minute=1)
    command_id = an_id()
    world = Processes(processes)

    def work(number: int) -> Outcome:
        world.join(number)
        return dispatch(command, command_id, lambda outcome: seen(outcome) + b" by %d" % number)

    with patch.object(dispatcher, "_streams", world):
        outcomes = at_once(20, work)

    assert [outcome.replayed for outcome in outcomes].count(False) == 1
    assert len({outcome.answer for outcome in outcomes}) == 1
    assert {(o.version, o.position) for o in outcomes} == {
        (events_of()[-1].version, events_of()[-1].position)
    }
    assert types() == ["UserSubscribed", "PlayRecorded"][: 2 if kind == "records" else 1]


def test_twenty_ids_at_once_are_twenty_commands() -> None:
    world = Processes(4)

    def work(number: int) -> Outcome:
        world.join(number)
        return dispatch(play(number), an_id(), seen)

    with patch.object(dispatcher, "_streams", world):
        outcomes = at_once(20, work)
    assert sorted(outcome.version for outcome in outcomes) == list(range(1, 21))
    for number, outcome in enumerate(outcomes):
        assert outcome.answer == f"version {outcome.version}, at {number}".encode()
    assert replayed().plays[EPISODE].position == last_of(outcomes)


def last_of(outcomes: list[Outcome]) -> int:
    """The number of the command that was recorded last."""
    return max(range(len(outcomes)), key=lambda number: outcomes[number].version)
