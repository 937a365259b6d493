"""Previews an undo and carries it out, on one state of the stream."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from eventstore import dispatcher, log
from eventstore.appending import CommandAlreadyRecorded
from eventstore.database import execute
from eventstore.dispatcher import ATTEMPTS, CommandId, Conflict, DomainError
from eventstore.domain import history, undoing
from eventstore.domain.messages import Event, Origin
from eventstore.domain.relevance import relevant_to
from eventstore.domain.times import MAX_SKEW
from eventstore.domain.undoing import DETAILS, PastEvent, Plan, Reason
from eventstore.log import RecordedEvent
from eventstore.reading import origin_of
from eventstore.streams import Stream, decode

CAUSE = "undo"
# the version of a stream's first event
FIRST = 1
# the version of the first event that may be chosen
OF_ID = "SELECT version FROM events.events WHERE stream = %(stream)s AND event_id = %(event_id)s"
SINCE = """SELECT coalesce(min(version), %(head)s + 1) FROM events.events
 WHERE stream = %(stream)s AND recorded_at >= %(since)s"""
AFTER = "SELECT %(after)s::integer + 1"
# besides: the version of the checkpoint from which a fold up to that event starts, and the oldest event since
BOUNDS = """
SELECT first.version, base.version, oldest.version, oldest.recorded_at
  FROM ({first}) AS first (version)
 CROSS JOIN LATERAL (
       SELECT coalesce(max(version), 0) FROM events.events
        WHERE stream = %(stream)s AND type = 'UserCheckpoint' AND version < first.version) AS base (version)
  LEFT JOIN LATERAL (
       SELECT version, recorded_at FROM events.events
        WHERE stream = %(stream)s AND version >= base.version ORDER BY version LIMIT 1) AS oldest ON true"""


class NoSuchEvent(Exception):
    """The listener has no such event: it is unknown, another listener's, or removed."""


class Chosen(NamedTuple):
    """Which events to undo: one by its id; those with versions after ``after`` up to ``upto``; or all that
    arrived since ``since`` from a device or an app, matched by whichever of these fields are given."""

    event_id: UUID | None = None
    after: int = 0
    upto: int = 0
    since: datetime | None = None
    device_id: str | None = None
    device_name: str | None = None
    app_id: str | None = None

    @property
    def is_one(self) -> bool:
        return self.event_id is not None

    def has(self, row: RecordedEvent) -> bool:
        """Whether an event is chosen, given one that is not older than the first that may be."""
        if self.since is None:
            return True
        return row.recorded_at >= self.since and self._came_from(origin_of(row))

    def _came_from(self, origin: Origin) -> bool:
        asked = (
            (self.device_id, origin.device_id),
            (self.device_name, origin.device_name),
            (self.app_id, origin.app_id),
        )
        return all(wanted in (None, found) for wanted, found in asked)


class Undo(NamedTuple):
    """A plan with the stored events that its numbers index. ``version`` and ``position``: those of the stream
    before the undo."""

    plan: Plan
    rows: Sequence[RecordedEvent]
    history: Sequence[PastEvent]
    version: int
    position: int

    def ids_of(self, numbers: Sequence[int]) -> tuple[str, ...]:
        return tuple(self.rows[number].event_id for number in numbers)


class _Bounds(NamedTuple):
    """``first``: the version of the first event that may be chosen; ``base``: that of the checkpoint before
    it, or 0; ``oldest``: when the oldest event since the base arrived, if some before it are gone."""

    first: int
    base: int
    oldest: datetime | None


class UndoRefused(DomainError):
    """``code``: ``later_changes``, ``not_undoable``, ``too_old`` or ``nothing_to_undo``; ``undo``: the undo
    that was asked for."""

    def __init__(self, reason: Reason, undo: Undo) -> None:
        super().__init__(reason, DETAILS[reason])
        self.undo = undo


class Undone(NamedTuple):
    """The result of an undo. ``undo`` is None where the first answer to the same command id is given
    again."""

    undo: Undo | None
    events: list[Event]
    version: int
    position: int
    answer: bytes


Render = Callable[[Undo], bytes]


def preview(user_id: UUID, chosen: Chosen, now: datetime) -> Undo:
    """Return what an undo would do. Raises as ``undo`` does."""
    _check_begun(user_id, chosen)
    return _checked(_plan(dispatcher.state_of(user_id), chosen, now), chosen)


