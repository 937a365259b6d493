"""One projector at work: rows and position in one transaction, so that an event is applied exactly once."""

import logging
from collections.abc import Sequence
from typing import Any

from psycopg import Cursor

from eventstore.log import Recorded
from projections import deadletters
from projections.batches import Batch
from projections.connect import Connection
from projections.projectors.shape import Fact, Projector, Tables
from projections.shards import WHOLE, Shard
from projections.tables import identifier

logger = logging.getLogger(__name__)

# The position comes first: of two that write at once the second waits here, finds the position moved, and
# has touched no row. Of another epoch are events that were read before an account was erased. The number of
# shards is asked too: a row of another layout may happen to be at the same position.
CLAIM = """
UPDATE "users"."projector_positions" SET position = %s, updated_at = clock_timestamp()
 WHERE projector = %s AND shard = %s AND shards = %s AND position = %s AND epoch = %s RETURNING parked
"""
# The same for several at once: of their rows none is locked by anybody else while he waits for another.
CLAIM_ALL = """
UPDATE "users"."projector_positions" saved SET position = %s, updated_at = clock_timestamp()
  FROM unnest(%s::text[], %s::smallint[], %s::smallint[], %s::bigint[], %s::integer[])
       AS known (projector, shard, shards, position, epoch)
 WHERE saved.projector = known.projector AND saved.shard = known.shard AND saved.shards = known.shards
   AND saved.position = known.position AND saved.epoch = known.epoch
RETURNING saved.parked
"""
# A commit that waits for the disk, and so for all commits before it, in whatever way they were made.
FLUSH = """
UPDATE "users"."projector_positions" saved SET updated_at = clock_timestamp()
  FROM set_config('synchronous_commit', 'on', true) AS for_this_statement,
       unnest(%s::text[], %s::smallint[], %s::smallint[]) AS known (projector, shard, shards)
 WHERE saved.projector = known.projector AND saved.shard = known.shard AND saved.shards = known.shards
RETURNING saved.projector, saved.shard, saved.shards, saved.position
"""


class Moved(Exception):
    """Somebody else has saved a position of this projector in the meantime, erased an account, or shared the
    projector out anew.
    """


class Worker:
    """A projector, or one shard of it, the connection that it writes on, and how far it has come.

    ``name`` and ``tables`` differ from the projector's own in a rebuild. Raises ``Moved`` where the projector
    is shared out in another way.
    """

    def __init__(
        self,
        projector: Projector,
        connection: Connection,
        name: str = "",
        tables: Tables | None = None,
        shard: Shard = WHOLE,
    ) -> None:
        self.projector = projector
        self.connection = connection
        self.name = name or projector.name
        self.tables = tables or {table: identifier(table) for table in projector.tables}
        self.shard = shard
        self.label = shard.label(self.name)
        self.position, self.parked, self.epoch = load(connection, self.name, shard)

    def refresh(self) -> bool:
        """Start from what is saved; true where an account was erased meanwhile: what was read is too old."""
        epoch = self.epoch
        self.position, self.parked, self.epoch = load(self.connection, self.name, self.shard)
        return self.epoch != epoch

    def apply(self, batch: Batch) -> None:
        """Apply the batch and save its position, or neither.

        Raises ``Moved``, ``CodecError``, and whatever the projector or the database raises.
        """
        if batch.upto <= self.position:
            return
        with self.connection.transaction(), self.connection.cursor() as cursor:
            parked = self._claim(cursor, batch.upto)
            events = self.wanted(batch)
            if parked and events:
                stuck = deadletters.streams(cursor, self.name, self.shard)
                deadletters.queue(cursor, self.name, [event for event in events if event.stream in stuck])
                events = [event for event in events if event.stream not in stuck]
            self.project(cursor, batch.facts(events))
        self.position, self.parked = batch.upto, parked

    def park(self, batch: Batch, error: Exception, attempts: int) -> None:
        """Set the one event of the batch aside and save its position."""
        (event,) = batch.events
        with self.connection.transaction(), self.connection.cursor() as cursor:
            parked = self._claim(cursor, batch.upto)
            if self.shard.has(event.stream):
                deadletters.park(cursor, self.name, event, error, attempts, self.shard)
                parked = True
            else:
                # the letter is for the shard of its stream; what a shard of others makes of it, the next of
                # its kind makes good (a trim takes away what those before it had left)
                logger.error("%s goes on without %s: %s", self.label, event.position, type(error).__name__)
        self.position, self.parked = batch.upto, parked

    def hold(self, cursor: Cursor[Any]) -> None:
        """Let nobody else apply anything here until the end of the transaction. Raises ``Moved``."""
        cursor.execute(
            'SELECT 1 FROM "users"."projector_positions"'
            " WHERE projector = %s AND shard = %s AND shards = %s FOR UPDATE",
            [self.name, *self.shard],
        )
        if cursor.fetchone() is None:
            raise Moved(self.label)

    def wanted(self, batch: Batch) -> list[Recorded]:
        """The events of the batch that are to be applied here."""
        events = batch.without(self.projector.ignores, self.position)
        if self.shard.of == 1:
            return events
        return [event for event in events if self.concerns(event)]

    def concerns(self, event: Recorded) -> bool:
        """Whether the event is one of the shard's streams, or one for every shard."""
        return self.shard.has(event.stream) or event.type in self.projector.heard_everywhere

    def project(self, cursor: Cursor[Any], facts: Sequence[Fact]) -> None:
        self.project_as(self.shard, cursor, facts)

    def project_as(self, shard: Shard, cursor: Cursor[Any], facts: Sequence[Fact]) -> None:
        """The rows that this shard would make of the facts."""
        if not facts:
            return
        if shard.of > 1 and self.projector.apply_shard is not None:
            self.projector.apply_shard(facts, cursor, self.tables, shard)
        else:
            self.projector.apply(facts, cursor, self.tables)

    def _claim(self, cursor: Cursor[Any], upto: int) -> bool:
        cursor.execute(CLAIM, [upto, self.name, *self.shard, self.position, self.epoch])
        row = cursor.fetchone()
        if row is None:
            raise Moved(self.label)
        return bool(row[0])


