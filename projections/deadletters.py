"""Events that a projector could not apply, and the later ones of their streams, which wait behind them."""

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
LONGEST_ERROR = 2_000
# letters of one stream that one transaction retries: it holds up the projector meanwhile
AT_ONCE = 1_000


class Letter(NamedTuple):
    """One dead letter, for the operator. An empty ``error`` waits behind an earlier one of its stream."""

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
    """The streams whose events wait."""
    cursor.execute('SELECT DISTINCT stream FROM "users"."dead_letters" WHERE projector = %s', [projector])
    return frozenset(stream for (stream,) in cursor.fetchall())


def park(cursor: Cursor[Any], projector: str, event: RecordedEvent, error: Exception, attempts: int) -> None:
    """Set an event aside. The caller holds the position, so nobody else writes letters of its stream."""
    cursor.execute(INSERT, _values(projector, event, _text(error), attempts))
    cursor.execute('UPDATE "users"."projector_positions" SET parked = true WHERE projector = %s', [projector])


def queue(cursor: Cursor[Any], projector: str, events: Sequence[RecordedEvent]) -> None:
    """Let events wait behind the parked one of their stream."""
    if events:
        cursor.executemany(INSERT, [_values(projector, event, "", 0) for event in events])


def letters(connection: Connection, projector: str | None = None, limit: int = 1_000) -> list[Letter]:
    """What waits, in order."""
    rows = connection.execute(
        'SELECT projector, position, stream, type, error, attempts FROM "users"."dead_letters"'
        " WHERE %s::text IS NULL OR projector = %s ORDER BY projector, position LIMIT %s",
        [projector, projector, limit],
    )
    return [Letter(*row) for row in rows]


def streams_of_gone_events(connection: Connection) -> dict[str, set[int]]:
    """By projector, the streams with dead letters whose event was removed or deleted.

    Their error texts may still tell what the event was. ``retry`` drops them, and applies what waits behind.
    """
    rows = connection.execute(
        'SELECT projector, stream, array_agg(version) FROM "users"."dead_letters" GROUP BY projector, stream'
    )
    gone: dict[str, set[int]] = {}
    for projector, stream, versions in rows.fetchall():
        kept = log.read_stream(stream, after=min(versions) - 1, upto=max(versions))
        if not {event.version for event in kept}.issuperset(versions):
            gone.setdefault(projector, set()).add(stream)
    return gone


def retry(worker: "Worker", chosen: Iterable[int] | None = None) -> Retried:
    """Apply what waits, each stream (or each of the ``chosen``) in its order, up to its first event that
    fails again.

    May run beside the live projector: whoever locks the row of the position writes. Letters whose event is
    no longer in the store (the listener had it removed) are dropped.
    """
    with worker.connection.cursor() as cursor:
        stuck = sorted(streams(cursor, worker.name) if chosen is None else chosen)
    applied = 0
    for stream in stuck:
        going = True
        while going:
            done, going = _retry_some(worker, stream)
            applied += done
    with worker.connection.cursor() as cursor:
        cursor.execute('SELECT count(*) FROM "users"."dead_letters" WHERE projector = %s', [worker.name])
        (left,) = cursor.fetchone() or (0,)
    return Retried(applied, left)


def _retry_some(worker: "Worker", stream: int) -> tuple[int, bool]:
    """How many of the stream's next letters could be applied, or dropped; and whether to go on with it."""
    with worker.connection.transaction(), worker.connection.cursor() as cursor:
        worker.hold(cursor)
        cursor.execute(
            'SELECT position, version FROM "users"."dead_letters" WHERE projector = %s AND stream = %s'
            " ORDER BY position LIMIT %s",
            [worker.name, stream, AT_ONCE],
        )
        waiting: dict[int, int] = dict(cursor.fetchall())
        if not waiting:
            return 0, False
        versions = waiting.values()
        kept = log.read_stream(stream, after=min(versions) - 1, upto=max(versions))
        events = [event for event in kept if event.position in waiting]
        failed = _apply_until_failure(worker, cursor, events)
        done = [position for position in waiting if failed is None or position < failed]
        cursor.execute(
            'DELETE FROM "users"."dead_letters" WHERE projector = %s AND position = ANY(%s)',
            [worker.name, done],
        )
        cursor.execute(
            'UPDATE "users"."projector_positions" SET parked ='
            ' EXISTS (SELECT FROM "users"."dead_letters" WHERE projector = %s)'
            " WHERE projector = %s RETURNING parked",
            [worker.name, worker.name],
        )
        (worker.parked,) = cursor.fetchone() or (False,)
    return len(done), failed is None


def _apply_until_failure(
    worker: "Worker", cursor: Cursor[Any], events: Sequence[RecordedEvent]
) -> int | None:
    """The position of the first event that fails again; its letter says with what."""
    for event in events:
        batch = Batch([event], event.position)
        try:
            with worker.connection.transaction():
                worker.project(cursor, batch.facts([event]))
        except Exception as failure:
            if is_outage(failure):
                raise
            cursor.execute(
                'UPDATE "users"."dead_letters" SET error = %s, attempts = attempts + 1,'
                " last_at = clock_timestamp() WHERE projector = %s AND position = %s",
                [_text(failure), worker.name, event.position],
            )
            return event.position
    return None


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:LONGEST_ERROR].replace("\0", "")


def _values(projector: str, event: RecordedEvent, error: str, attempts: int) -> list[Any]:
    return [projector, event.position, event.stream, event.version, event.type, error, attempts]
