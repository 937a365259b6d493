"""The live read models beside a fold of the log into scratch tables: where they are not the same.

Scratch tables are filled as in a rebuild, under names of their own. Then, in one snapshot of the store, they
are brought to exactly where the live projector is, compared in SQL, and put back. Nothing live is changed or
locked, but for the lock of any reader.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
from django.utils.crypto import salted_hmac
from psycopg import sql

from eventstore import log
from projections import deadletters
from projections.batches import Batch
from projections.connect import connect
from projections.failures import is_outage
from projections.locks import try_lock
from projections.projectors.shape import Projector, identifier
from projections.rebuild import AlreadyRunning, apply_until_beside_erasures, begin, forget, name_beside
from projections.shadows import Use, shadow_of
from projections.worker import StalePosition, Worker

VERIFY: Use = "verify"
# Differing rows that are named of a table; all of them are counted.
NAMED = 50
ATTEMPTS = 20
# Seconds until a difference is looked at again, and how long the projector may take to come past it.
PAUSE_BETWEEN_LOOKS, PATIENCE = 2.0, 10.0
PAUSE = 0.05
ACTIVITY, PUBLIC = "users.activity", "public.public_events"
POSITION = 'SELECT position FROM "users"."projector_positions" WHERE projector = %s'
KEY = """
SELECT attname FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY(indkey)
 WHERE indrelid = %s::regclass AND indisprimary ORDER BY array_position(indkey::smallint[], attnum)
"""
# Which rows are on one side only, or differ. Whole rows are compared as records: jsonb would be slower.
COMPARE = sql.SQL("""
SELECT count(*) OVER (), to_jsonb(key), to_jsonb(live.row), to_jsonb(scratch.row)
  FROM ({live}) AS live FULL JOIN ({scratch}) AS scratch USING (key)
 WHERE live.row IS DISTINCT FROM scratch.row LIMIT {limit}
