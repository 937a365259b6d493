"""Events that a projector could not apply, and the later events of their streams, which wait behind them."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg import Cursor

from eventstore import log
from eventstore.log import RecordedEvent
from projections.batches import Batch
from projections.connect import Connection
from projections.failures import is_outage

if TYPE_CHECKING:
    from projections.worker import Worker

INSERT = """
INSERT INTO "users"."dead_letters"
       (projector, position, stream, version, type, error, attempts, first_at, last_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, clock_timestamp(), clock_timestamp())
"""
FIRST = """
SELECT position, version FROM "users"."dead_letters" WHERE projector = %s AND stream = %s
 ORDER BY position LIMIT 1
"""
FAILED = """
UPDATE "users"."dead_letters" SET error = %s, attempts = attempts + 1, last_at = clock_timestamp()
 WHERE projector = %s AND position = %s
"""
DONE = """
WITH done AS (DELETE FROM "users"."dead_letters" WHERE projector = %(projector)s AND position = %(position)s)
UPDATE "users"."projector_positions" SET parked = EXISTS (
       SELECT FROM "users"."dead_letters" WHERE projector = %(projector)s AND position <> %(position)s)
 WHERE projector = %(projector)s RETURNING parked
"""
LONGEST_ERROR = 2_000


class Letter(NamedTuple):
    """One dead letter, for the operator. If ``error`` is empty, it waits behind an earlier one of its
    stream."""

    projector: str
    position: int
    stream: int
    type: str
    error: str
    attempts: int


class Retried(NamedTuple):
    applied: int
    left: int


def streams(cursor: Cursor[Any], projector: str) -> frozenset[int]:
    """Return the streams whose events wait."""
    cursor.execute('SELECT DISTINCT stream FROM "users"."dead_letters" WHERE projector = %s', [projector])
    return frozenset(stream for (stream,) in cursor.fetchall())


def park(cursor: Cursor[Any], projector: str, event: RecordedEvent, error: Exception, attempts: int) -> None:
    """Set an event aside. The caller has locked the position, so nobody else writes letters of its stream."""
    cursor.execute(INSERT, _values(projector, event, _text(error), attempts))
    cursor.execute('UPDATE "users"."projector_positions" SET parked = true WHERE projector = %s', [projector])


def queue(cursor: Cursor[Any], projector: str, events: Sequence[RecordedEvent]) -> None:
    """Make events wait behind the parked event of their stream."""
    if events:
        cursor.executemany(INSERT, [_values(projector, event, "", 0) for event in events])


def letters(connection: Connection, projector: str | None = None, limit: int = 1_000) -> list[Letter]:
    """Return the waiting letters, in order."""
    rows = connection.execute(
        'SELECT projector, position, stream, type, error, attempts FROM "users"."dead_letters"'
        " WHERE %s::text IS NULL OR projector = %s ORDER BY projector, position LIMIT %s",
        [projector, projector, limit],
    )
    return [Letter(*row) for row in rows]


def retry(worker: "Worker", chosen: Iterable[int] | None = None) -> Retried:
    """Apply the letters of each stream (or of the ``chosen``) in order, until one fails again.

    This may run beside the live projector, because only the one that locks the position's row writes. Letters
    whose event is no longer in the store (the listener had it removed) are dropped.
    """
    with worker.connection.cursor() as cursor:
        stuck = sorted(streams(cursor, worker.name) if chosen is None else chosen)
    applied = 0
    for stream in stuck:
        while _retry_first(worker, stream):
            applied += 1
    ((left,),) = worker.connection.execute(
        'SELECT count(*) FROM "users"."dead_letters" WHERE projector = %s', [worker.name]
    )
    return Retried(applied, left)


def leave_out(worker: "Worker", stream: int) -> bool:
    """Drop the first letter of a stream; return False if there is none.

    Its event is then not applied, except by a rebuild, and the letters behind it can be.
    """
    with worker.connection.transaction(), worker.connection.cursor() as cursor:
        worker.hold(cursor)
        if (first := cursor.execute(FIRST, [worker.name, stream]).fetchone()) is None:
            return False
        cursor.execute(DONE, {"projector": worker.name, "position": first[0]})
        (worker.parked,) = cursor.fetchone() or (False,)
        return True


def _retry_first(worker: "Worker", stream: int) -> bool:
    """Apply the first letter of a stream, or drop it; return False if it fails again, or there is none."""
    with worker.connection.transaction(), worker.connection.cursor() as cursor:
        worker.hold(cursor)
        if (first := cursor.execute(FIRST, [worker.name, stream]).fetchone()) is None:
            return False
        position, version = first
        events = log.read_stream(stream, after=version - 1, upto=version)
        try:
            with worker.connection.transaction():
                worker.project(cursor, Batch(events, position).facts(events))
        except Exception as failure:
            if is_outage(failure):
                raise
            cursor.execute(FAILED, [_text(failure), worker.name, position])
            return False
        cursor.execute(DONE, {"projector": worker.name, "position": position})
        (worker.parked,) = cursor.fetchone() or (False,)
        return True


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:LONGEST_ERROR].replace("\0", "")


def _values(projector: str, event: RecordedEvent, error: str, attempts: int) -> list[Any]:
    return [projector, event.position, event.stream, event.version, event.type, error, attempts]
