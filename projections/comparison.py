"""The live read models beside a fold of the log into scratch tables: where they are not the same.

Scratch tables are filled as in a rebuild, under names of their own. Then, in one snapshot of the store, they
are brought to exactly where the live projector is, compared in SQL, and put back. Nothing live is changed or
locked, but for the lock of any reader.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple
from uuid import UUID

from django.utils.crypto import salted_hmac
from psycopg import Cursor, sql
from psycopg.errors import SerializationFailure

from eventstore import log
from eventstore.domain.messages import INSTANCE
from eventstore.log import Recorded
from projections import deadletters
from projections.batches import Batch
from projections.catchup import AT_ONCE, apply_or_park
from projections.connect import connect
from projections.failures import is_outage
from projections.locks import try_lock
from projections.projectors.shape import Projector
from projections.rebuild import AlreadyRunning, begin, catch_up_beside_erasures, forget, name_beside
from projections.shadows import Use, shadow_of
from projections.tables import identifier
from projections.worker import Moved, Worker

VERIFY: Use = "verify"
# Differing rows that are named of a table; all of them are counted.
NAMED = 50
ATTEMPTS = 20
# how long a projector may take to come to where a difference can be looked at again
PATIENCE = 10.0
PAUSE = 0.05
LOOKS = 3
PAUSE_BETWEEN_LOOKS = 1.0
ACTIVITY, PUBLIC = "users.activity", "public.public_events"
POSITION = 'SELECT position FROM "users"."projector_positions" WHERE projector = %s'
COLUMNS = """
SELECT attname FROM pg_attribute
 WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
KEY = """
SELECT attname FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY(indkey)
 WHERE indrelid = %s::regclass AND indisprimary ORDER BY array_position(indkey::smallint[], attnum)
"""
# live and scratch, side by side: which rows are on one side only, and which columns are not the same
COMPARE = sql.SQL("""
WITH live AS MATERIALIZED ({live}), scratch AS MATERIALIZED ({scratch})
SELECT count(*) OVER (), {key}, live.there IS NULL, scratch.there IS NULL,
       array_remove(ARRAY[{differing}]::text[], NULL)
  FROM live FULL JOIN scratch USING ({names})
 WHERE live.there IS NULL OR scratch.there IS NULL OR ({live_row}) IS DISTINCT FROM ({scratch_row})
 LIMIT {limit}
""")
# Ids of public rows are drawn at random: compared is which activity has one, and what that one shows.
ROWS = sql.SQL("SELECT true AS there, {columns} FROM {table} {condition}")
ACTIVITIES = sql.SQL(
    "SELECT true AS there, {columns}, public_id IS NOT NULL AS public_id FROM {table} {condition}"
)
SHOWN = sql.SQL("""
SELECT true AS there, a.user_id, a.kind, a.key, a.feed_key AS of_feed, {columns}
  FROM {activity} a JOIN {table} p ON p.id = a.public_id {condition}
""")
ORPHANS = sql.SQL("""
SELECT count(*) OVER (), p.id FROM {table} p
 WHERE NOT EXISTS (SELECT FROM {activity} a WHERE a.public_id = p.id) {condition} LIMIT {limit}
""")


class Difference(NamedTuple):
    """``key``: a digest of the row's primary key, always the same, of use only to who has the secret key.

    ``kind``: ``missing`` from the live table, ``extra`` there, or ``differs`` in ``columns``.
    """

    table: str
    key: str
    kind: str
    columns: tuple[str, ...]


class Compared(NamedTuple):
    """``differences`` names at most ``NAMED`` of a table; ``counts`` has the numbers of all of them."""

    projector: str
    position: int
    differences: list[Difference]
    counts: dict[str, int]


class NotCompared(Exception):
    """The live projector does not come to where it could be compared; the text says where it is."""


