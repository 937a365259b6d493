"""The connection to the event store: the psycopg connection beneath Django's, in autocommit mode.

Django's cursor would be half of the cost of an append (docs/performance-details.md). Statements of more than
three lines are files in ``sql``. Every function raises ``psycopg.OperationalError`` (or Django's) when the
store is unavailable.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, cast

import psycopg
from django.db import connections
from django.db.utils import OperationalError

ALIAS = "events"
SQL = {file.stem: file.read_text() for file in (Path(__file__).parent / "sql").glob("*.sql")}

Connection = psycopg.Connection[tuple[Any, ...]]
Cursor = psycopg.Cursor[tuple[Any, ...]]


def raw_connection(alias: str = ALIAS) -> Connection:
    """Return this thread's connection to a store."""
    wrapper = connections[alias]
    if wrapper.connection is None:
        wrapper.ensure_connection()
    return cast(Connection, wrapper.connection)


def execute(statement: str, parameters: Mapping[str, Any] | Sequence[Any] = ()) -> Cursor:
    """Run one prepared statement."""
    with discard_when_broken():
        return raw_connection().execute(statement, parameters, prepare=True)


def fetch_value(statement: str, parameters: Mapping[str, Any] | Sequence[Any] = ()) -> Any:
    """Return the first column of the first row, or None when there is no row."""
    row = execute(statement, parameters).fetchone()
    return row[0] if row else None


def fetch_column(statement: str, parameters: Mapping[str, Any] | Sequence[Any] = ()) -> list[Any]:
    """Return the first column of every row."""
    return [first for first, *_ in execute(statement, parameters)]


class _Discarding:
    """A context manager; ``contextmanager`` would make as many calls as sending a statement does."""

    def __init__(self, alias: str) -> None:
        self._alias = alias

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
            with suppress(OperationalError, psycopg.Error):
                connections[self._alias].close()


@cache
def discard_when_broken(alias: str = ALIAS) -> AbstractContextManager[None]:
    """Close a broken connection, which returns it to the pool to be replaced, and raise the error again."""
    return _Discarding(alias)


@contextmanager
def deleting(*, durable: bool = True) -> Iterator[None]:
    """Open a transaction that may delete events; its commit waits for the disk only if it is ``durable``.

    Retention need not be durable: what comes back after a crash is deleted again. Its hundred commits a
    second must not keep the disk from serving listeners.
    """
    with discard_when_broken(), raw_connection().transaction():
        execute("SET LOCAL balados.retention = 'on'")
        if not durable:
            execute("SET LOCAL synchronous_commit = off")
        yield
