"""One projector at work: rows and position in one transaction, so that an event is applied exactly once."""

from collections.abc import Sequence
from typing import Any

from psycopg import Cursor

from projections import deadletters
from projections.batches import Batch
from projections.connect import Connection
from projections.projectors.shape import Fact, Projector, Tables
from projections.tables import identifier

# The position comes first: of two that write at once the second waits here, finds the position moved, and
# has touched no row.
CLAIM = """
UPDATE "users"."projector_positions" SET position = %s, updated_at = clock_timestamp()
 WHERE projector = %s AND position = %s RETURNING parked
"""
# Positions alone, of several projectors that a batch does not concern, in one round trip. Not flushed to
# disk: a lost one is passed again, and nothing was written beside it.
ADVANCE = """
UPDATE "users"."projector_positions" saved SET position = %s, updated_at = clock_timestamp()
  FROM unnest(%s::text[], %s::bigint[]) AS known (projector, position),
       set_config('synchronous_commit', 'off', true) AS for_this_statement
 WHERE saved.projector = known.projector AND saved.position = known.position RETURNING saved.projector
"""


class Moved(Exception):
    """Somebody else has saved a position of this projector in the meantime."""


class Worker:
    """A projector, the connection that it writes on, and how far it has come.

    ``name`` and ``tables`` differ from the projector's own in a rebuild.
    """

    def __init__(
        self, projector: Projector, connection: Connection, name: str = "", tables: Tables | None = None
    ) -> None:
        self.projector = projector
        self.connection = connection
        self.name = name or projector.name
        self.tables = tables or {table: identifier(table) for table in projector.tables}
        self.position, self.parked = load(connection, self.name)

    def concerned(self, batch: Batch) -> bool:
        """Whether the batch holds an event that this projector handles, or that nobody knows."""
        return bool(batch.without(self.projector.ignores, self.position))

    def apply(self, batch: Batch) -> None:
        """Apply the batch and save its position, or neither.

        Raises ``Moved``, ``CodecError``, and whatever the projector or the database raises.
        """
        if batch.upto <= self.position:
            return
        with self.connection.transaction(), self.connection.cursor() as cursor:
            parked = self._claim(cursor, batch.upto)
            events = batch.without(self.projector.ignores, self.position)
            if parked and events:
                stuck = deadletters.streams(cursor, self.name)
                deadletters.queue(cursor, self.name, [event for event in events if event.stream in stuck])
                events = [event for event in events if event.stream not in stuck]
            self.project(cursor, batch.facts(events))
        self.position, self.parked = batch.upto, parked

    def park(self, batch: Batch, error: Exception, attempts: int) -> None:
        """Set the one event of the batch aside and save its position."""
        (event,) = batch.events
        with self.connection.transaction(), self.connection.cursor() as cursor:
            self._claim(cursor, batch.upto)
            deadletters.park(cursor, self.name, event, error, attempts)
        self.position, self.parked = batch.upto, True

    def project(self, cursor: Cursor[Any], facts: Sequence[Fact]) -> None:
        if facts:
            self.projector.apply(facts, cursor, self.tables)

    def _claim(self, cursor: Cursor[Any], upto: int) -> bool:
        cursor.execute(CLAIM, [upto, self.name, self.position])
        row = cursor.fetchone()
        if row is None:
            raise Moved(self.name)
        return bool(row[0])


def load(connection: Connection, name: str) -> tuple[int, bool]:
    """The saved position of a projector, and whether it has dead letters; it starts at 0."""
    connection.execute(
        'INSERT INTO "users"."projector_positions" (projector, position, parked) VALUES (%s, 0, false)'
        " ON CONFLICT DO NOTHING",
        [name],
    )
    row = connection.execute(
        'SELECT position, parked FROM "users"."projector_positions" WHERE projector = %s', [name]
    ).fetchone()
    if row is None:
        raise Moved(name)
    return int(row[0]), bool(row[1])


def advance(connection: Connection, workers: Sequence[Worker], upto: int) -> list[Worker]:
    """Save ``upto`` as the position of workers with nothing to apply; returns those whose position moved."""
    behind = [worker for worker in workers if worker.position < upto]
    if not behind:
        return []
    known = [worker.name for worker in behind], [worker.position for worker in behind]
    saved = {name for (name,) in connection.execute(ADVANCE, [upto, *known])}
    for worker in behind:
        if worker.name in saved:
            worker.position = upto
    return [worker for worker in behind if worker.name not in saved]
