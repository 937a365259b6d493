"""How the three stores are doing, and which of them has grown enough to need a database of its own.

Every figure comes from the server's own statistics or from a few index look-ups: asking costs the same
however large a store is.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
import psycopg
from psycopg import errors, sql
from psycopg.rows import class_row

from operations import maintenance
from operations.stores import SCHEMAS, Connection, connect, place_of
from projections import lag
from projections.failures import is_outage

T = TypeVar("T")
# Above one of these a store had better have a database of its own (docs/operations.md).
LIMITS: dict[str, dict[str, float]] = {
    "system": {},
    "projections": {"slowest_read_ms": 200},
    "events": {"events_per_day": 10_000, "events": 1_000_000},
}
SLOWEST_SHOWN, LONGEST_QUERY = 5, 200
# A partitioned table has the size and the rows of its partitions; tables of extensions are not ours.
TABLES = """
SELECT n.nspname || '.' || c.relname AS name, sum(greatest(l.reltuples, s.n_live_tup, 0))::bigint AS rows,
       sum(pg_total_relation_size(l.oid))::bigint AS size_bytes
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 CROSS JOIN LATERAL (SELECT relid FROM pg_partition_tree(c.oid) WHERE isleaf
                      UNION SELECT c.oid WHERE c.relkind = 'r') AS leaf
  JOIN pg_class l ON l.oid = leaf.relid LEFT JOIN pg_stat_all_tables s ON s.relid = leaf.relid
 WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
 GROUP BY 1 HAVING count(pg_total_relation_size(l.oid)) > 0 ORDER BY 3 DESC, 1
"""
SERVER = """
SELECT pg_database_size(current_database()), (SELECT sum(numbackends)::integer FROM pg_stat_database),
       current_setting('max_connections')::integer
"""
# The newest events tell the rate: as many as a day may have, and one more.
RATE = """
SELECT count(*), extract(epoch FROM clock_timestamp() - min(recorded_at))::float8 / 86400
  FROM (SELECT recorded_at FROM events.events ORDER BY position DESC LIMIT %s) AS newest
 WHERE recorded_at > clock_timestamp() - interval '1 day'
"""
OLDEST = "SELECT recorded_at FROM events.events ORDER BY position LIMIT 1"
STATEMENTS = """
SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
 WHERE e.extname = 'pg_stat_statements'
"""
# Reads and writes that name the store's schema; no CREATE ROLE or the like, which may hold a password.
SLOWEST = sql.SQL("""
SELECT query, calls, round(mean_exec_time::numeric, 2)::float8 AS mean_ms FROM {view}
 WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND query ~* '^\\s*(--[^\\n]*\\n\\s*)*(SELECT|INSERT|UPDATE|DELETE|WITH|MERGE)\\M' AND query ~ %s
 ORDER BY mean_exec_time DESC LIMIT %s
""")


class Table(msgspec.Struct):
    """``rows`` is the server's estimate; the size includes indexes."""

    name: str
    rows: int
    size_bytes: int


class Query(msgspec.Struct):
    """As the server normalised it: without values. ``mean_ms``: since its statistics began."""

    query: str
    calls: int
    mean_ms: float


class Store(msgspec.Struct):
    """A store that answers. ``cluster``: which PostgreSQL, whatever its address; ``writes``: open, or why not
    (``stores.State``); ``slowest_queries``: None where the server does not keep them."""

    server: str
    cluster: str
    database: str
    version: str
    writes: str
    database_size_bytes: int
    connections: int
    max_connections: int
    tables: list[Table]
    slowest_queries: list[Query] | None
    up: bool = True


class Away(msgspec.Struct):
    error: str
    up: bool = False


class Log(msgspec.Struct):
    """The log of events: how many by the server's estimate, and how many in the last 24 hours, up to 10,000;
    beyond, as many as a day would have at the rate of the newest 10,000."""

    total: int
    per_day: float
    oldest_at: datetime | None


class Projector(msgspec.Struct):
    name: str
    lag_events: int
    lag_seconds: float
    dead_letters_failed: int
    dead_letters_behind: int


class Threshold(msgspec.Struct):
    """A figure, and the limit above which it speaks for a database of its own; None where it is not known."""

    name: str
    limit: float
    value: float | None
    reached: bool


