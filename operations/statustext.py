"""The report of ``store_status`` for the eye, within 100 columns."""

from collections.abc import Iterator
from textwrap import wrap

from operations.figures import Figures, Log
from operations.readtimes import RUNS, Reads
from operations.status import Advice, Away, Projector, Report, Store

WIDTH = 100
ROUTES = 5
WORDS = {
    "events_per_day": "events a day",
    "events": "events in all",
    "read_p95_ms_beside_replay": "ms for a read while the log is replayed",
    "read_p95_ms": "ms for a read",
}


def lines(report: Report) -> Iterator[str]:
    for alias, store in report.stores.items():
        yield from _store(alias, store)
        yield ""
    yield from _log(report.events)
    yield ""
    yield from _projectors(report.projectors)
    yield ""
    yield from _reads(report.reads)
    yield ""
    yield "WHETHER TO SPLIT"
    for advice in report.advice:
        yield from _advice(advice)


def _store(alias: str, store: Store | Away) -> Iterator[str]:
    if isinstance(store, Away):
        yield f"{alias.upper()}  is away: {store.error}"[:WIDTH]
        return
    figures = store.figures
    yield f"{alias.upper()}  database {store.database} on {store.server}, PostgreSQL {store.version}"
    shared = f", shared with {' and '.join(store.shares_database_with)}" if store.shares_database_with else ""
    writes = "open" if store.writes == "open" else f"CLOSED ({store.writes})"
    size, whole = _size(figures.size_bytes), _size(figures.database_size_bytes)
    yield f"  writes {writes}; {size} in a database of {whole}{shared}"
    cache = "nothing read yet" if figures.cache_hit_ratio is None else f"{figures.cache_hit_ratio:.1%}"
    yield (
        f"  {figures.connections} of {figures.max_connections} connections, longest transaction"
        f" {figures.longest_transaction_seconds:.1f} s, found in the cache: {cache}"
    )
    yield from _tables(figures)
    yield from _queries(figures)


def _tables(figures: Figures) -> Iterator[str]:
    empty = 0
    for table in sorted(figures.tables, key=lambda table: -table.size_bytes):
        if not table.rows:
            empty += 1
            continue
        rows = f"{table.rows:,}" if table.exact else f"about {table.rows:,}"
        yield f"  {table.name:<44} {rows:>22} rows {_size(table.size_bytes):>12}"
    if empty:
        yield f"  and {empty} empty tables"


def _queries(figures: Figures) -> Iterator[str]:
    if figures.slowest_queries is None:
        yield "  slowest queries: unknown, pg_stat_statements is not there"
        return
    for query in figures.slowest_queries:
        yield f"  {query.mean_ms:>10,.2f} ms in the mean, {query.calls:,} times:"
        yield from wrap(query.query, WIDTH, initial_indent="    ", subsequent_indent="    ")


def _log(log: Log | None) -> Iterator[str]:
    yield "THE LOG"
    if log is None:
        yield "  unknown"
        return
    total = f"{log.total:,}" if log.exact else f"about {log.total:,}"
    oldest = "" if log.oldest_at is None else f", the oldest of {log.oldest_at:%Y-%m-%d %H:%M}"
    yield f"  {total} in all{oldest}"
    yield f"  {log.last_days[0]:,} in the last 24 hours, {log.per_day:,.0f} a day over 7 days"


def _projectors(projectors: list[Projector] | None) -> Iterator[str]:
    yield "PROJECTORS                 events behind    seconds   dead letters   waiting behind them"
    if projectors is None:
        yield "  unknown"
        return
    for each in projectors:
        yield (
            f"  {each.name:<24} {each.lag_events:>13,} {each.lag_seconds:>10,.1f}"
            f" {each.dead_letters_failed:>14,} {each.dead_letters_behind:>21,}"
        )


def _reads(reads: Reads | None) -> Iterator[str]:
    yield f"{f'READS (p95 of {RUNS}, ms)':<38} {'alone':>10} {'beside a replay':>18}"
    if reads is None:
        yield "  unknown"
        return
    for read in reads.reads:
        yield f"  {read.name:<36} {read.p95_ms:>10,.2f} {read.beside_replay_p95_ms:>18,.2f}"
    if reads.replay_events_per_second is not None:
        yield (
            f"  a replay of the whole log takes {reads.replay_seconds:,.0f} s at the least"
            f" ({reads.replay_events_per_second:,.0f} events/s read)"
        )
    if reads.routes is None:
        yield "  requests: unknown, Redis is away"
        return
    for route in reads.routes[:ROUTES]:
        p95 = "over the last class" if route.p95_ms is None else f"{route.p95_ms:,.1f} ms at most"
        yield f"  GET {route.route:<44} {route.requests:>12,.0f} times, p95 {p95}"


def _advice(advice: Advice) -> Iterator[str]:
    if advice.alone:
        verdict = "has a database of its own"
    elif advice.alone is None:
        verdict = "is away"
    elif advice.split:
        verdict = f"move it: manage.py store_split --store {advice.store} --to URL"
    else:
        verdict = "may stay where it is"
    yield f"  {advice.store:<12} {verdict}"
    for each in advice.thresholds:
        found = "unknown" if each.value is None else f"{each.value:,.0f}"
        mark = "over" if each.reached else "of"
        yield f"  {'':<12} {found:>12} {mark:>4} {each.limit:>9,.0f} {WORDS[each.name]}"


def _size(size: int) -> str:
    """In the unit that leaves at most four digits before the point."""
    amount, units = float(size), ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while amount >= 1024 and len(units) > 1:
        amount, units = amount / 1024, units[1:]
    return f"{amount:,.0f} {units[0]}" if units[0] == "bytes" else f"{amount:,.1f} {units[0]}"
