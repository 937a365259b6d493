"""From a command to its events: load, decide, append, and decide again when another writer came first."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from django.conf import settings

from eventstore import log
from eventstore.domain.checkpoint import TakeCheckpoint
from eventstore.domain.errors import DomainError
from eventstore.domain.messages import Command, Event
from eventstore.domain.sync import SyncUserData
from eventstore.domain.user import User, decide
from eventstore.log import CommandAlreadyRecorded, CommandId, Origin, StreamErased
from eventstore.streams import Busy, Folded, Streams, StreamUnreadable, decode

__all__ = [
    "Busy",
    "CommandId",
    "CommandIdReused",
    "Conflict",
    "DomainError",
    "Origin",
    "Outcome",
    "StreamErased",
    "StreamUnreadable",
    "dispatch",
    "earlier",
    "events_since",
    "forget",
    "hold",
]

# Each attempt loses only to a rival that succeeded, so somebody always gets on. A process whose state is
# current beats one that has to read first, many times in a row: 12 attempts were not enough for every one of
# 50 syncs of one user at once.
ATTEMPTS = 50


class Conflict(Exception):
    """Other writers came first every time."""


class CommandIdReused(Exception):
    """This command id stands for another command."""


class Outcome(NamedTuple):
    """What a command led to.

    ``position`` is the global position that a read model must have reached to show it, also where nothing was
    recorded. ``user`` is the state after it, to be read before the next command only. ``answer`` is what was
    rendered for the command id, of the first time where ``replayed``.
    """

    events: list[Event]
    version: int
    position: int
    user: User
    replayed: bool = False
    answer: bytes = b""


Render = Callable[[Outcome], bytes]


def dispatch(
    command: Command, origin: Origin, *, command_id: CommandId | None = None, answer: Render | None = None
) -> Outcome:
    """Decide ``command`` on its user's stream and record what follows, exactly once per ``command_id``.

    ``answer`` renders what to give back; it runs while the stream is held, so it sees the state of its own
    command. Raises ``DomainError`` when the rules refuse, ``Conflict`` after ``ATTEMPTS`` lost races,
    ``CommandIdReused``, ``StreamUnreadable``, ``StreamErased``, ``Busy``, and ``OperationalError`` while the
    store is away.
    """
    with _streams.hold(command.user_id) as folded:
        if command_id is not None:
            first = earlier(folded, command_id)
            if first is not None:
                return first
        try:
            outcome = _decide_and_append(folded, command, origin, command_id, answer)
        except CommandAlreadyRecorded:
            folded.reset()
            assert command_id is not None
            first = earlier(folded, command_id)
            if first is None:
                log.check_not_erased(folded.stream)
                raise Conflict from None
            return first
        if isinstance(command, SyncUserData) and outcome.events:
            _checkpoint_when_grown(folded, command)
    if outcome.events:
        log.notify()
    return outcome


def events_since(user_id: UUID, version: int) -> list[Event] | None:
    """The events of a user's stream after ``version``; None when the log does not reach back that far.

    Raises ``StreamUnreadable``.
    """
    rows = log.read_stream(log.stream_of(user_id), after=version)
    if rows and rows[0].version != version + 1:
        return None
    return decode(rows)


def hold(user_id: UUID) -> AbstractContextManager[Folded]:
    """The user's folded stream, for this thread alone, and not necessarily the newest. Raises ``Busy``."""
    return _streams.hold(user_id)


def earlier(folded: Folded, command_id: CommandId) -> Outcome | None:
    """What this command led to the first time. Raises ``CommandIdReused``."""
    if not folded.loaded:
        folded.catch_up()
    found = log.remembered_command(folded.stream, command_id.key)
    if found is None:
        return None
    if found.fingerprint != command_id.fingerprint:
        raise CommandIdReused
    return Outcome([], found.version, found.position, folded.user, replayed=True, answer=found.answer)


def forget() -> None:
    """Drop every kept state (after a reset of the store)."""
    _streams.forget()


_streams = Streams()


def _decide_and_append(
    folded: Folded, command: Command, origin: Origin, command_id: CommandId | None, answer: Render | None
) -> Outcome:
    current = False
    if not folded.loaded:
        folded.catch_up()
        current = True
    for _ in range(ATTEMPTS):
        decided = _decide(folded.user, command)
        if not current and not (isinstance(decided, list) and decided):
            # "nothing to do" and "refused" are only true on the newest state; an append checks by itself
            current = True
            if folded.catch_up():
                continue
        if isinstance(decided, DomainError):
            raise decided
        outcome = _append(folded, decided, origin, command_id, answer)
        if outcome is not None:
            return outcome
        if not folded.catch_up():
            log.check_not_erased(folded.stream)
        current = True
    raise Conflict


def _checkpoint_when_grown(folded: Folded, command: SyncUserData) -> None:
    """After a sync: an import of a whole library is then read once, and not at every load."""
    if folded.since_checkpoint() <= settings.CHECKPOINT_EVERY:
        return
    before = command.now - timedelta(days=settings.RETENTION_DAYS)
    events = decide(folded.user, TakeCheckpoint(user_id=command.user_id, now=command.now, before=before))
    position = log.append(folded.stream, folded.version, events, Origin())
    if position is not None:  # else somebody else goes on writing, and the next sync takes it
        folded.recorded(events, position)


def _decide(user: User, command: Command) -> list[Event] | DomainError:
    try:
        return decide(user, command)
    except DomainError as refused:
        return refused


def _append(
    folded: Folded, events: list[Event], origin: Origin, command_id: CommandId | None, answer: Render | None
) -> Outcome | None:
    """The outcome once it is recorded; None when the stream has moved on."""
    if not events:
        outcome = _rendered(Outcome([], folded.version, folded.position, folded.user), answer)
        if command_id is not None:
            log.remember_command(folded.stream, command_id, folded.position, folded.version, outcome.answer)
        return outcome
    expected = folded.version
    if command_id is None:
        position = log.append(folded.stream, expected, events, origin)
        if position is None:
            return None
        folded.recorded(events, position)
        return _rendered(Outcome(events, folded.version, position, folded.user), answer)
    # the answer is stored in the statement that appends, so it is rendered on the state after it; that state
    # is false until the append has succeeded
    folded.reset()
    folded.apply(events)
    outcome = _rendered(Outcome(events, expected + len(events), 0, folded.user), answer)
    position = log.append(folded.stream, expected, events, origin, command_id, outcome.answer)
    if position is None:
        return None
    folded.confirm(outcome.version, position)
    return outcome._replace(position=position)


def _rendered(outcome: Outcome, answer: Render | None) -> Outcome:
    return outcome if answer is None else outcome._replace(answer=answer(outcome))
