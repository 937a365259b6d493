"""From a command to its events: load, decide, append, and decide again when another writer came first."""

from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

from msgspec.structs import replace

from eventstore import entries, log
from eventstore.domain.checkpoint import TakeCheckpoint
from eventstore.domain.errors import DomainError
from eventstore.domain.messages import Command, Event
from eventstore.domain.tally import tally
from eventstore.domain.topics import Keys
from eventstore.domain.user import User, decide, keys
from eventstore.log import CommandAlreadyRecorded, CommandId, Origin, StreamErased
from eventstore.reading import senders
from eventstore.streams import Stream, Streams, StreamUnreadable, decode, folded, read_from_checkpoint

__all__ = [
    "CommandId",
    "CommandIdReused",
    "Conflict",
    "DomainError",
    "Origin",
    "Outcome",
    "Render",
    "StreamErased",
    "StreamUnreadable",
    "dispatch",
    "earlier",
    "events_since",
    "forget",
    "state_of",
]

# So many lost races, and then others wait: small commands come before a checkpoint many times in a row.
ATTEMPTS = 8


class Conflict(Exception):
    """Other writers came first every time, and could not be held up."""


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

    ``answer`` renders what to give back, from the state after the command. Raises ``DomainError`` when the
    rules refuse, ``Conflict`` after many lost races, ``CommandIdReused``, ``StreamUnreadable``,
    ``StreamErased``, and ``OperationalError`` while the store is away.
    """
    stream = _streams.take(command.user_id)
    if command_id is not None and (first := earlier(stream, command_id)) is not None:
        return first
    try:
        outcome = _decide_and_append(stream, command, origin, command_id, answer)
    except CommandAlreadyRecorded:
        assert command_id is not None
        first = earlier(Stream(command.user_id), command_id)
        if first is None:
            log.check_not_erased(stream.id)
            raise Conflict from None
        return first
    # what failed on the way is not kept: it may be false
    _streams.give_back(stream)
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


def state_of(user_id: UUID) -> Stream:
    """A user's stream as it is now; its entries are read when they are asked for. Raises ``StreamErased``."""
    stream = Stream(user_id)
    stream.read({})
    return stream


def earlier(stream: Stream, command_id: CommandId) -> Outcome | None:
    """What this command led to the first time. Raises ``CommandIdReused``."""
    found = log.remembered_command(stream.id, command_id.key)
    if found is None:
        return None
    if found.fingerprint != command_id.fingerprint:
        raise CommandIdReused
    return Outcome([], found.version, found.position, stream.user, replayed=True, answer=found.answer)


def forget() -> None:
    """Drop every kept state (after a reset of the store)."""
    _streams.forget()


_streams = Streams()


def _decide_and_append(
    stream: Stream, command: Command, origin: Origin, command_id: CommandId | None, answer: Render | None
) -> Outcome:
    named = keys(command)
    is_current = stream.read(named)
    for _ in range(ATTEMPTS):
        decided = _decide(stream, command, named)
        if not is_current and not (isinstance(decided, list) and decided):
            # "nothing to do" and "refused" are only true on the newest state; an append checks by itself
            stream.refresh(named)
            decided = _decide(stream, command, named)
        outcome = _append(stream, decided, origin, command_id, answer)
        if outcome is not None:
            return outcome
        stream.refresh(named)
        is_current = True
    with entries.blocked_appends():
        stream.refresh(named)
        outcome = _append(stream, _decide(stream, command, named), origin, command_id, answer)
    if outcome is None:
        raise Conflict
    return outcome


def _decide(stream: Stream, command: Command, named: Keys) -> list[Event] | DomainError:
    # a checkpoint stands for events that are deleted: it says what they say, not what is kept of them
    user = stream.user
    if isinstance(command, TakeCheckpoint):
        rows = read_from_checkpoint(stream.id, stream.version)
        events = decode(rows)
        user = folded(stream.user_id, events)
        heard = tally(zip(events, senders(rows), strict=True), command.before)
        command = replace(command, listening=heard)
    try:
        return decide(user, command, named)
    except DomainError as refused:
        return refused


def _append(
    stream: Stream,
    decided: list[Event] | DomainError,
    origin: Origin,
    command_id: CommandId | None,
    answer: Render | None,
) -> Outcome | None:
    """The outcome once it is recorded; None when the stream has moved on. Raises ``DomainError``."""
    if isinstance(decided, DomainError):
        raise decided
    events = decided
    if not events:
        outcome = _rendered(Outcome([], stream.version, stream.position, stream.user), answer)
        if command_id is not None:
            log.remember_command(stream.id, command_id, stream.position, stream.version, outcome.answer)
        return outcome
    version = stream.version + len(events)
    changed = stream.apply(events)
    # what an id stands for is stored in the statement that appends, so it is rendered before
    outcome = Outcome(events, version, 0, stream.user)
    if command_id is not None:
        outcome = _rendered(outcome, answer)
    position = log.append(stream.id, stream.version, events, origin, command_id, outcome.answer, changed)
    if position is None:
        return None
    stream.recorded(events, position)
    outcome = outcome._replace(position=position)
    return outcome if command_id is not None else _rendered(outcome, answer)


def _rendered(outcome: Outcome, answer: Render | None) -> Outcome:
    return outcome if answer is None else outcome._replace(answer=answer(outcome))