class Scratch:
    """The scratch tables of projectors, filled with all events, or with those of one listener.

    ``close`` removes them; what a killed one left, the next one removes. Raises ``AlreadyRunning``.
    """

    def __init__(self, projectors: Sequence[Projector], user_id: UUID | None = None) -> None:
        self._user = user_id
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
        self._bring(workers, upto, lambda position: reached(position, upto))
        for projector in self._projectors:
            for table in projector.tables:
                shadow = identifier(shadow_of(table, VERIFY))
                self.connection.execute(sql.SQL("ANALYZE {}").format(shadow))

    def compare(self, projector: Projector) -> Compared:
        """What differs at every one of three looks, if at all.

        Between reading the live rows and the log, something may have been taken out of both: the live
        projector has come past it at the next look, or the erasure through. Raises ``NotCompared``.
        """
        found = self._compare(projector)
        for _ in range(LOOKS - 1):
            if not found.counts:
                break
            with suppress(NotCompared):  # nobody projects, so nothing moves either
                self._wait(projector, log.head())
            time.sleep(PAUSE_BETWEEN_LOOKS)
            found = _lasting(found, self._compare(projector))
        return found

    def _compare(self, projector: Projector) -> Compared:
        worker = self._workers[projector.name]
        for _ in range(ATTEMPTS):
            self._bring([worker], self._live(projector.name))
            if worker.position > self._live(projector.name):
                # the live one was reset meanwhile, and comes back
                self._wait(projector, worker.position)
            try:
                found = self._at_live(worker)
            except (Moved, SerializationFailure):
                worker.refresh()
            except Exception as failure:
                if is_outage(failure):
                    raise
                # an event that cannot be applied came in between: the next round parks it
            else:
                if found is not None:
                    return found
        raise NotCompared(f"{projector.name} moves too fast to be compared, or back and forth")

    def _at_live(self, worker: Worker) -> Compared | None:
        """Compare in one snapshot, at the position of the live projector; None where that is too far off."""
        connection, projector = self.connection, worker.projector
        found = None
        with connection.transaction(force_rollback=True), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            for table in projector.tables:
                # before the snapshot: a rebuild that swaps its tables in afterwards would show empty ones
                cursor.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(identifier(table)))
            live = self._live(projector.name)
            if worker.position <= live and (events := self._between(worker.position, live)) is not None:
                self._bring_here(worker, cursor, Batch(events, live))
                found = Compared(projector.name, live, *self._differences(projector))
        return found

    def _bring_here(self, worker: Worker, cursor: Cursor[Any], batch: Batch) -> None:
        """Apply what the live projector has applied, and the worker has not.

        Without a claim: an erasure, which waits for those, need not wait for the comparison.
        """
        stuck = deadletters.streams(cursor, worker.name) if worker.parked else frozenset()
        events = [event for event in worker.wanted(batch) if event.stream not in stuck]
        worker.project(cursor, batch.facts(events))

    def _differences(self, projector: Projector) -> tuple[list[Difference], dict[str, int]]:
        found: list[Difference] = []
        counts: dict[str, int] = {}
        for table in projector.tables:
            if table in projector.queues:
                continue
            count, differences = self._in_table(table)
            if table == PUBLIC:
                orphans, more = self._orphans(table)
                count, differences = count + orphans, differences + more
            if count:
                counts[table] = count
                found += differences
        return found, counts

    def _in_table(self, table: str) -> tuple[int, list[Difference]]:
        if table == PUBLIC:
            key = ["user_id", "kind", "key", "of_feed"]
            columns = [f"p_{name}" for name in self._columns(table) if name != "id"]
        else:
            key = [str(name) for (name,) in self.connection.execute(KEY, [table])]
            columns = [name for name in self._columns(table) if name not in key]
        sides = [self._side(table, named, key, columns) for named in (table, shadow_of(table, VERIFY))]
        of = {side: [sql.Identifier(side, name) for name in columns] for side in ("live", "scratch")}
        differing = [
            sql.SQL("CASE WHEN {} IS DISTINCT FROM {} THEN {} END").format(
                live, scratch, sql.Literal(name.removeprefix("p_"))
            )
            for name, live, scratch in zip(columns, of["live"], of["scratch"], strict=True)
        ]
        names = sql.SQL(", ").join(map(sql.Identifier, key))
        statement = COMPARE.format(
            live=sides[0],
            scratch=sides[1],
            key=names,
            names=names,
            differing=sql.SQL(", ").join(differing),
            live_row=sql.SQL("ROW({})").format(sql.SQL(", ").join(of["live"])),
            scratch_row=sql.SQL("ROW({})").format(sql.SQL(", ").join(of["scratch"])),
            limit=NAMED,
        )
        rows = self.connection.execute(statement).fetchall()
        found = []
        for _, *values, missing, extra, names_of_columns in rows:
            kind = "missing" if missing else "extra" if extra else "differs"
            differing_columns = tuple(names_of_columns) if kind == "differs" else ()
            found.append(Difference(table, _digest(table, values), kind, differing_columns))
        return (rows[0][0] if rows else 0), found

    def _side(self, table: str, named: str, key: list[str], columns: list[str]) -> sql.Composed:
        if table == PUBLIC:
            shown = [
                sql.SQL("p.{} AS {}").format(sql.Identifier(name.removeprefix("p_")), sql.Identifier(name))
                for name in columns
            ]
            activity = identifier(ACTIVITY if named == table else shadow_of(ACTIVITY, VERIFY))
            listed = sql.SQL(", ").join(shown)
            return SHOWN.format(
                columns=listed,
                activity=activity,
                table=identifier(named),
                condition=self._condition("a.user_id"),
            )
        rows = ACTIVITIES if table == ACTIVITY else ROWS
        listed = sql.SQL(", ").join(
            sql.Identifier(name) for name in (*key, *columns) if (table, name) != (ACTIVITY, "public_id")
        )
        # marks of feeds are nobody's: a listener's rows stand on all of them
        condition = self._condition("user_id") if "user_id" in key else sql.SQL("")
        return rows.format(columns=listed, table=identifier(named), condition=condition)

    def _orphans(self, table: str) -> tuple[int, list[Difference]]:
        """Public rows that are nobody's: no activity leads to them, so nothing ever takes them away."""
        condition: sql.Composable = sql.SQL("")
        if self._user is not None:
            condition = sql.SQL("AND p.user_id = {}").format(sql.Literal(self._user))
        statement = ORPHANS.format(
            table=identifier(table), activity=identifier(ACTIVITY), condition=condition, limit=NAMED
        )
        rows = self.connection.execute(statement).fetchall()
        found = [Difference(table, _digest(table, [key]), "extra", ()) for _, key in rows]
        return (rows[0][0] if rows else 0), found

    def _condition(self, column: str) -> sql.Composable:
        if self._user is None:
            return sql.SQL("")
        of = sql.Identifier(*column.split("."))
        return sql.SQL("WHERE {} = {}").format(of, sql.Literal(self._user))

    def _columns(self, table: str) -> list[str]:
        return [str(name) for (name,) in self.connection.execute(COLUMNS, [table])]

    def _live(self, name: str) -> int:
        row = self.connection.execute(POSITION, [name]).fetchone()
        return int(row[0]) if row else 0

    def _wait(self, projector: Projector, position: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while (reached := self._live(projector.name)) < position:
            if time.monotonic() > deadline:
                raise NotCompared(
                    f"{projector.name} is at position {reached} and does not come to {position}:"
                    " is a projector process running?"
                )
            time.sleep(PAUSE)

    def _bring(
        self, workers: Sequence[Worker], upto: int, reached: Callable[[int], None] = lambda position: None
    ) -> None:
        """Apply, for good, what there is up to ``upto``, a position that the live one has passed."""
        if self._user is None:
            catch_up_beside_erasures(workers, upto, reached)
            return
        for worker in workers:
            while worker.position < upto:
                try:
                    events = self._of_user(worker.position, upto)
                    apply_or_park(worker, Batch(events, upto))
                except Moved:
                    if not worker.refresh():
                        raise
        reached(upto)

    def _between(self, after: int, upto: int) -> list[Recorded] | None:
        """The events in between; None where they are more than one page."""
        if self._user is not None:
            return self._of_user(after, upto)
        events = log.read_all(after, AT_ONCE, upto) if after < upto else []
        return events if len(events) < AT_ONCE else None

    def _of_user(self, after: int, upto: int) -> list[Recorded]:
        # looked up each time: he may begin meanwhile, and a look at him opens no stream
        streams = [log.known_stream(each) for each in (self._user, INSTANCE) if each is not None]
        rows = [row for stream in streams if stream is not None for row in log.read_stream(stream)]
        return sorted((row for row in rows if after < row.position <= upto), key=lambda row: row.position)


def _lasting(before: Compared, now: Compared) -> Compared:
    known = {(each.table, each.key) for each in before.differences}
    # where there are more than were named, they need not be the same
    many = {table for table, count in before.counts.items() if count > NAMED}
    lasting = [each for each in now.differences if each.table in many or (each.table, each.key) in known]
    tables = {each.table for each in lasting}
    counts = {table: count for table, count in now.counts.items() if table in tables}
    return Compared(now.projector, now.position, lasting, counts)


def _digest(table: str, key: Sequence[Any]) -> str:
    text = " ".join(str(part) for part in key)
    return salted_hmac(f"verify {table}", text, algorithm="sha256").hexdigest()[:16]


__all__ = ["AlreadyRunning", "Compared", "Difference", "NotCompared", "Scratch"]