class Advice(msgspec.Struct):
    """``split``: whether to move the store to a database of its own now; ``shares_database_with``: the other
    stores there, None where it is away."""

    store: str
    split: bool
    shares_database_with: list[str] | None
    thresholds: list[Threshold]


class Report(msgspec.Struct):
    """What ``store_status --json`` prints. What could not be had is null."""

    at: datetime
    stores: dict[str, Store | Away]
    events: Log | None
    projectors: list[Projector] | None
    advice: list[Advice]

    @property
    def away(self) -> list[str]:
        return [alias for alias, store in self.stores.items() if not store.up]


def report() -> Report:
    """Ask every store."""
    stores = {alias: _store(alias) for alias in SCHEMAS}
    up = {alias for alias, store in stores.items() if store.up}
    events = _unless_away(log) if "events" in up else None
    projectors = _unless_away(_projectors) if {"events", "projections"} <= up else None
    return Report(datetime.now(UTC), stores, events, projectors, advise(stores, events))


def log() -> Log:
    """The log's size and rate. Raises ``psycopg.Error``."""
    most = int(LIMITS["events"]["events_per_day"])
    with connect("events") as connection:
        (total,) = (table.rows for table in _tables(connection, ["events"]) if table.name == "events.events")
        recent, days = connection.execute(RATE, [most + 1]).fetchall()[0]
        oldest = connection.execute(OLDEST).fetchone()
    if oldest is None:
        return Log(0, 0.0, None)  # the server may not yet know that the table is empty
    per_day = recent if recent <= most else recent / days
    return Log(max(total, recent), round(per_day, 1), oldest[0])


def slowest(connection: Connection, schemas: list[str]) -> list[Query] | None:
    """The statements on these schemas with the highest mean time; None without ``pg_stat_statements``."""
    found = connection.execute(STATEMENTS).fetchone()
    if found is None:
        return None
    statement = SLOWEST.format(view=sql.Identifier(found[0], "pg_stat_statements"))
    named = rf'(^|[^a-z_."])"?({"|".join(schemas)})"?\.'
    try:
        with connection.cursor(row_factory=class_row(Query)) as cursor:
            queries = cursor.execute(statement, [named, SLOWEST_SHOWN]).fetchall()
    except (errors.ObjectNotInPrerequisiteState, errors.InsufficientPrivilege):
        return None  # its library was not loaded at the server's start, or it is not for this role
    for query in queries:
        query.query = without_values(query.query)
    return queries


def without_values(text: str) -> str:
    """A statement on one line. The server has put $1 in place of every value; what it missed goes here."""
    text = re.sub(r"--[^\n]*", " ", text)
    text = re.sub(r"'(?:[^']|'')*'", "'…'", text)
    text = re.sub(r"(?<![\w$])\d[\d.]*", "…", text)
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_QUERY else f"{text[:LONGEST_QUERY]}…"


def advise(stores: dict[str, Store | Away], events: Log | None) -> list[Advice]:
    """Whether to move each store: a limit is passed, and it shares its database."""
    projections = stores["projections"]
    queries = projections.slowest_queries if isinstance(projections, Store) else None
    reads = [each.mean_ms for each in queries or () if re.match("SELECT|WITH", each.query, re.IGNORECASE)]
    figures = {
        "slowest_read_ms": max(reads, default=None),
        "events_per_day": None if events is None else events.per_day,
        "events": None if events is None else events.total,
    }
    told = []
    for alias, limits in LIMITS.items():
        values = [(name, limit, figures[name]) for name, limit in limits.items()]
        thresholds = [Threshold(*each, each[2] is not None and each[2] > each[1]) for each in values]
        shared = _neighbours(alias, stores)
        split = bool(shared) and any(each.reached for each in thresholds)
        told.append(Advice(alias, split, shared, thresholds))
    return told


