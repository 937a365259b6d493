"""Connections that a projector keeps to itself, outside Django's pool, and statements on pooled
connections."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, TypeAlias, TypeVar, cast

import django.db
import psycopg
from django.db import connections
from psycopg import Cursor
from psycopg.types.datetime import TimestamptzLoader

from eventstore import instance

Row = TypeVar("Row")
Result = TypeVar("Result")
Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]
# A process that freezes inside a transaction keeps its locks, so the server ends its session. The keepalives
# do the same for a machine that is lost, whose locks (the worker's, a rebuild's) would otherwise stay for
# TCP's default of two hours.
SESSION = {
    "timezone": "UTC",
    "idle_in_transaction_session_timeout": "10s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
# A projector locks the row of its position, and its successor waits for that. Between two statements of a
# transaction lie 0.1 s of work on 5,000 events.
PROJECTOR_SESSION = {
    "idle_in_transaction_session_timeout": "3s",
    "client_connection_check_interval": "1s",
    "tcp_keepalives_idle": "1",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "2",
}
# The live loop holds its locks on the session that it writes on, and sends something at least once a second.
# The server ends the session of a process that hangs or froze after 3 s, and another process gets the locks a
# second later. A crash of PostgreSQL may undo commits, but rows and positions together, and what is lost is
# applied again: so no commit waits for the disk, except before acknowledging. A batch touches a few rows, by
# their keys: a table that was small when it was analysed must not be scanned for them, and no statement
# planned twice, because planning takes ten times as long as executing.
LIVE_SESSION = {
    **PROJECTOR_SESSION,
    "idle_session_timeout": "3s",
    "synchronous_commit": "off",
    "enable_seqscan": "off",
    "plan_cache_mode": "force_generic_plan",
}
# A server that vanishes without closing the connection is noticed after 10 s. No effect on unix sockets.
SOCKET = {"keepalives_idle": 5, "keepalives_interval": 1, "keepalives_count": 5, "tcp_user_timeout": 10_000}
# seconds that a page from a replica may take; usually it takes milliseconds
SILENCE = 5.0


def connect(alias: str, application_name: str = "", **settings: str) -> Connection:
    """Open a new connection to a store, in autocommit; ``settings`` of the server are set for its session.

    Raises ``psycopg.OperationalError`` when the store is away or belongs to another instance.
    """
    wanted = connections[alias].get_connection_params()
    # Django's cursors and adapters only work with its own wrapper
    params = {key: value for key, value in wanted.items() if key not in ("cursor_factory", "context")}
    extra = [f"-c {name}={value}" for name, value in {**SESSION, **settings}.items()]
    params["options"] = " ".join([params.get("options", ""), *extra]).strip()
    if application_name:
        params["application_name"] = application_name
    connection = psycopg.connect(**{**SOCKET, **params, "autocommit": True})
    try:
        instance.check(connection, alias)
    except BaseException:
        connection.close()
        raise
    return connection


def run(
    statement: str, parameters: Sequence[Any] | Mapping[str, Any], alias: str = "projections"
) -> Cursor[tuple[Any, ...]]:
    """Execute a statement on the raw psycopg connection: Django's cursor and loaders double the cost.

    Raises ``psycopg.OperationalError`` (or Django's) when the store is away.
    """
    wrapper = connections[alias]
    try:
        wrapper.ensure_connection()
        cursor = cast(Connection, wrapper.connection).cursor()
        cursor.adapters.register_loader("timestamptz", TimestamptzLoader)
        return cursor.execute(statement, parameters, prepare=True)
    except (psycopg.OperationalError, psycopg.InterfaceError):
        # a broken connection goes back to the pool, which replaces it
        with suppress(django.db.Error, psycopg.Error):
            wrapper.close()
        raise


class ConnectionWithTimeout(psycopg.Connection[Row]):
    """Raises ``psycopg.OperationalError`` after ``SILENCE`` seconds without an answer, and is unusable after
    that.

    It is for replicas, because the primary can answer instead. A server whose disk hangs keeps its sockets
    open and sends nothing: without this, each thread that asked it would wait as long as the disk hangs.
    """

    def wait(self, gen: Generator[Any, Any, Result], *args: Any, **kwargs: Any) -> Result:
        return super().wait(_limited(gen), *args, **kwargs)


def _limited(generator: Generator[Any, Any, Result]) -> Generator[Any, Any, Result]:
    """Wrap a generator so that it fails after ``SILENCE`` seconds; psycopg wakes it ten times a second."""
    heard = monotonic()
    try:
        wanted = next(generator)
        while True:
            ready = yield wanted
            if ready:
                heard = monotonic()
            elif monotonic() - heard > SILENCE:
                raise psycopg.OperationalError(f"not a word for {SILENCE:g} s")
            wanted = generator.send(ready)
    except StopIteration as end:
        result: Result = end.value
        return result