def undo(
    user_id: UUID,
    chosen: Chosen,
    origin: Origin,
    now: datetime,
    *,
    command_id: CommandId | None = None,
    answer: Render = lambda undo: b"",
) -> Undone:
    """Restore the state before the chosen events, in one append.

    ``answer`` renders the response. Raises ``NoSuchEvent``; ``UndoRefused`` where a single chosen event
    cannot be undone, or nothing would change; ``DomainError`` ``too_old`` for a time since which not every
    event is kept, and ``nothing_to_undo`` for a listener without history; and what ``dispatcher.dispatch``
    raises.
    """
    _check_begun(user_id, chosen)
    for _ in range(ATTEMPTS):
        stream = dispatcher.state_of(user_id)
        if command_id is not None and (first := dispatcher.earlier(stream, command_id)) is not None:
            return Undone(None, [], first.version, first.position, first.answer)
        found = _checked(_plan(stream, chosen, now), chosen)
        try:
            done = _append(stream, found, origin, command_id, answer(found))
        except CommandAlreadyRecorded:
            continue  # the same command was recorded concurrently
        if done is not None:
            log.notify()
            return done
        log.check_not_erased(stream.id)
    raise Conflict


def _check_begun(user_id: UUID, chosen: Chosen) -> None:
    """Raise where there is no history yet: looking at it must not open a stream."""
    if log.known_stream(user_id) is not None:
        return
    if chosen.is_one:
        raise NoSuchEvent
    raise DomainError("nothing_to_undo", DETAILS["nothing_to_undo"])


def _checked(found: Undo, chosen: Chosen) -> Undo:
    reason = found.plan.refusal(is_one=chosen.is_one)
    if reason is not None:
        raise UndoRefused(reason, found)
    return found


def _append(
    stream: Stream, found: Undo, origin: Origin, command_id: CommandId | None, rendered: bytes
) -> Undone | None:
    """Return None when the stream has moved on."""
    events = [one.event for one in found.plan.events]
    if not events:
        if command_id is not None:
            log.remember_command(stream.id, command_id, stream.position, stream.version, rendered)
        return Undone(found, [], stream.version, stream.position, rendered)
    origins = [_caused(origin, found.ids_of(one.undone)) for one in found.plan.events]
    changed = stream.apply(events)
    position = log.append(
        stream.id, stream.version, events, origins[0], command_id, rendered, changed, origins
    )
    if position is None:
        return None
    return Undone(found, events, stream.version + len(events), position, rendered)


def _caused(origin: Origin, undoes: tuple[str, ...]) -> Origin:
    return Origin(origin.app_id, origin.device_id, origin.device_name, origin.occurred_at, CAUSE, undoes)


def _plan(stream: Stream, chosen: Chosen, now: datetime) -> Undo:
    bounds = _bounds(stream, chosen)
    _check_kept(chosen, bounds.oldest)
    rows, numbers = _read(stream, chosen, bounds)
    past = [PastEvent(event, number in numbers) for number, event in enumerate(decode(rows))]
    # one statement for all topics
    stream.fetch(history.keys(one.event for one in past if one.is_chosen))
    since = None if bounds.oldest is None else bounds.oldest + MAX_SKEW
    return Undo(undoing.plan(past, stream.user, since, now), rows, past, stream.version, stream.position)


def _bounds(stream: Stream, chosen: Chosen) -> _Bounds:
    """Raises ``NoSuchEvent``."""
    found = OF_ID if chosen.is_one else AFTER if chosen.since is None else SINCE
    values = {"stream": stream.id, "head": stream.version, **chosen._asdict()}
    row = execute(BOUNDS.format(first=found), values).fetchone()
    if row is None:
        raise NoSuchEvent
    first, base, version, oldest = row
    return _Bounds(first, base, None if version in (None, FIRST, base) else oldest)


def _read(stream: Stream, chosen: Chosen, bounds: _Bounds) -> tuple[list[RecordedEvent], set[int]]:
    """Return the chosen events with those that their undo depends on, and the numbers of the chosen ones."""
    first, base, _ = bounds
    last = first if chosen.is_one else chosen.upto if chosen.since is None else stream.version
    between = log.read_stream(stream.id, first - 1, min(last, stream.version))
    picked = {row.version: row for row in between if chosen.has(row)}
    which = relevant_to(decode(list(picked.values())))
    found = {
        row.version: row for row in log.read_relevant(stream.id, max(0, base - 1), stream.version, which)
    }
    rows = [row for _, row in sorted((found | picked).items())]
    return rows, {number for number, row in enumerate(rows) if row.version in picked}


def _check_kept(chosen: Chosen, oldest: datetime | None) -> None:
    """Raise ``DomainError`` where not every event since the requested time is kept. ``oldest``: when the
    oldest event arrived, if others before it are gone."""
    if chosen.since is None or oldest is None or chosen.since >= oldest:
        return
    earliest = oldest.isoformat(timespec="seconds")
    raise DomainError("too_old", f"Single events are kept since {earliest}: {DETAILS['too_old']}")
