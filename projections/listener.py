"""The hint that there are new events: NOTIFY, sent by writers after a commit, at most four times a second.

Only ever a hint. Whoever waits here reads again after ``IDLE`` anyway.
"""

import time

import psycopg

from eventstore.log import NOTIFICATION_CHANNEL
from projections.connect import Connection, connect

# how long a sleeper sleeps when no hint comes
IDLE = 0.2
RECONNECT_EVERY = 1.0


class Listener:
    """LISTEN on a connection of its own. Without one it just sleeps, and tries to connect once a second."""

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._tried_at = -RECONNECT_EVERY

    def hinted(self) -> bool:
        """Whether hints came while nobody waited; forgets them, so read once more before ``wait``."""
        return self._hints(0)

    def wait(self, seconds: float = IDLE) -> bool:
        """Sleep until a hint comes (true) or the time is over."""
        until = time.monotonic() + seconds
        hinted = self._hints(seconds)
        if not hinted and self._connection is None:
            time.sleep(max(0.0, until - time.monotonic()))
        return hinted

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _hints(self, seconds: float) -> bool:
        try:
            connection = self._session()
            if connection is None:
                return False
            return bool(list(connection.notifies(timeout=seconds, stop_after=1 if seconds else None)))
        except psycopg.OperationalError:
            self.close()
            return False

    def _session(self) -> Connection | None:
        if self._connection is None and time.monotonic() - self._tried_at >= RECONNECT_EVERY:
            self._tried_at = time.monotonic()
            self._connection = connect("events", application_name="balados-listener")
            self._connection.execute(f"LISTEN {NOTIFICATION_CHANNEL}")
        return self._connection
