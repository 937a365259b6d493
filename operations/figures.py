"""How a store is doing, asked of its server: cheap enough for every minute on a large one."""

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import msgspec
import psycopg
from psycopg import errors, sql

from operations.fence import Connection
from operations.stores import SCHEMAS

# Rows that are counted one by one; beyond, the server's own estimate has to do.
COUNTED = 100_000
QUERIES = 5
LONGEST_QUERY = 200
TABLES = """
SELECT n.nspname, c.relname, sum(pg_total_relation_size(leaf.relid))::bigint,
       sum(greatest(l.reltuples, s.n_live_tup, 0))::bigint
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 -- of a table in partitions, what they hold; of any other, the table itself
 CROSS JOIN LATERAL (SELECT relid FROM pg_partition_tree(c.oid) WHERE isleaf
                      UNION SELECT c.oid WHERE c.relkind = 'r') AS leaf
  JOIN pg_class l ON l.oid = leaf.relid
  LEFT JOIN pg_stat_all_tables s ON s.relid = leaf.relid
 WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
 GROUP BY 1, 2 ORDER BY 1, 2
"""
SERVER = """
SELECT pg_database_size(current_database()), current_setting('max_connections')::integer,
       (SELECT sum(numbackends)::integer FROM pg_stat_database),
       (SELECT extract(epoch FROM max(clock_timestamp() - xact_start)) FROM pg_stat_activity
         WHERE backend_type = 'client backend' AND datname = current_database() AND pid <> pg_backend_pid()),
       clock_timestamp()
"""
CACHE = """
SELECT sum(heap_blks_hit + coalesce(idx_blks_hit, 0) + coalesce(toast_blks_hit, 0)),
       sum(heap_blks_read + coalesce(idx_blks_read, 0) + coalesce(toast_blks_read, 0))
  FROM pg_statio_user_tables WHERE schemaname = ANY(%s)
"""
STATEMENTS = """
SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
 WHERE e.extname = 'pg_stat_statements'
"""
# of this store: its statements name their schema
SLOWEST = sql.SQL("""
SELECT query, calls, mean_exec_time, total_exec_time FROM {view}
 WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND query ~* '^\\s*(--[^\\n]*\\n\\s*)*(SELECT|INSERT|UPDATE|DELETE|WITH|MERGE)\\M' AND query ~ %s
 ORDER BY mean_exec_time DESC LIMIT %s
""")
AT = "SELECT position, recorded_at FROM events.events WHERE position >= %s ORDER BY position LIMIT 1"
# what restores have left out: no event is after the first, up to the last
LEAPS = "SELECT head, next - 1 FROM events.restores"
ENDS = "SELECT min(position), max(position) FROM events.events"


class Table(msgspec.Struct):
    """``rows`` is exact, or the server's estimate."""

    name: str
    rows: int
    exact: bool
    size_bytes: int


class Query(msgspec.Struct):
    """As the server normalised it: without values."""

    query: str
    calls: int
    mean_ms: float
    total_ms: float


class Figures(msgspec.Struct):
    """``cache_hit_ratio``: of blocks, since the statistics began; None where nothing was read.
    ``slowest_queries``: None where the server does not keep them.
    """

    size_bytes: int
    database_size_bytes: int
    tables: list[Table]
    connections: int
    max_connections: int
    longest_transaction_seconds: float
    cache_hit_ratio: float | None
    slowest_queries: list[Query] | None


class Log(msgspec.Struct):
    """The log of events. ``last_days``: events of the last 24 hours, of the 24 before that, seven in all.

    Counted where they are few, else by positions, of which some are never used: a little too high.
    """

    total: int
    exact: bool
    oldest_at: datetime | None
    last_days: list[int]
    per_day: float


def figures(connection: Connection, alias: str) -> Figures:
    """``connection`` is in autocommit. Raises ``psycopg.Error``."""
    schemas = list(SCHEMAS[alias])
    tables = []
    for schema, name, size, estimate in connection.execute(TABLES, [schemas]).fetchall():
        # scratch tables of a rebuild or a verification go when it ends
        with suppress(errors.UndefinedTable):
            tables.append(Table(f"{schema}.{name}", *_rows(connection, schema, name, estimate), size))
    size, most, used, longest, _ = _one(connection, SERVER, [])
    hit, read = _one(connection, CACHE, [schemas])
    return Figures(
        size_bytes=sum(table.size_bytes for table in tables),
        database_size_bytes=size,
        tables=tables,
        connections=used,
        max_connections=most,
        longest_transaction_seconds=round(float(longest or 0), 3),
        cache_hit_ratio=round(float(hit / (hit + read)), 4) if hit else None,
        slowest_queries=_slowest(connection, schemas),
    )


