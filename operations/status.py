"""The state of the three stores, and which of them has grown enough to need a database of its own.

Every figure comes from the server's own statistics or from a few index look-ups, so asking costs the same
however large a store is.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import errors, sql
from psycopg.rows import dict_row

from operations import maintenance
from operations.stores import SCHEMAS, Connection, connect, place_of
from projections import lag
from projections.failures import unless_away

Found = dict[str, Any]  # a part of the report that docs/operations.md describes
# A store above one of these should have a database of its own (docs/operations.md).
LIMITS: dict[str, dict[str, float]] = {
    "system": {},
    "projections": {"slowest_read_ms": 200},
    "events": {"events_per_day": 10_000, "events": 1_000_000},
}
SLOWEST_SHOWN, LONGEST_QUERY = 5, 200
# A partitioned table has the size and the rows of its partitions; tables of extensions are left out.
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
SELECT pg_database_size(current_database()) AS database_size_bytes,
       (SELECT sum(numbackends)::integer FROM pg_stat_database) AS connections,
       current_setting('max_connections')::integer AS max_connections
"""
# The rate is measured on the newest events: as many as a day may have, and one more.
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
# Reads and writes that name the store's schema; not CREATE ROLE and the like, which may contain a password.
SLOWEST = sql.SQL("""
SELECT query, calls, round(mean_exec_time::numeric, 2)::float8 AS mean_ms FROM {view}
 WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND query ~* '^\\s*(--[^\\n]*\\n\\s*)*(SELECT|INSERT|UPDATE|DELETE|WITH|MERGE)\\M' AND query ~ %s
 ORDER BY mean_exec_time DESC LIMIT %s
""")


def report() -> Found:
    """Ask every store; return the object that ``store_status --json`` prints. What could not be found out is
    None."""
    stores = {alias: _store(alias) for alias in SCHEMAS}
    up = {alias for alias, store in stores.items() if store["up"]}
    events = unless_away(log) if "events" in up else None
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "stores": stores,
        "events": events,
        "projectors": unless_away(_projectors) if {"events", "projections"} <= up else None,
        "advice": advise(stores, events),
    }


def log() -> Found:
    """Return the server's estimate of the number of events, and how many there were in the last 24 hours.

    If those exceed the limit, the number is extrapolated from the rate of the newest. Raises
    ``psycopg.Error``.
    """
    most = int(LIMITS["events"]["events_per_day"])
    with connect("events") as connection:
        tables = {table["name"]: table["rows"] for table in _rows(connection, TABLES, ["events"])}
        recent, days = connection.execute(RATE, [most + 1]).fetchall()[0]
        oldest = connection.execute(OLDEST).fetchone()
    if oldest is None:  # the server may not yet know that the table is empty
        return {"total": 0, "per_day": 0.0, "oldest_at": None}
    per_day = recent if recent <= most else recent / days
    total = max(tables["events.events"], recent)
    return {"total": total, "per_day": round(per_day, 1), "oldest_at": oldest[0].isoformat()}


def slowest(connection: Connection, schemas: list[str]) -> list[Found] | None:
    """Return the statements on these schemas with the highest mean time; None without
    ``pg_stat_statements``."""
    found = connection.execute(STATEMENTS).fetchone()
    if found is None:
        return None
    statement = SLOWEST.format(view=sql.Identifier(found[0], "pg_stat_statements"))
    named = rf'(^|[^a-z_."])"?({"|".join(schemas)})"?\.'
    try:
        queries = _rows(connection, statement, named, SLOWEST_SHOWN)
    except (errors.ObjectNotInPrerequisiteState, errors.InsufficientPrivilege):
        return None  # its library was not loaded when the server started, or this role may not read it
    return [{**query, "query": without_values(query["query"])} for query in queries]


def without_values(text: str) -> str:
    """Return a statement on one line without values: the server writes $1 for most, the others are removed
    here."""
    text = re.sub(r"--[^\n]*", " ", text)
    text = re.sub(r"'(?:[^']|'')*'", "'…'", text)
    text = re.sub(r"(?<![\w$])\d[\d.]*", "…", text)
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_QUERY else f"{text[:LONGEST_QUERY]}…"


def advise(stores: dict[str, Found], events: Found | None) -> list[Found]:
    """Say for each store whether to move it: a limit is exceeded, and it shares its database."""
    queries = stores["projections"].get("slowest_queries") or ()
    reads = [each["mean_ms"] for each in queries if re.match("SELECT|WITH", each["query"], re.IGNORECASE)]
    figures = {
        "slowest_read_ms": max(reads, default=None),
        "events_per_day": events and events["per_day"],
        "events": events and events["total"],
    }
    advices = []
    for alias, limits in LIMITS.items():
        thresholds = [
            {"name": name, "limit": limit, "value": figures[name], "reached": (figures[name] or 0) > limit}
            for name, limit in limits.items()
        ]
        shared = _neighbours(alias, stores)
        split = bool(shared) and any(each["reached"] for each in thresholds)
        advice = {"store": alias, "split": split, "shares_database_with": shared, "thresholds": thresholds}
        advices.append(advice)
    return advices


