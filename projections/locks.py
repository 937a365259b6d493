"""Who may run a projector: session advisory locks in the projections store, one per projector.

They only keep two machines from doing the same work. What keeps the rows right is the position, which each
transaction checks.
"""

from collections.abc import Iterable
from zlib import crc32

from projections.connect import Connection, connect, discard

SPACE = 0x62616C70  # "balp": the first key of every lock of ours
# A lock goes with its session, so the server must notice soon when the holder is gone: a lost machine by
# keepalives (4 s), a hung or frozen process by its missing heartbeat.
SESSION = {
    "tcp_keepalives_idle": "2",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "2",
    "idle_session_timeout": "6s",
}


class Locks:
    """The locks that this process holds. They are gone when their connection is."""

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self.held: set[str] = set()

    def take(self, names: Iterable[str]) -> set[str]:
        """Try to take those that are not held yet; returns the newly held. Also the heartbeat.

        Raises ``psycopg.OperationalError`` when the connection is gone, and with it every lock.
        """
        connection = self._session()
        connection.execute("SELECT 1")
        taken = {name for name in names if name not in self.held and try_lock(connection, name)}
        self.held |= taken
        return taken

    def release(self, name: str) -> None:
        if self._connection is not None and name in self.held:
            self.held.discard(name)
            self._connection.execute("SELECT pg_advisory_unlock(%s, %s)", [SPACE, _key(name)])

    def close(self) -> None:
        """Let everything go."""
        self.held.clear()
        discard(self._connection)
        self._connection = None

    def _session(self) -> Connection:
        if self._connection is None:
            self._connection = connect("projections", "balados-projector-locks", **SESSION)
        return self._connection


def try_lock(connection: Connection, name: str) -> bool:
    """Whether the lock could be had; it lasts as long as the connection."""
    row = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", [SPACE, _key(name)]).fetchone()
    return bool(row and row[0])


def _key(name: str) -> int:
    # a signed 32-bit integer, as PostgreSQL's second key is
    return crc32(name.encode()) - 2**31