def log(connection: Connection) -> Log:
    """Raises ``psycopg.Error``."""
    first, last = _one(connection, ENDS, [])
    if last is None:
        return Log(0, True, None, [0] * 7, 0.0)
    (now,) = _one(connection, "SELECT clock_timestamp()", [])
    (estimate,) = (row[3] for row in connection.execute(TABLES, [["events"]]) if row[1] == "events")
    total, exact = _rows(connection, "events", "events", estimate)
    # positions are drawn in the order of time, or nearly
    leaps = [(int(head), int(last)) for head, last in connection.execute(LEAPS)]
    starts = [_position_at(connection, now - timedelta(days=days), first, last) for days in range(8)]
    days = [_between(connection, start, end, leaps) for end, start in pairwise(starts)]
    (oldest,) = connection.execute(AT, [first]).fetchall()
    return Log(total, exact, oldest[1], days, round(sum(days) / 7, 1))


def _rows(connection: Connection, schema: str, name: str, estimate: int) -> tuple[int, bool]:
    if estimate > COUNTED:
        return estimate, False
    found = connection.execute(
        sql.SQL("SELECT count(*) FROM (SELECT FROM {} LIMIT {}) AS counted").format(
            sql.Identifier(schema, name), COUNTED + 1
        )
    ).fetchone()
    counted = int(found[0]) if found else 0
    return (counted, True) if counted <= COUNTED else (max(estimate, counted), False)


def _position_at(connection: Connection, moment: datetime, first: int, last: int) -> int:
    """The first position recorded at or after ``moment``, or one beyond the last: halving, so 27 looks among
    100 million."""
    low, high = first, last + 1
    while low < high:
        middle = (low + high) // 2
        found = connection.execute(AT, [middle]).fetchone()
        if found is None or found[1] >= moment:
            high = middle
        else:
            low = int(found[0]) + 1
    return low


def _between(connection: Connection, start: int, end: int, leaps: Sequence[tuple[int, int]]) -> int:
    if end - start > COUNTED:
        left_out = sum(max(0, min(end - 1, last) - max(start - 1, head)) for head, last in leaps)
        if end - start - left_out > COUNTED:
            return end - start - left_out
    statement = "SELECT count(*) FROM events.events WHERE position >= %s AND position < %s"
    return int(_one(connection, statement, [start, end])[0])


def _slowest(connection: Connection, schemas: list[str]) -> list[Query] | None:
    found = connection.execute(STATEMENTS).fetchone()
    if found is None:
        return None
    view = sql.Identifier(found[0], "pg_stat_statements")
    named = rf'(^|[^a-z_."])"?({"|".join(schemas)})"?\.'
    try:
        rows = connection.execute(SLOWEST.format(view=view), [named, QUERIES]).fetchall()
    except (errors.ObjectNotInPrerequisiteState, errors.InsufficientPrivilege):
        return None  # the extension is there, and its library was not loaded at the start, or is not for us
    return [
        Query(_without_values(text), calls, round(mean, 2), round(all_, 1))
        for text, calls, mean, all_ in rows
    ]


def _without_values(text: str) -> str:
    """The server has put $1 in place of every value; what it may have missed goes here."""
    text = re.sub(r"--[^\n]*", " ", text)
    text = re.sub(r"'(?:[^']|'')*'", "'…'", text)
    text = re.sub(r"(?<![\w$])\d[\d.]*", "…", text)
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_QUERY else f"{text[:LONGEST_QUERY]}…"


def _one(connection: Connection, statement: str, values: list[Any]) -> tuple[Any, ...]:
    row = connection.execute(statement, values).fetchone()
    if row is None:
        raise psycopg.DataError("the server's catalogue has no row where it always has one")
    return tuple(row)
