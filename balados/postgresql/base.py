"""Django's PostgreSQL backend, with a pool that notices at no cost when the server has closed a connection.

Django can check a pooled connection with a query at every checkout (CONN_HEALTH_CHECKS), which costs a round
trip per store and request. A server sends nothing on an idle connection, except when it closes it, which
makes the socket readable. Checking that takes 2 microseconds, and no request gets a 503 because PostgreSQL
was restarted.
"""

import select
import threading
from typing import Any

import psycopg_pool
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.postgresql import base, features

from balados import logs
from balados.environment import NO_STORE
from eventstore import instance

# seconds to wait for a connection to a store that has been away for long
SHORT_PATIENCE = 1.0


class DatabaseFeatures(features.DatabaseFeatures):
    """Requires a recent server. Older ones are refused at every first connection, and by db_create
    (operations/stores.py)."""

    minimum_database_version = (15,)


class DatabaseWrapper(base.DatabaseWrapper):
    features_class = DatabaseFeatures

    # Django's own attribute: the pools by alias
    _connection_pools: dict[str, psycopg_pool.ConnectionPool]

    def get_connection_params(self) -> dict[str, Any]:
        """Return Django's parameters. Raises ``ImproperlyConfigured`` if no database is named: libpq would
        then connect to the machine's default one."""
        if not self.settings_dict["NAME"]:
            raise ImproperlyConfigured(NO_STORE)
        return dict(super().get_connection_params())

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Return a connection whose server is alive and whose store is this instance's. Raises
        ``OperationalError`` if there is none."""
        # without a pool, the wrapper may be for another place than the pool of the same alias
        pool = self._connection_pools.get(self.alias) if self.settings_dict["OPTIONS"].get("pool") else None
        if pool is None or pool.closed:
            return self._checked(super().get_new_connection(conn_params), self.pool)
        return self._checked(pool.getconn(patience(pool)), pool)

    def connect(self) -> None:
        """Connect as Django does, without repeating for each request what a pooled connection went through
        when it was created: Django's own method takes eight times as long."""
        _borrowers.of_thread.add(self)
        # without a pool, the wrapper may be for another place than the pool of the same alias
        pool = self._connection_pools.get(self.alias) if self.settings_dict["OPTIONS"].get("pool") else None
        if pool is None or pool.closed:
            super().connect()
            return
        self.in_atomic_block = self.needs_rollback = False
        self.closed_in_transaction = self.errors_occurred = False
        self.savepoint_ids, self.atomic_blocks, self.run_on_commit = [], [], []
        self.close_at, self.health_check_done = 0.0, True
        self.connection = self.get_new_connection({})
        self.autocommit = self.connection.autocommit
        if not self.autocommit:
            self.set_autocommit(True)

    def _checked(self, connection: Any, pool: psycopg_pool.ConnectionPool | None) -> Any:
        while pool is not None and _is_closed_by_server(connection):
            connection.close()
            pool.putconn(connection)  # the pool then replaces it
            connection = pool.getconn(patience(pool))
        try:
            instance.check(connection, self.alias)
        except BaseException:
            connection.close() if pool is None else pool.putconn(connection)
            raise
        logs.store_answers(self.alias)
        return connection


def patience(pool: psycopg_pool.ConnectionPool) -> float:
    """Return how many seconds to wait for a connection. A store that has been away for longer than a request
    may wait is not coming back from a restart: then a request does not hold its thread for long."""
    return min(pool.timeout, SHORT_PATIENCE) if logs.seconds_away(pool.name) > pool.timeout else pool.timeout


class _Borrowers(threading.local):
    """The wrappers of a thread that have taken a connection from their pool."""

    def __init__(self) -> None:
        self.of_thread: set[DatabaseWrapper] = set()


_borrowers = _Borrowers()


def give_back(**signal: object) -> None:
    """Return this thread's connections to their pools: what Django's ``close_old_connections`` does at the
    end of a request, without checking every store each time."""
    while _borrowers.of_thread:
        _borrowers.of_thread.pop().close()


def _is_closed_by_server(connection: Any) -> bool:
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN | select.POLLHUP)
    return bool(poll.poll(0))