""")
ROWS = sql.SQL("SELECT ROW({key}) AS key, t::record AS row FROM {table} AS t")
# Ids of public rows are drawn at random: compared is which activity has one, and what that one shows. A row
# that no activity leads to is an orphan, which nothing ever removes.
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
    """``key``: a digest of the row's primary key, always the same, of use only to who has the secret key.

    ``kind``: ``missing`` from the live table, ``extra`` there, or ``differs`` in ``columns``.
    """

    table: str
    key: str
    kind: str
    columns: list[str]


class Compared(NamedTuple):
    """``differences`` names at most ``NAMED`` of a table; ``counts`` has the numbers of all of them."""

    position: int
    differences: list[Difference]
    counts: dict[str, int]


class NotCompared(Exception):
    """The live read models moved on, or back, all the time; the text says of which projector."""


class Scratch:
    """The scratch tables of projectors, to be filled with all events.

    ``close`` removes them; what a killed one left, the next one removes. Raises ``AlreadyRunning``.
    """

    def __init__(self, projectors: Sequence[Projector]) -> None:
        self._projectors = projectors
        self.connection = connect("projections", "balados-verify", synchronous_commit="off")
        self._workers: dict[str, Worker] = {}
        try:
            for projector in projectors:
                if not try_lock(self.connection, name_beside(projector, VERIFY)):
                    raise AlreadyRunning(projector.name)
            for projector in projectors:
                self._workers[projector.name] = begin(self.connection, projector, VERIFY)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if not self.connection.closed:
            for name in self._workers:
                forget(self.connection, self._workers[name].projector, VERIFY)
            self.connection.close()

    def fill(self, reached: Callable[[int, int], None]) -> None:
        """Apply everything up to where the live projectors are. ``reached``: as of ``rebuild``."""
        workers = list(self._workers.values())
        upto = min((self._live(worker.projector.name) for worker in workers), default=0)
        apply_until_beside_erasures(workers, upto, lambda position: reached(position, upto))
        for projector in self._projectors:
            for table in projector.tables:
                shadow = identifier(shadow_of(table, VERIFY))
                self.connection.execute(sql.SQL("ANALYZE {}").format(shadow))

    def compare(self, projector: Projector) -> Compared:
        """What differs, and still does when the live projector has come past what may have caused it.

        Between reading the live rows and the log, a removal or an erasure may have taken something out of
        one of both. Raises ``NotCompared``.
        """
        found = self._compare(projector)
        if found.counts:
            self._wait(projector, log.head())
            found = _lasting(found, self._compare(projector))
        return found

    def _compare(self, projector: Projector) -> Compared:
        worker = self._workers[projector.name]
        for _ in range(ATTEMPTS):
            apply_until_beside_erasures([worker], self._live(projector.name))
            try:
                return self._at_live(worker)
            except Exception as failure:
                if is_outage(failure):
                    raise
                # an account was erased, or an event came that cannot be applied: the next round parks it
                worker.refresh()
        raise NotCompared(f"{projector.name} moved on all the time, or was reset: try again")

    def _at_live(self, worker: Worker) -> Compared:
        """Compare in one snapshot, at the position of the live projector."""
        connection, projector = self.connection, worker.projector
        with connection.transaction(force_rollback=True), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            for table in projector.tables:
                # before the snapshot: a rebuild that swaps its tables in afterwards would show empty ones
                cursor.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(identifier(table)))
            position = self._live(projector.name)
            if worker.position > position:
                raise StalePosition(projector.name)
            # without a claim: an erasure, which waits for those, need not wait for the comparison
            batch = Batch(log.read_all(worker.position, position - worker.position, position), position)
            stuck = deadletters.streams(cursor, worker.name)
            worker.project(
                cursor, batch.facts([one for one in worker.wanted(batch) if one.stream not in stuck])
            )
            tables = [table for table in projector.tables if table not in projector.queues]
            found = {table: self._in_table(table) for table in tables}
        differences = [one for _, named in found.values() for one in named]
        return Compared(position, differences, {table: count for table, (count, _) in found.items() if count})

    def _in_table(self, table: str) -> tuple[int, list[Difference]]:
        """How many rows differ, and which are the first of them."""
        live, scratch = (self._rows(table, of) for of in (lambda name: name, _scratch_of))
        rows = self.connection.execute(COMPARE.format(live=live, scratch=scratch, limit=NAMED)).fetchall()
        return (rows[0][0] if rows else 0), [_difference(table, *row) for _, *row in rows]

    def _rows(self, table: str, of: Callable[[str], str]) -> sql.Composed:
        key = [str(name) for (name,) in self.connection.execute(KEY, [table])]
        return {ACTIVITY: ACTIVITY_ROWS, PUBLIC: PUBLIC_ROWS}.get(table, ROWS).format(
            key=sql.SQL(", ").join(map(sql.Identifier, key)),
            table=identifier(of(table)),
            activity=identifier(of(ACTIVITY)),
        )

    def _live(self, name: str) -> int:
        row = self.connection.execute(POSITION, [name]).fetchone()
        return int(row[0]) if row else 0

    def _wait(self, projector: Projector, position: int) -> None:
        """Give the live projector time to come to ``position``, where it runs at all."""
        deadline = time.monotonic() + PATIENCE
        time.sleep(PAUSE_BETWEEN_LOOKS)
        while self._live(projector.name) < position and time.monotonic() < deadline:
            time.sleep(PAUSE)


def _lasting(before: Compared, now: Compared) -> Compared:
    known = {(each.table, each.key) for each in before.differences}
    # where there are more than were named, they need not be the same
    many = {table for table, count in before.counts.items() if count > NAMED}
    lasting = [each for each in now.differences if each.table in many or (each.table, each.key) in known]
    tables = {each.table for each in lasting}
    return Compared(now.position, lasting, {name: now.counts[name] for name in now.counts if name in tables})


def _scratch_of(table: str) -> str:
    return shadow_of(table, VERIFY)


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
