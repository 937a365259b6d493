"""Connections that a projector keeps for itself, outside Django's pool."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import psycopg
from django.db import connections

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
# A projector holds the row of its position, for which its heir waits: as soon as its lock is free (locks.py).
# Between two statements of a transaction lie 0.1 s of work on 5,000 events.
OF_A_PROJECTOR = {
    "idle_in_transaction_session_timeout": "3s",
    "client_connection_check_interval": "1s",
    "tcp_keepalives_idle": "1",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "2",
}
# A server that vanished without a word is noticed after 10 s. No effect on unix sockets.
SOCKET = {"keepalives_idle": 5, "keepalives_interval": 1, "keepalives_count": 5, "tcp_user_timeout": 10_000}


def connect(alias: str, application_name: str = "", **settings: str) -> Connection:
    """A fresh connection to a store, in autocommit, with ``settings`` of the server set for its session.

    Raises ``psycopg.OperationalError`` when the store is away.
    """
    return psycopg.connect(**parameters(alias, application_name, settings))


def parameters(alias: str, application_name: str, settings: Mapping[str, str] = {}) -> dict[str, Any]:
    """What psycopg needs for such a connection."""
    wanted = connections[alias].get_connection_params()
    # Django's cursors and adapters are for its own wrapper
    params = {key: value for key, value in wanted.items() if key not in ("cursor_factory", "context")}
    extra = [f"-c {name}={value}" for name, value in {**SESSION, **settings}.items()]
    params["options"] = " ".join([params.get("options", ""), *extra]).strip()
    if application_name:
        params["application_name"] = application_name
    return {**SOCKET, **params, "autocommit": True}


def discard(connection: Connection | None) -> None:
    """Close without a word, whatever state it is in."""
    if connection is not None and not connection.closed:
        connection.close()
