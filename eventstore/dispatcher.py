"""Turns a command into events: load, decide, append, and decide again when another writer came first."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple
from uuid import UUID

from msgspec.structs import replace

from eventstore import entries, log
from eventstore.appending import CommandAlreadyRecorded, CommandId
from eventstore.domain.batch import Batch
from eventstore.domain.checkpoint import TakeCheckpoint
from eventstore.domain.errors import DomainError
from eventstore.domain.messages import Command, Event, Origin
from eventstore.domain.tally import tally
from eventstore.domain.topics import Keys
from eventstore.domain.user import User, decide, decide_and_evolve, decide_in_steps, keys
from eventstore.log import StreamErased
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
    "clear_cache",
    "dispatch",
    "earlier",
    "events_since",
    "state_of",
]

# From this many events on, the store records them while they are folded and their answer is rendered.
MANY = 500
# orders of a large batch that are decided before the store begins, and at a time from then on
STEP = 2_000
# After this many lost races the other writers are made to wait: small commands beat a checkpoint many times
# in a row.
ATTEMPTS = 8


class Conflict(Exception):
    """Other writers came first every time, and could not be made to wait."""


class Decision(NamedTuple):
    """The events of a command, or the first of them; those that are not folded into the stream's state yet;
    and those that follow, of a large batch, which are decided while the first are recorded."""

    events: list[Event]
    unfolded: list[Event]
    following: Iterator[list[Event]] | None = None


class CommandIdReused(Exception):
    """This command id was used for another command."""


class Outcome(NamedTuple):
    """The result of a command.

    ``position`` is the global position that a read model must have reached to reflect the command, even where
    nothing was recorded. ``user`` is the state after the command, valid only until the next command.
    ``answer`` is what was rendered for the command id; where ``replayed``, it is the answer of the first
    time.
    """

    events: list[Event]
    version: int
    position: int
    user: User
    replayed: bool = False
    answer: bytes = b""


Render = Callable[[Outcome], bytes]


def dispatch(
    command: Command,
    origin: Origin,
    *,
    command_id: CommandId | None = None,
    answer: Render | None = None,
    whole: bool = False,
) -> Outcome:
    """Decide ``command`` on its user's stream and record the resulting events, exactly once per
    ``command_id``.

    ``answer`` renders the response from the state after the command; ``whole`` says that it needs all of it,
    which is then read at once, and rendered while the store records the events. Raises ``DomainError`` when
    the rules refuse the command, ``Conflict`` after many lost races, ``CommandIdReused``,
    ``StreamUnreadable``, ``StreamErased``, and ``OperationalError`` while the store is unavailable.
    """
    stream = _streams.take(command.user_id)
    if command_id is not None and (first := earlier(stream, command_id)) is not None:
        return first
    try:
        named = None if whole else keys(command)
        outcome = _decide_and_append(stream, command, named, origin, command_id, answer)
    except CommandAlreadyRecorded:
        assert command_id is not None
        first = earlier(Stream(command.user_id), command_id)
        if first is None:
            log.check_not_erased(stream.id)
            raise Conflict from None
        return first
    # after a failure the stream is not cached, because its state may be wrong
    _streams.give_back(stream)
    if outcome.events:
        log.notify()
    return outcome


def events_since(user_id: UUID, version: int) -> list[Event] | None:
    """Return the events of a user's stream after ``version``, or None when the log does not reach back that
    far.

    Raises ``StreamUnreadable``.
    """
    rows = log.read_stream(log.stream_of(user_id), after=version)
    if rows and rows[0].version != version + 1:
        return None
    return decode(rows)


def state_of(user_id: UUID) -> Stream:
    """Return a user's current stream; its entries are read when they are accessed. Raises
    ``StreamErased``."""
    stream = Stream(user_id)
    stream.read({})
    return stream


def earlier(stream: Stream, command_id: CommandId) -> Outcome | None:
    """Return the outcome of this command's first run, or None. Raises ``CommandIdReused``."""
    found = log.remembered_command(stream.id, command_id.key)
    if found is None:
        return None
    if found.fingerprint != command_id.fingerprint:
        raise CommandIdReused
    return Outcome([], found.version, found.position, stream.user, replayed=True, answer=found.answer)


