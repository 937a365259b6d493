"""The connection to the events store: the psycopg one under Django's, in autocommit.

Django's cursor is half of what an append costs (docs/performance-details.md). Statements of more than three
lines are files in ``sql``. Every function raises ``psycopg.OperationalError`` (or Django's) when the store is
away.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
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
    """This thread's connection to a store."""
    wrapper = connections[alias]
    if wrapper.connection is None:
        wrapper.ensure_connection()
    return cast(Connection, wrapper.connection)


def execute(statement: str, parameters: Mapping[str, Any] | Sequence[Any] = ()) -> Cursor:
    """Run one prepared statement."""
    with discard_when_broken():
        return raw_connection().execute(statement, parameters, prepare=True)


def fetch_value(statement: str, parameters: Mapping[str, Any] | Sequence[Any] = ()) -> Any:
    """The first column of the first row; None when there is no row."""
    row = execute(statement, parameters).fetchone()
    return row[0] if row else None


def fetch_column(statement: str, parameters: Mapping[str, Any] | Sequence[Any] = ()) -> list[Any]:
    """The first column of every row."""
    return [first for first, *_ in execute(statement, parameters)]


@contextmanager
def discard_when_broken(alias: str = ALIAS) -> Iterator[None]:
    """Give a broken connection back to the pool, which replaces it."""
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError):
        with suppress(OperationalError, psycopg.Error):
            connections[alias].close()
        raise


@contextmanager
def deleting(*, durable: bool = True) -> Iterator[None]:
    """A transaction in which events may be deleted; its commit waits for the disk only if it is ``durable``.

    What retention deletes may come back in a crash, and is deleted again. Its hundred commits a second must
    not keep the disk from those who play.
    """
    with discard_when_broken(), raw_connection().transaction():
        execute("SET LOCAL balados.retention = 'on'")
        if not durable:
            execute("SET LOCAL synchronous_commit = off")
        yield
