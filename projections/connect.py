"""Connections that a projector keeps for itself, outside Django's pool, and statements on pooled ones."""

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
# A process that froze inside a transaction holds what it locked: the server ends it. So it does with that of
# a lost machine, whose locks (the worker's, a rebuild's) would else stay for the two hours of TCP's defaults.
SESSION = {
    "timezone": "UTC",
    "idle_in_transaction_session_timeout": "10s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
# A projector holds the row of its position, for which its heir waits. Between two statements of a transaction
# lie 0.1 s of work on 5,000 events.
PROJECTOR_SESSION = {
    "idle_in_transaction_session_timeout": "3s",
    "client_connection_check_interval": "1s",
    "tcp_keepalives_idle": "1",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "2",
}
# The live loop holds its locks by the session that it writes on. It says something once a second at least:
# the server ends the session of a process that hangs or froze after 3 s, and a second later somebody else has
# the locks. What a crash of PostgreSQL takes back, rows and positions alike, is applied again: so no commit
# waits for the disk, but before acknowledging. A batch touches a few rows, by their keys: no table
# that was small when it was analysed is to be read whole for them, and no plan to be made twice, which takes
# ten times as long as what it is for.
LIVE_SESSION = {
    **PROJECTOR_SESSION,
    "idle_session_timeout": "3s",
    "synchronous_commit": "off",
    "enable_seqscan": "off",
    "plan_cache_mode": "force_generic_plan",
}
# A server that vanished without a word is noticed after 10 s. No effect on unix sockets.
SOCKET = {"keepalives_idle": 5, "keepalives_interval": 1, "keepalives_count": 5, "tcp_user_timeout": 10_000}
# seconds that a page of a replica may take; it takes milliseconds
SILENCE = 5.0


def connect(alias: str, application_name: str = "", **settings: str) -> Connection:
    """A fresh connection to a store, in autocommit, with ``settings`` of the server set for its session.

    Raises ``psycopg.OperationalError`` when the store is away or another instance's.
    """
    wanted = connections[alias].get_connection_params()
    # Django's cursors and adapters are for its own wrapper
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
    """Executes on the raw psycopg connection: Django's cursor and loaders double the cost.

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
    """Raises ``psycopg.OperationalError`` after ``SILENCE`` seconds without a word, and is of no more use.

    For replicas, in whose place the primary can answer. A server whose disk stands still keeps its sockets
    open and says nothing: each thread that asked it would wait for as long.
    """

    def wait(self, gen: Generator[Any, Any, Result], *args: Any, **kwargs: Any) -> Result:
        return super().wait(_limited(gen), *args, **kwargs)


def _limited(generator: Generator[Any, Any, Result]) -> Generator[Any, Any, Result]:
    """The same generator, which psycopg wakes ten times a second where nothing comes."""
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
