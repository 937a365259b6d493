"""Comparison of the live read models with scratch tables, filled by folding the log: where they differ.

The scratch tables are made like those of a rebuild. In one snapshot of the store they are brought to exactly
the position of the live projector, compared in SQL, and rolled back. Nothing live is changed, and nothing is
locked except as any reader does.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
from django.utils.crypto import salted_hmac
from psycopg import sql

from eventstore import log
from projections import deadletters, rebuild
from projections.batches import Batch
from projections.failures import is_outage
from projections.projectors.shape import Tables, identifier
from projections.worker import StalePosition, Worker

# How many differing rows of a table are named; all of them are counted.
NAMED = 50
# Looks at a difference, seconds between two looks, and seconds that the projector gets to pass it.
LOOKS, PAUSE_BETWEEN_LOOKS, PATIENCE = 5, 1.0, 10.0
PAUSE = 0.05
ACTIVITY, PUBLIC = "users.activity", "public.public_events"
POSITION = 'SELECT position FROM "users"."projector_positions" WHERE projector = %s'
KEY = """
SELECT attname FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY(indkey)
 WHERE indrelid = %s::regclass AND indisprimary ORDER BY array_position(indkey::smallint[], attnum)
"""
# The rows that are on one side only, or differ. Whole rows are compared as records: jsonb would be slower.
COMPARE = sql.SQL("""
SELECT count(*) OVER (), to_jsonb(key), to_jsonb(live.row), to_jsonb(scratch.row)
  FROM ({live}) AS live FULL JOIN ({scratch}) AS scratch USING (key)
 WHERE live.row IS DISTINCT FROM scratch.row LIMIT {limit}
""")
ROWS = sql.SQL("SELECT ROW({key}) AS key, t::record AS row FROM {table} AS t")
# Ids of public rows are random, so the comparison is which activity has a public row, and what that shows. A
# public row that no activity refers to is an orphan, which nothing ever removes.
ACTIVITY_ROWS = sql.SQL("""
SELECT ROW({key}) AS key,
       to_jsonb(t) || jsonb_build_object('public_id', public_id IS NOT NULL) AS row
  FROM {table} AS t
""")
PUBLIC_ROWS = sql.SQL("""
SELECT ROW(a.user_id, a.kind, a.key, a.feed_key, CASE WHEN a.public_id IS NULL THEN p.id END) AS key,
       to_jsonb(p) - 'id' AS row
  FROM {table} AS p LEFT JOIN {activity} AS a ON a.public_id = p.id
""")


class Difference(msgspec.Struct, frozen=True):
    """A row that differs. ``key``: a stable digest of its primary key, which only the holder of the secret
    key can compute.

    ``kind``: ``missing`` from the live table, ``extra`` in it, or ``differs`` in ``columns``.
    """

    table: str
    key: str
    kind: str
    columns: list[str]


class Compared(NamedTuple):
    """``differences`` names at most ``NAMED`` rows of a table; ``counts`` has the numbers of all that
    differ."""

    position: int
    differences: list[Difference]
    counts: dict[str, int]


class NotCompared(Exception):
    """The live read models moved on, or back, all the time; the text says which projector it was."""


def fill(workers: Sequence[Worker], progress: Callable[[int, int], None]) -> None:
    """Apply everything up to the position of the live projectors. ``progress`` is called as by
    ``rebuild.fill``."""
    rebuild.fill(workers, min(map(_live, workers), default=0), progress)
    for worker in workers:
        for table in worker.tables.values():
            worker.connection.execute(sql.SQL("ANALYZE {}").format(table))


def compare(worker: Worker) -> Compared:
    """Return what differs, and still does when the live projector has passed what may have caused it.

    Between reading the live rows and the log, a removal or an erasure may have deleted something on one side
    only. Raises ``NotCompared``.
    """
    found = None
    for look in range(LOOKS):
        if look:
            time.sleep(PAUSE_BETWEEN_LOOKS)
            _wait(worker, log.head())
        try:
            rebuild.apply_until_beside_erasures([worker], _live(worker))
            found = _at_live(worker)
        except Exception as failure:
            if is_outage(failure):
                raise
            # an account was erased, or an event cannot be applied: the next look parks that
            worker.refresh()
            continue
        if not found.counts:
            break
    if found is None:
        raise NotCompared(f"{worker.projector.name} moved on all the time, or was reset: try again")
    return found


def _at_live(worker: Worker) -> Compared:
    """Compare in one snapshot, at the position of the live projector."""
    connection, projector = worker.connection, worker.projector
    with connection.transaction(force_rollback=True), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        for table in projector.tables:
            # locked before the snapshot is taken: tables that a rebuild swapped in after it would look empty
            cursor.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(identifier(table)))
        position = _live(worker)
        if worker.position > position:
            raise StalePosition(projector.name)
        # the position is not claimed, so that an erasure, which waits for claims, need not wait for this
        batch = Batch(log.read_all(worker.position, position - worker.position, position), position)
        stuck = deadletters.streams(cursor, worker.name)
        worker.project(cursor, batch.facts([one for one in worker.wanted(batch) if one.stream not in stuck]))
        compared = Compared(position, [], {})
        for table in projector.tables:
            if table not in projector.queues:
                _compare_table(worker, table, compared)
    return compared


def _compare_table(worker: Worker, table: str, compared: Compared) -> None:
    live, scratch = (_rows(worker, table, tables) for tables in (worker.projector.live_tables, worker.tables))
    statement = COMPARE.format(live=live, scratch=scratch, limit=NAMED)
    for count, *row in worker.connection.execute(statement):
        compared.counts[table] = count
        compared.differences.append(_difference(table, *row))


def _rows(worker: Worker, table: str, tables: Tables) -> sql.Composed:
    key = [str(name) for (name,) in worker.connection.execute(KEY, [table])]
    return {ACTIVITY: ACTIVITY_ROWS, PUBLIC: PUBLIC_ROWS}.get(table, ROWS).format(
        key=sql.SQL(", ").join(map(sql.Identifier, key)), table=tables[table], activity=tables.get(ACTIVITY)
    )


def _live(worker: Worker) -> int:
    """Return the position of the live projector."""
    row = worker.connection.execute(POSITION, [worker.projector.name]).fetchone()
    return int(row[0]) if row else 0


def _wait(worker: Worker, position: int) -> None:
    """Give the live projector time to reach ``position``, in case it is running."""
    deadline = time.monotonic() + PATIENCE
    while _live(worker) < position and time.monotonic() < deadline:
        time.sleep(PAUSE)


def _difference(
    table: str, key: dict[str, Any], live: dict[str, Any] | None, scratch: dict[str, Any] | None
) -> Difference:
    # only the holder of the secret key can compute it
    digest = salted_hmac(f"verify {table}", " ".join(map(str, key.values())), algorithm="sha256").hexdigest()[
        :16
    ]
    if live is None or scratch is None:
        return Difference(table, digest, "missing" if live is None else "extra", [])
    return Difference(table, digest, "differs", [name for name in live if live[name] != scratch[name]])