def lines(report: Report) -> Iterator[str]:
    """The report for the eye."""
    for alias, store in report.stores.items():
        yield from (
            [f"{alias.upper()}  is away: {store.error}", ""]
            if isinstance(store, Away)
            else _shown(alias, store)
        )
    yield "THE LOG" if report.events else "THE LOG  unknown"
    if report.events:
        oldest = report.events.oldest_at
        since = f", the oldest of {oldest:%Y-%m-%d %H:%M}" if oldest else ""
        yield f"  about {report.events.total:,} events{since}; {report.events.per_day:,.0f} a day"
    yield from ["", "PROJECTORS" if report.projectors else "PROJECTORS  unknown"]
    heads = ("", "events behind", "seconds", "dead letters", "waiting behind them")
    yield from _aligned([heads, *map(msgspec.structs.astuple, report.projectors or ())])
    yield from ["", "WHETHER TO SPLIT"]
    for advice in report.advice:
        yield f"  {advice.store}: {_verdict(advice)}"
        for each in advice.thresholds:
            value = "unknown" if each.value is None else f"{each.value:,.0f}"
            yield f"    {each.name} {value}, limit {each.limit:,.0f}{' (over)' if each.reached else ''}"


def _shown(alias: str, store: Store) -> Iterator[str]:
    writes = "open" if store.writes == "open" else f"CLOSED ({store.writes})"
    size = sum(table.size_bytes for table in store.tables)
    yield f"{alias.upper()}  database {store.database} on {store.server}"
    yield f"  writes {writes}; {_megabytes(size)} in a database of {_megabytes(store.database_size_bytes)}"
    yield f"  PostgreSQL {store.version}; {store.connections} of {store.max_connections} connections"
    rows = [(table.name, table.rows, _megabytes(table.size_bytes)) for table in store.tables]
    yield from _aligned([("", "rows, about", "size"), *rows])
    if store.slowest_queries is None:
        yield "  slowest queries: unknown, pg_stat_statements is not there"
    for query in store.slowest_queries or ():
        yield f"  {query.mean_ms:,.2f} ms in the mean, {query.calls:,} times:\n    {query.query}"
    yield ""


def _verdict(advice: Advice) -> str:
    if advice.shares_database_with is None:
        return "is away"
    if not advice.shares_database_with:
        return "has a database of its own"
    if advice.split:
        return f"move it: manage.py store_split --store {advice.store} --to URL"
    return f"may stay with {' and '.join(advice.shares_database_with)}"


def _aligned(rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Rows under each other, numbers and all but the first column to the right."""
    table = [[f"{each:,.0f}" if isinstance(each, int | float) else each for each in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for name, *others in table if len(table) > 1 else ():
        right = (each.rjust(width) for each, width in zip(others, widths[1:], strict=True))
        yield "  ".join(["", name.ljust(widths[0]), *right]).rstrip()


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _neighbours(alias: str, stores: dict[str, Store | Away]) -> list[str] | None:
    """The other stores in the same database; None where it is away."""
    here = stores[alias]
    if isinstance(here, Away):
        return None
    others = {other: store for other, store in stores.items() if other != alias and isinstance(store, Store)}
    at = (here.cluster, here.database)
    return [other for other, store in others.items() if (store.cluster, store.database) == at]


def _store(alias: str) -> Store | Away:
    try:
        with connect(alias) as connection:
            where = place_of(connection)
            ((size, used, most),) = connection.execute(SERVER).fetchall()
            return Store(
                server=where.server,
                cluster=str(where.system),
                database=where.database,
                version=where.version,
                writes=maintenance.status(connection, alias),
                database_size_bytes=size,
                connections=used,
                max_connections=most,
                tables=_tables(connection, list(SCHEMAS[alias])),
                slowest_queries=slowest(connection, list(SCHEMAS[alias])),
            )
    except (psycopg.OperationalError, psycopg.InterfaceError, errors.InsufficientPrivilege) as failure:
        message = (failure.diag.message_primary or str(failure)).strip()
        return Away(message.partition("\n")[0] or type(failure).__name__)


def _tables(connection: Connection, schemas: list[str]) -> list[Table]:
    with connection.cursor(row_factory=class_row(Table)) as cursor:
        return cursor.execute(TABLES, [schemas]).fetchall()


def _unless_away(ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except Exception as failure:
        if is_outage(failure):
            return None
        raise


def _projectors() -> list[Projector]:
    return [
        Projector(each.projector, each.events, round(each.seconds, 3), waiting.failed, waiting.behind)
        for each, waiting in zip(lag.lags(), lag.dead_letter_counts(), strict=True)
    ]