def lines(report: Found) -> Iterator[str]:
    """Yield the report as readable text."""
    for alias, store in report["stores"].items():
        if store["up"]:
            yield from _shown(alias, store)
        else:
            yield f"{alias.upper()}  is away: {store['error']}\n"
    log, projectors = report["events"], report["projectors"] or ()
    yield "THE LOG" if log else "THE LOG  unknown"
    if log:
        oldest = f", the oldest of {log['oldest_at']:.16}" if log["oldest_at"] else ""
        yield f"  about {log['total']:,} events{oldest}; {log['per_day']:,.0f} a day"
    yield "\nPROJECTORS" if projectors else "\nPROJECTORS  unknown"
    heads = ("", "events behind", "seconds", "dead letters", "waiting behind them")
    yield from _aligned([heads, *(tuple(each.values()) for each in projectors)])
    yield "\nWHETHER TO SPLIT"
    for advice in report["advice"]:
        yield f"  {advice['store']}: {_verdict(advice)}"
        for each in advice["thresholds"]:
            value = "unknown" if each["value"] is None else f"{each['value']:,.0f}"
            yield f"    {each['name']} {value}, limit {each['limit']:,}{' (over)' if each['reached'] else ''}"


def _shown(alias: str, store: Found) -> Iterator[str]:
    writes = "open" if store["writes"] == "open" else f"CLOSED ({store['writes']})"
    sizes = sum(table["size_bytes"] for table in store["tables"]), store["database_size_bytes"]
    yield f"{alias.upper()}  database {store['database']} on {store['server']}"
    yield f"  writes {writes}; {_megabytes(sizes[0])} in a database of {_megabytes(sizes[1])}"
    used, most = store["connections"], store["max_connections"]
    yield f"  PostgreSQL {store['version']}; {used} of {most} connections"
    rows = [(table["name"], table["rows"], _megabytes(table["size_bytes"])) for table in store["tables"]]
    yield from _aligned([("", "rows, about", "size"), *rows])
    if store["slowest_queries"] is None:
        yield "  slowest queries: unknown, pg_stat_statements is not there"
    for query in store["slowest_queries"] or ():
        yield f"  {query['mean_ms']:,.2f} ms in the mean, {query['calls']:,} times:\n    {query['query']}"
    yield ""


def _verdict(advice: Found) -> str:
    shared = advice["shares_database_with"]
    if not shared:
        return "is away" if shared is None else "has a database of its own"
    if advice["split"]:
        return f"move it: manage.py store_split --store {advice['store']} --to URL"
    return f"may stay with {' and '.join(shared)}"


def _aligned(rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Align rows in columns: numbers, and all but the first column, to the right."""
    table = [[f"{each:,.0f}" if isinstance(each, int | float) else each for each in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for name, *others in table if len(table) > 1 else ():
        right = (each.rjust(width) for each, width in zip(others, widths[1:], strict=True))
        yield "  ".join(["", name.ljust(widths[0]), *right]).rstrip()


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _neighbours(alias: str, stores: dict[str, Found]) -> list[str] | None:
    """Return the other stores in the same database; None when the store is away."""
    places = {name: (store["cluster"], store["database"]) for name, store in stores.items() if store["up"]}
    if alias not in places:
        return None
    return [name for name, place in places.items() if name != alias and place == places[alias]]


def _store(alias: str) -> Found:
    try:
        with connect(alias) as connection:
            where, schemas = place_of(connection), list(SCHEMAS[alias])
            return {
                "up": True,
                "server": where.server,
                "cluster": str(where.system),
                "database": where.database,
                "version": where.version,
                "writes": maintenance.status(connection, alias),
                **_rows(connection, SERVER)[0],
                "tables": _rows(connection, TABLES, schemas),
                "slowest_queries": slowest(connection, schemas),
            }
    except (psycopg.OperationalError, psycopg.InterfaceError, errors.InsufficientPrivilege) as failure:
        message = (failure.diag.message_primary or str(failure)).strip()
        return {"up": False, "error": message.partition("\n")[0] or type(failure).__name__}


def _rows(connection: Connection, statement: Any, *parameters: Any) -> list[Found]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement, parameters).fetchall()


def _projectors() -> list[Found]:
    return [
        {
            "name": each.projector,
            "lag_events": each.events,
            "lag_seconds": round(each.seconds, 3),
            "dead_letters_failed": waiting.failed,
            "dead_letters_behind": waiting.behind,
        }
        for each, waiting in zip(lag.lags(), lag.dead_letter_counts(), strict=True)
    ]
