"""The report of ``store_status`` for the eye, within 100 columns."""

from collections.abc import Iterable, Iterator
from typing import TextIO

from rich.console import Console
from rich.filesize import decimal
from rich.padding import Padding
from rich.table import Table

from operations.figures import Figures, Log
from operations.status import Advice, Away, Report, Store

WIDTH = 100
THRESHOLDS = {
    "events_per_day": "events a day",
    "events": "events in all",
    "read_p95_ms_beside_replay": "ms for a read while the log is replayed",
    "read_p95_ms": "ms for a read",
}


def show(report: Report, out: TextIO) -> None:
    """Write the report on ``out``."""
    console = Console(file=out, width=WIDTH, highlight=False, markup=False, emoji=False)
    for alias, store in report.stores.items():
        if isinstance(store, Away):
            console.print(f"{alias.upper()}  is away: {store.error}\n")
        else:
            _show_table(console, _store(alias, store), ("", "rows", "size"), _tables(store.figures))
            _show_queries(console, store.figures)
    console.print(_log(report.events))
    projectors = [
        (
            each.name,
            f"{each.lag_events:,}",
            f"{each.lag_seconds:,.1f}",
            f"{each.dead_letters_failed:,}",
            f"{each.dead_letters_behind:,}",
        )
        for each in report.projectors or ()
    ]
    heads = ("", "events behind", "seconds", "dead letters", "waiting behind them")
    _show_table(console, "PROJECTORS" if projectors else "PROJECTORS  unknown", heads, projectors)
    reads = [
        (read.name, f"{read.p95_ms:,.2f}", f"{read.beside_replay_p95_ms:,.2f}")
        for read in (report.reads.reads if report.reads else ())
    ]
    title = "READS (p95, ms)" if reads else "READS  unknown"
    _show_table(console, title, ("", "alone", "beside a replay"), reads)
    rows = (row for advice in report.advice for row in _advice(advice))
    _show_table(console, "WHETHER TO SPLIT", ("", "now", "limit", ""), rows)


def _store(alias: str, store: Store) -> str:
    figures = store.figures
    shared = f", shared with {' and '.join(store.shares_database_with)}" if store.shares_database_with else ""
    writes = "open" if store.writes == "open" else f"CLOSED ({store.writes})"
    cache = "nothing read yet" if figures.cache_hit_ratio is None else f"{figures.cache_hit_ratio:.1%}"
    return (
        f"{alias.upper()}  database {store.database} on {store.server}, PostgreSQL {store.version}\n"
        f"  writes {writes}; {decimal(figures.size_bytes)} in a database of"
        f" {decimal(figures.database_size_bytes)}{shared}\n"
        f"  {figures.connections} of {figures.max_connections} connections, longest transaction"
        f" {figures.longest_transaction_seconds:.1f} s, found in the cache: {cache}"
    )


def _tables(figures: Figures) -> Iterator[tuple[str, ...]]:
    full = [table for table in figures.tables if table.rows]
    for table in sorted(full, key=lambda table: -table.size_bytes):
        yield table.name, _count(table.rows, table.exact), decimal(table.size_bytes)
    if empty := len(figures.tables) - len(full):
        yield f"and {empty} empty tables", "", ""


def _show_queries(console: Console, figures: Figures) -> None:
    if figures.slowest_queries is None:
        console.print("  slowest queries: unknown, pg_stat_statements is not there\n")
        return
    for query in figures.slowest_queries:
        console.print(f"  {query.mean_ms:,.2f} ms in the mean, {query.calls:,} times:")
        console.print(Padding(query.query, (0, 0, 1, 4), expand=False))


def _log(log: Log | None) -> str:
    if log is None:
        return "THE LOG  unknown\n"
    oldest = "" if log.oldest_at is None else f", the oldest of {log.oldest_at:%Y-%m-%d %H:%M}"
    return (
        f"THE LOG\n  {_count(log.total, log.exact)} in all{oldest}\n"
        f"  {log.last_days[0]:,} in the last 24 hours, {log.per_day:,.0f} a day over 7 days\n"
    )


def _advice(advice: Advice) -> Iterator[tuple[str, ...]]:
    if advice.alone is None:
        verdict = "is away"
    elif advice.alone:
        verdict = "has a database of its own"
    elif advice.split:
        verdict = f"move it: manage.py store_split --store {advice.store} --to URL"
    else:
        verdict = "may stay where it is"
    yield advice.store, "", "", verdict
    for each in advice.thresholds:
        value = "unknown" if each.value is None else f"{each.value:,.0f}"
        over = " (over)" if each.reached else ""
        yield "", value, f"{each.limit:,.0f}", f"{THRESHOLDS[each.name]}{over}"


def _show_table(console: Console, title: str, heads: Iterable[str], rows: Iterable[tuple[str, ...]]) -> None:
    console.print(title)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, head in enumerate(heads):
        table.add_column(head, justify="right" if number and head else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(Padding(table, (0, 0, 1, 2), expand=False) if table.row_count else "")


def _count(rows: int, exact: bool) -> str:
    return f"{rows:,}" if exact else f"about {rows:,}"
