"""The report of ``store_status`` for the eye, within 100 columns."""

from collections.abc import Iterable, Iterator
from typing import TextIO

from rich.console import Console
from rich.filesize import decimal
from rich.padding import Padding
from rich.table import Table

from operations.status import Advice, Away, Log, Report, Store

WIDTH = 100
THRESHOLDS = {
    "events_per_day": "events a day",
    "events": "events in all",
    "slowest_read_ms": "ms for the slowest read, in the mean",
}
Row = tuple[str, ...]


def show(report: Report, out: TextIO) -> None:
    """Write the report on ``out``."""
    console = Console(file=out, width=WIDTH, highlight=False, markup=False, emoji=False)
    for alias, store in report.stores.items():
        if isinstance(store, Away):
            console.print(f"{alias.upper()}  is away: {store.error}\n")
        else:
            _show_store(console, alias, store)
    console.print(_log(report.events))
    projectors = [
        (
            each.name,
            *map(
                _grouped,
                (each.lag_events, each.lag_seconds, each.dead_letters_failed, each.dead_letters_behind),
            ),
        )
        for each in report.projectors or ()
    ]
    heads = ("", "events behind", "seconds", "dead letters", "waiting behind them")
    _show_table(console, "PROJECTORS" if projectors else "PROJECTORS  unknown", heads, projectors)
    rows = (row for advice in report.advice for row in _advice(advice))
    _show_table(console, "WHETHER TO SPLIT", ("", "now", "limit", ""), rows)


def _show_store(console: Console, alias: str, store: Store) -> None:
    writes = "open" if store.writes == "open" else f"CLOSED ({store.writes})"
    title = (
        f"{alias.upper()}  database {store.database} on {store.server}, PostgreSQL {store.version}\n"
        f"  writes {writes}; {decimal(sum(table.size_bytes for table in store.tables))} in a database of"
        f" {decimal(store.database_size_bytes)}; {store.connections} of {store.max_connections} connections"
    )
    tables = sorted(store.tables, key=lambda table: -table.size_bytes)
    rows = [(table.name, _grouped(table.rows), decimal(table.size_bytes)) for table in tables]
    _show_table(console, title, ("", "rows, about", "size"), rows)
    if store.slowest_queries is None:
        console.print("  slowest queries: unknown, pg_stat_statements is not there\n")
    for query in store.slowest_queries or ():
        console.print(f"  {query.mean_ms:,.2f} ms in the mean, {query.calls:,} times:")
        console.print(Padding(query.query, (0, 0, 1, 4), expand=False))


def _log(log: Log | None) -> str:
    if log is None:
        return "THE LOG  unknown\n"
    oldest = "" if log.oldest_at is None else f", the oldest of {log.oldest_at:%Y-%m-%d %H:%M}"
    return f"THE LOG\n  about {log.total:,} events{oldest}; {log.per_day:,.0f} a day\n"


def _advice(advice: Advice) -> Iterator[Row]:
    if advice.shares_database_with is None:
        verdict = "is away"
    elif not advice.shares_database_with:
        verdict = "has a database of its own"
    elif advice.split:
        verdict = f"move it: manage.py store_split --store {advice.store} --to URL"
    else:
        verdict = f"may stay with {' and '.join(advice.shares_database_with)}"
    yield advice.store, "", "", verdict
    for each in advice.thresholds:
        value = "unknown" if each.value is None else _grouped(each.value)
        yield "", value, _grouped(each.limit), THRESHOLDS[each.name] + (" (over)" if each.reached else "")


def _show_table(console: Console, title: str, heads: Iterable[str], rows: Iterable[Row]) -> None:
    console.print(title)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, head in enumerate(heads):
        table.add_column(head, justify="right" if number and head else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(Padding(table, (0, 0, 1, 2), expand=False) if table.row_count else "")


def _grouped(number: float) -> str:
    return f"{number:,.0f}"
