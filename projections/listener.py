"""The hint that there are new events: a NOTIFY that writers send after a commit, at most four times a second.

It is only a hint: whoever waits here reads again after ``IDLE`` anyway.
"""

import select
import time

import psycopg

from eventstore.log import NOTIFICATION_CHANNEL
from projections.connect import Connection, connect

# seconds to sleep when no hint comes: a look costs a statement, day and night
IDLE = 0.5
RECONNECT_EVERY = 1.0


class Listener:
    """Listens on a connection of its own. Without one it just sleeps, and tries to connect once a second."""

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._tried_at = -RECONNECT_EVERY

    def wait(self, seconds: float = IDLE) -> bool:
        """Sleep until a hint comes (True; at once if one came meanwhile), or the time is over."""
        until = time.monotonic() + seconds
        try:
            if (connection := self._session()) is not None:
                # all hints that came meanwhile ask for the same look
                return _was_notified(connection) or _is_notified_within(connection, seconds)
        except psycopg.OperationalError:
            self.close()
        time.sleep(max(0.0, until - time.monotonic()))
        return False

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _session(self) -> Connection | None:
        if self._connection is None and time.monotonic() - self._tried_at >= RECONNECT_EVERY:
            self._tried_at = time.monotonic()
            self._connection = connect("events", application_name="balados-listener")
            self._connection.execute(f"LISTEN {NOTIFICATION_CHANNEL}")
        return self._connection


def _was_notified(connection: Connection) -> bool:
    return bool(list(connection.notifies(timeout=0)))


def _is_notified_within(connection: Connection, seconds: float) -> bool:
    """Whether a notification comes within ``seconds``; ``notifies`` with a timeout wakes up ten times a
    second."""
    return bool(select.select([connection.fileno()], [], [], seconds)[0]) and _was_notified(connection)
