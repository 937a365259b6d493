"""Django's PostgreSQL backend with a pool that notices at no cost when the server has gone away.

Django can check a pooled connection by a query at every checkout (CONN_HEALTH_CHECKS), which costs a round
trip per store and request. A server sends nothing on an idle connection, except when it closes it: then the
socket is readable. Looking takes 2 microseconds, and a restarted PostgreSQL costs no request a 503.
"""

import select
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.postgresql import base, features

from balados import logs
from balados.environment import NO_STORE
from eventstore import instance


class DatabaseFeatures(features.DatabaseFeatures):
    """Older servers are refused at every first connection, and by db_create (operations/stores.py)."""

    minimum_database_version = (15,)


class DatabaseWrapper(base.DatabaseWrapper):
    features_class = DatabaseFeatures

    def get_connection_params(self) -> dict[str, Any]:
        """Raises ``ImproperlyConfigured`` where nothing names a database: the machine's own is not ours."""
        if not self.settings_dict["NAME"]:
            raise ImproperlyConfigured(NO_STORE)
        return dict(super().get_connection_params())

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """A connection whose server is there and whose store is this instance's. Raises
        ``OperationalError`` when none can be had."""
        connection = super().get_new_connection(conn_params)
        pool = self.pool
        while pool is not None and _is_closed_by_server(connection):
            connection.close()
            pool.putconn(connection)  # which replaces it
            connection = pool.getconn()
        try:
            instance.check(connection, self.alias)
        except BaseException:
            connection.close() if pool is None else pool.putconn(connection)
            raise
        logs.store_answers(self.alias)
        return connection


def _is_closed_by_server(connection: Any) -> bool:
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN | select.POLLHUP)
    return bool(poll.poll(0))
