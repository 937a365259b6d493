"""A command in steps, for a caller that sends the statements by itself: what to read, what that leads to, and
what to append. ``dispatcher.dispatch`` does it all with a connection of its thread.

The steps are for ordinary commands, which record one event and need only the entries that they name. For
others there is no next step.
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from eventstore import dispatcher, entries, log
from eventstore.appending import to_append_one
from eventstore.columns import KeptEntry
from eventstore.dispatcher import Decision, Outcome
from eventstore.domain.messages import Command, Origin
from eventstore.domain.topics import STATE_SCHEMA, Keys
from eventstore.entries import Question
from eventstore.prepared import Prepared
from eventstore.streams import NotAtHand, StreamAtHand, StreamUnreadable, digests_of


class Decided(NamedTuple):
    """What a command leads to on a state. The outcome's position is 0: it is not recorded yet."""

    stream: StreamAtHand
    outcome: Outcome
    changed: list[KeptEntry]


def question(user_id: UUID, named: Keys) -> Question:
    """Return what reads the state that a command is decided on; ``named``: its ``keys``."""
    stream = log.cached_stream(user_id)
    return entries.question(log.names_of(user_id) if stream is None else stream, digests_of(named))


def decide(command: Command, named: Keys, rows: Sequence[Sequence[bytes | None]]) -> Decided | None:
    """Decide a command on the rows that answer its question. None where there is no stream yet, where it was
    erased or cannot be read, and where the command is refused, changes nothing, or needs to read more."""
    found = entries.state_in(rows)
    if found is None or found.is_erased or found.schema != STATE_SCHEMA:
        return None
    log.cache_stream(command.user_id, found.stream)
    try:
        stream = StreamAtHand(command.user_id, found, named)
        decision = dispatcher.decide_in(stream, command, named)
        if not isinstance(decision, Decision) or len(decision.events) != 1:
            return None
        changed = stream.apply(decision.unfolded)
    except (NotAtHand, StreamUnreadable):
        return None
    return Decided(stream, Outcome(decision.events, stream.version + 1, 0, stream.user), changed)


def to_append(decided: Decided, origin: Origin) -> tuple[Prepared, dict[str, bytes]] | None:
    """Return the statement that records what was decided, which returns the event's position, or no row where
    another writer came first; and its parameters. It runs in autocommit, or together with those of other
    streams in the order of their ids."""
    stream, outcome, changed = decided
    if len(changed) > 1:
        return None
    return to_append_one(stream.id, stream.version, outcome.events[0], origin, changed)


def recorded(decided: Decided, position: int | None) -> None:
    """Note that what was decided is recorded at a position, or for None, that another writer came first."""
    log.counted(decided.outcome.events, position)
    # what a later command here has cached is outdated
    dispatcher.clear_cache(decided.stream.user_id)