def clear_cache(user_id: UUID | None = None) -> None:
    """Drop the cached state of a user, or every one (after a reset of the store)."""
    _streams.clear(user_id)


_streams = Streams()


def _decide_and_append(
    stream: Stream,
    command: Command,
    named: Keys | None,
    origin: Origin,
    command_id: CommandId | None,
    answer: Render | None,
) -> Outcome:
    is_current = stream.read(named)
    for _ in range(ATTEMPTS):
        decided = decide_in(stream, command, named)
        if not is_current and not (isinstance(decided, Decision) and decided.events):
            # "nothing to do" and "refused" hold only on the current state; an append checks the version by
            # itself
            stream.refresh(named)
            decided = decide_in(stream, command, named)
        outcome = _append(stream, decided, origin, command_id, answer, named is None)
        if outcome is not None:
            return outcome
        stream.refresh(named)
        is_current = True
    with entries.blocked_appends():
        stream.refresh(named)
        decided = decide_in(stream, command, named)
        outcome = _append(stream, decided, origin, command_id, answer, named is None)
    if outcome is None:
        raise Conflict
    return outcome


def decide_in(stream: Stream, command: Command, named: Keys | None) -> Decision | DomainError:
    """Return the events of a command, or why it is refused."""
    if isinstance(command, Batch):
        if len(command.orders) < MANY:
            return Decision(decide_and_evolve(stream.user, command), [])
        steps = decide_in_steps(stream.user, command, STEP)
        return Decision(next(filter(None, steps), []), [], steps)
    # a checkpoint replaces deleted events, so it is folded from the events, not from the snapshot entries
    user = stream.user
    if isinstance(command, TakeCheckpoint):
        rows = read_from_checkpoint(stream.id, stream.version)
        events = decode(rows)
        user = folded(stream.user_id, events)
        listening = tally(zip(events, senders(rows), strict=True), command.before)
        command = replace(command, listening=listening)
    try:
        events = decide(user, command, named)
    except DomainError as refused:
        return refused
    return Decision(events, events)


def _append(
    stream: Stream,
    decided: Decision | DomainError,
    origin: Origin,
    command_id: CommandId | None,
    answer: Render | None,
    whole: bool,
) -> Outcome | None:
    """Return the outcome once it is recorded, or None when the stream has moved on. Raises
    ``DomainError``."""
    if isinstance(decided, DomainError):
        raise decided
    events = decided.events
    if not events:
        outcome = _rendered(Outcome([], stream.version, stream.position, stream.user), answer)
        if command_id is not None:
            log.remember_command(stream.id, command_id, stream.position, stream.version, outcome.answer)
        return outcome
    rendered: list[Outcome] = []
    before = stream.version

    def render() -> bytes:
        outcome = Outcome(events, before + len(events), 0, stream.user)
        rendered.append(_rendered(outcome, answer))
        return rendered[0].answer

    def render_meanwhile() -> bytes:
        # What is made of the whole state is rendered without the connection, which is busy then. It must not
        # keep the transaction open, for which projectors wait: an entry takes half as long as inserting an
        # event.
        is_shorter = whole and stream.size <= 2 * len(events)
        return render() if is_shorter or command_id is not None else b""

    def parts() -> Iterator[list[Event]]:
        yield list(events)
        for more in decided.following or ():
            events.extend(more)
            if more:
                yield more

    if len(events) < MANY and decided.following is None:
        changed = stream.apply(decided.unfolded)
        # the answer is stored by the statement that appends
        position = log.append(
            stream.id, before, events, origin, command_id, render() if command_id else b"", changed
        )
    else:
        changes = partial(stream.changes, decided.unfolded)
        position = log.append_while(stream.id, before, parts(), origin, changes, command_id, render_meanwhile)
    if position is None:
        return None
    stream.recorded(events, position)
    if not rendered:
        render()
    return rendered[0]._replace(position=position)


def _rendered(outcome: Outcome, answer: Render | None) -> Outcome:
    return outcome if answer is None else outcome._replace(answer=answer(outcome))
