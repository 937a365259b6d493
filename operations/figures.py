"""How a store is doing, asked of its server: cheap enough for every minute on a large one."""

import re
from bisect import bisect_left
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import msgspec
import psycopg
from psycopg import errors, sql
from psycopg.rows import class_row

from operations.stores import SCHEMAS

Connection = psycopg.Connection[Any]
# Up to here rows are counted; beyond, the server's own estimate has to do.
COUNTED = 100_000
QUERIES = 5
LONGEST_QUERY = 200
DAYS = 7
# A partitioned table has the size and the rows of its partitions; tables of extensions are not ours.
TABLES = """
SELECT n.nspname, c.relname, sum(pg_total_relation_size(leaf.relid))::bigint,
       sum(greatest(l.reltuples, s.n_live_tup, 0))::bigint
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 CROSS JOIN LATERAL (SELECT relid FROM pg_partition_tree(c.oid) WHERE isleaf
                      UNION SELECT c.oid WHERE c.relkind = 'r') AS leaf
  JOIN pg_class l ON l.oid = leaf.relid
  LEFT JOIN pg_stat_all_tables s ON s.relid = leaf.relid
 WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
 GROUP BY 1, 2 ORDER BY 1, 2
"""
SERVER = """
SELECT pg_database_size(current_database()), (SELECT sum(numbackends)::integer FROM pg_stat_database),
       current_setting('max_connections')::integer,
       (SELECT coalesce(extract(epoch FROM max(clock_timestamp() - xact_start)), 0)::float8
          FROM pg_stat_activity
         WHERE backend_type = 'client backend' AND datname = current_database() AND pid <> pg_backend_pid()),
       (SELECT (sum(hit) / nullif(sum(hit) + sum(miss), 0))::float8
          FROM (SELECT heap_blks_hit + coalesce(idx_blks_hit, 0) + coalesce(toast_blks_hit, 0) AS hit,
                       heap_blks_read + coalesce(idx_blks_read, 0) + coalesce(toast_blks_read, 0) AS miss
                  FROM pg_statio_user_tables WHERE schemaname = ANY(%s)) AS blocks)
"""
STATEMENTS = """
SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
 WHERE e.extname = 'pg_stat_statements'
"""
# Reads and writes that name the schema of the store; no CREATE ROLE or the like, which may hold a password.
SLOWEST = sql.SQL("""
SELECT query, calls, round(mean_exec_time::numeric, 2)::float8 AS mean_ms,
       round(total_exec_time::numeric, 1)::float8 AS total_ms
  FROM {view}
 WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND query ~* '^\\s*(--[^\\n]*\\n\\s*)*(SELECT|INSERT|UPDATE|DELETE|WITH|MERGE)\\M' AND query ~ %s
 ORDER BY mean_exec_time DESC LIMIT %s
""")
ENDS = "SELECT min(position), max(position) FROM events.events"
RECORDED_AT = "SELECT recorded_at FROM events.events WHERE position >= %s ORDER BY position LIMIT 1"
# Few events are counted. For many the distance between positions is taken, less what restores have left out:
# other positions that were never used make it a little too high.
BETWEEN = """
SELECT CASE WHEN counted.events <= %(most)s THEN counted.events
            ELSE %(end)s - %(start)s - (SELECT coalesce(sum(next - 1 - head), 0) FROM events.restores
                                         WHERE head >= %(start)s - 1 AND next <= %(end)s) END::bigint
  FROM (SELECT count(*) AS events FROM (SELECT FROM events.events
         WHERE position >= %(start)s AND position < %(end)s LIMIT %(most)s + 1) AS few) AS counted
"""


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
    """The log of events. ``last_days``: events of the last 24 hours, of the 24 before that, seven in all."""

    total: int
    exact: bool
    oldest_at: datetime | None
    last_days: list[int]
    per_day: float


def figures(connection: Connection, alias: str) -> Figures:
    """What the server knows of a store. ``connection``: in autocommit. Raises ``psycopg.Error``."""
    schemas = list(SCHEMAS[alias])
    tables = []
    for schema, name, size, estimate in connection.execute(TABLES, [schemas]).fetchall():
        # the scratch tables of a rebuild or a verification may go in between
        with suppress(errors.UndefinedTable):
            tables.append(Table(f"{schema}.{name}", *_rows(connection, schema, name, estimate), size))
    database_size, used, most, longest, hits = connection.execute(SERVER, [schemas]).fetchall()[0]
    return Figures(
        size_bytes=sum(table.size_bytes for table in tables),
        database_size_bytes=database_size,
        tables=tables,
        connections=used,
        max_connections=most,
        longest_transaction_seconds=round(longest, 3),
        cache_hit_ratio=None if hits is None else round(hits, 4),
        slowest_queries=_slowest(connection, schemas),
    )


def log(connection: Connection) -> Log:
    """The log of events, by the day. Raises ``psycopg.Error``."""
    first, last = connection.execute(ENDS).fetchall()[0]
    if last is None:
        return Log(0, True, None, [0] * DAYS, 0.0)

    def recorded_at(position: int) -> datetime:
        row = connection.execute(RECORDED_AT, [position]).fetchone()
        return row[0] if row else datetime.max.replace(tzinfo=UTC)

    (now,) = connection.execute("SELECT clock_timestamp()").fetchall()[0]
    # positions are drawn in the order of time, or nearly
    starts = [
        bisect_left(range(last + 1), now - timedelta(days=days), lo=first, key=recorded_at)
        for days in range(DAYS + 1)
    ]
    days = [
        int(connection.execute(BETWEEN, {"start": start, "end": end, "most": COUNTED}).fetchall()[0][0])
        for end, start in pairwise(starts)
    ]
    (estimate,) = (row[3] for row in connection.execute(TABLES, [["events"]]) if row[1] == "events")
    total, exact = _rows(connection, "events", "events", estimate)
    return Log(total, exact, recorded_at(first), days, round(sum(days) / DAYS, 1))


def _rows(connection: Connection, schema: str, name: str, estimate: int) -> tuple[int, bool]:
    """How many rows a table has, and whether that is exact."""
    if estimate > COUNTED:
        return estimate, False
    statement = sql.SQL("SELECT count(*) FROM (SELECT FROM {} LIMIT {}) AS counted")
    counted = connection.execute(statement.format(sql.Identifier(schema, name), COUNTED + 1)).fetchall()[0][0]
    return counted, counted <= COUNTED


def _slowest(connection: Connection, schemas: list[str]) -> list[Query] | None:
    found = connection.execute(STATEMENTS).fetchone()
    if found is None:
        return None
    statement = SLOWEST.format(view=sql.Identifier(found[0], "pg_stat_statements"))
    named = rf'(^|[^a-z_."])"?({"|".join(schemas)})"?\.'
    try:
        with connection.cursor(row_factory=class_row(Query)) as cursor:
            queries = cursor.execute(statement, [named, QUERIES]).fetchall()
    except (errors.ObjectNotInPrerequisiteState, errors.InsufficientPrivilege):
        return None  # its library was not loaded at the server's start, or it is not for this role
    for query in queries:
        query.query = _without_values(query.query)
    return queries


def _without_values(text: str) -> str:
    """The server has put $1 in place of every value; what it may have missed goes here."""
    text = re.sub(r"--[^\n]*", " ", text)
    text = re.sub(r"'(?:[^']|'')*'", "'…'", text)
    text = re.sub(r"(?<![\w$])\d[\d.]*", "…", text)
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_QUERY else f"{text[:LONGEST_QUERY]}…"