def load(connection: Connection, name: str, shard: Shard = WHOLE) -> tuple[int, bool, int]:
    """The saved position of a projector, whether it has dead letters, and its epoch; it starts at 0.

    Raises ``Moved`` where there is no such shard.
    """
    if shard == WHOLE:
        # where the projector is shared out, its first shard has the key of this row: nothing is inserted
        connection.execute(
            'INSERT INTO "users"."projector_positions" (projector, position, parked) VALUES (%s, 0, false)'
            " ON CONFLICT DO NOTHING",
            [name],
        )
    row = connection.execute(
        'SELECT position, parked, epoch FROM "users"."projector_positions"'
        " WHERE projector = %s AND shard = %s AND shards = %s",
        [name, *shard],
    ).fetchone()
    if row is None:
        raise Moved(shard.label(name))
    return int(row[0]), bool(row[1]), int(row[2])


def apply_together(connection: Connection, workers: Sequence[Worker], batch: Batch) -> None:
    """Apply the batch for all workers, which share ``connection`` and are not parked, or for none.

    One transaction, sent in two packages however many there are: this is what the delay from an append to
    its rows is made of. Raises ``Moved``, ``CodecError``, and whatever a projector or the database raises:
    then ``Worker.apply``, one by one, finds the worker to blame.
    """
    behind = [worker for worker in workers if worker.position < batch.upto]
    if not behind:
        return
    positions = [worker.position for worker in behind]
    known = *_rows(behind), positions, [worker.epoch for worker in behind]
    try:
        with connection.pipeline(), connection.cursor() as claims, connection.cursor() as cursor:
            # by hand: a ``transaction()`` waits for each of its own statements
            cursor.execute("BEGIN")
            claims.execute(CLAIM_ALL, [batch.upto, *known])
            for worker in behind:
                worker.project(cursor, batch.facts(worker.wanted(batch)))
            if claims.fetchall() != [(False,)] * len(behind):
                raise Moved
            cursor.execute("COMMIT")
    except BaseException:
        if not connection.closed:
            connection.rollback()
        raise
    for worker in behind:
        worker.position = batch.upto


def flushed(connection: Connection, workers: Sequence[Worker]) -> dict[str, int]:
    """The saved positions of these workers, by label, once they are on the disk, whatever its commits wait
    for.
    """
    rows = connection.execute(FLUSH, _rows(workers))
    return {Shard(number, of).label(name): int(position) for name, number, of, position in rows}


def _rows(workers: Sequence[Worker]) -> tuple[list[str], list[int], list[int]]:
    """What their rows are found by, column by column."""
    return (
        [worker.name for worker in workers],
        [worker.shard.number for worker in workers],
        [worker.shard.of for worker in workers],
    )
