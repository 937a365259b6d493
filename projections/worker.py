"""One projector at work: rows and position in one transaction, so that each event is applied exactly once."""

from collections.abc import Sequence
from typing import Any

from psycopg import Cursor

from eventstore.log import RecordedEvent
from projections import deadletters
from projections.batches import Batch
from projections.connect import Connection
from projections.projectors.shape import Fact, Projector, Tables

# The position is claimed first: if two write at once, the second waits here, finds the position moved, and
# has touched no row. Events read before an account was erased belong to an older epoch: applying them would
# bring its rows back. One statement claims several projectors, so that nobody holds one of their rows while
# waiting for another.
CLAIM = """
UPDATE "users"."projector_positions" saved SET position = %s, updated_at = clock_timestamp()
  FROM unnest(%s::text[], %s::bigint[], %s::integer[]) AS known (projector, position, epoch)
 WHERE saved.projector = known.projector AND saved.position = known.position AND saved.epoch = known.epoch
RETURNING saved.parked
"""
# A commit that waits for the disk, and so also for all earlier commits, however these were made.
FLUSH = """
UPDATE "users"."projector_positions" SET updated_at = clock_timestamp()
  FROM set_config('synchronous_commit', 'on', true) AS for_this_statement
 WHERE projector = ANY(%s)
"""
# Dead letters hold a projector back, because it still needs their events.
SAFE = """
SELECT saved.projector, least(saved.position, min(letter.position) - 1)
  FROM "users"."projector_positions" saved LEFT JOIN "users"."dead_letters" letter USING (projector)
 WHERE projector = ANY(%s) GROUP BY saved.projector, saved.position
"""
# Seconds. A process that froze while sending the statements of a batch holds its rows without being "idle in
# transaction", because the server waits for the rest of the statements. PostgreSQL 17 or newer ends that.
LONGEST_TRANSACTION = 3.0


class StalePosition(Exception):
    """Somebody else has saved a position of this projector in the meantime, or erased an account."""


class Worker:
    """A projector, the connection that it writes on, and how far it has come.

    In a rebuild, ``name`` and ``tables`` differ from the projector's own.
    """

    def __init__(
        self,
        projector: Projector,
        connection: Connection,
        name: str = "",
        tables: Tables | None = None,
    ) -> None:
        self.projector = projector
        self.connection = connection
        self.name = name or projector.name
        self.tables = tables or projector.live_tables
        self.position, self.parked, self.epoch = load(connection, self.name)

    def refresh(self) -> bool:
        """Continue from what is saved; return True if an account was erased meanwhile: what was read is too
        old."""
        epoch = self.epoch
        self.position, self.parked, self.epoch = load(self.connection, self.name)
        return self.epoch != epoch

    def apply(self, batch: Batch) -> None:
        """Apply the batch and save its position, or neither.

        Raises ``StalePosition``, ``CodecError``, and whatever the projector or the database raises.
        """
        if batch.upto <= self.position:
            return
        with self.connection.transaction(), self.connection.cursor() as cursor:
            parked = self._claim(cursor, batch.upto)
            events = self.wanted(batch)
            if parked and events:
                stuck = deadletters.streams(cursor, self.name)
                deadletters.queue(cursor, self.name, [event for event in events if event.stream in stuck])
                events = [event for event in events if event.stream not in stuck]
            self.project(cursor, batch.facts(events))
        self.position, self.parked = batch.upto, parked

    def park(self, batch: Batch, error: Exception, attempts: int) -> None:
        """Set the only event of the batch aside and save its position."""
        (event,) = batch.events
        with self.connection.transaction(), self.connection.cursor() as cursor:
            self._claim(cursor, batch.upto)
            deadletters.park(cursor, self.name, event, error, attempts)
        self.position, self.parked = batch.upto, True

    def hold(self, cursor: Cursor[Any]) -> None:
        """Keep everybody else from applying anything here until the end of the transaction."""
        cursor.execute(
            'SELECT 1 FROM "users"."projector_positions" WHERE projector = %s FOR UPDATE', [self.name]
        )

    def wanted(self, batch: Batch) -> list[RecordedEvent]:
        """Return the events of the batch that are to be applied here."""
        return batch.without(self.projector.ignores, self.position)

    def project(self, cursor: Cursor[Any], facts: Sequence[Fact]) -> None:
        """Write the rows that the facts result in."""
        if facts:
            self.projector.apply(facts, cursor, self.tables)

    def _claim(self, cursor: Cursor[Any], upto: int) -> bool:
        cursor.execute(CLAIM, [upto, [self.name], [self.position], [self.epoch]])
        row = cursor.fetchone()
        if row is None:
            raise StalePosition(self.name)
        return bool(row[0])


def load(connection: Connection, name: str) -> tuple[int, bool, int]:
    """Return a projector's saved position (at first 0), whether it has dead letters, and its epoch."""
    connection.execute(
        'INSERT INTO "users"."projector_positions" (projector, position, parked) VALUES (%s, 0, false)'
        " ON CONFLICT DO NOTHING",
        [name],
    )
    ((position, parked, epoch),) = connection.execute(
        'SELECT position, parked, epoch FROM "users"."projector_positions" WHERE projector = %s', [name]
    )
    return int(position), bool(parked), int(epoch)


def apply_together(connection: Connection, workers: Sequence[Worker], batch: Batch) -> None:
    """Apply the batch for all workers, which share ``connection`` and are not parked, or for none.

    It is one transaction, sent in two packages whatever the number of workers: this is most of the delay
    between an append and its rows. Raises ``StalePosition``, ``CodecError``, and what projectors or the
    database raise: then ``Worker.apply``, one by one, finds the worker to blame. ``TransactionTimeout`` ends
    the session.
    """
    behind = [worker for worker in workers if worker.position < batch.upto]
    if not behind:
        return
    names = [worker.name for worker in behind]
    positions, epochs = [worker.position for worker in behind], [worker.epoch for worker in behind]
    try:
        with connection.cursor() as claims, connection.cursor() as cursor:
            with connection.pipeline():
                # by hand, because ``transaction()`` waits for each of its own statements
                cursor.execute("BEGIN")
                if connection.info.server_version >= 170_000:
                    cursor.execute(f"SET LOCAL transaction_timeout = {1000 * LONGEST_TRANSACTION:.0f}")
                claims.execute(CLAIM, [batch.upto, names, positions, epochs])
                for worker in behind:
                    worker.project(cursor, batch.facts(worker.wanted(batch)))
            if claims.fetchall() != [(False,)] * len(behind):
                raise StalePosition
            # outside the pipeline: if the process freezes now, the server sees an idle session and ends it
            cursor.execute("COMMIT")
    except BaseException:
        if not connection.closed:
            connection.rollback()
        raise
    for worker in behind:
        worker.position = batch.upto


def flush(connection: Connection, names: Sequence[str]) -> None:
    """Return once what these projectors have committed is on the disk, whatever their commits waited for."""
    connection.execute(FLUSH, [names])


def safe_positions(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """Return the position below which each of these projectors needs no event any more."""
    return {str(name): int(position) for name, position in connection.execute(SAFE, [names])}
