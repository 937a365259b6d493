"""Django's PostgreSQL backend with a pool that notices at no cost when the server has gone away.

Django can check a pooled connection by a query at every checkout (CONN_HEALTH_CHECKS), which costs a round
trip per store and request. A server sends nothing on an idle connection, except when it closes it: then the
socket is readable. Looking takes 2 microseconds, and a restarted PostgreSQL costs no request a 503.
"""

import select
from typing import Any

from django.db.backends.postgresql import base, features


class DatabaseFeatures(features.DatabaseFeatures):
    """Older servers are refused at every first connection, and by db_create (operations/stores.py)."""

    minimum_database_version = (15,)


class DatabaseWrapper(base.DatabaseWrapper):
    features_class = DatabaseFeatures

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """A connection whose server is there. Raises ``OperationalError`` when none can be had."""
        connection = super().get_new_connection(conn_params)
        pool = self.pool
        while pool is not None and _is_closed_by_server(connection):
            connection.close()
            pool.putconn(connection)  # which replaces it
            connection = pool.getconn()
        return connection


def _is_closed_by_server(connection: Any) -> bool:
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN | select.POLLHUP)
    return bool(poll.poll(0))
