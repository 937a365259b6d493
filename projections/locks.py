"""Who may run a projector: session advisory locks in the projections store, one per projector.

They only keep two machines from doing the same work. What keeps the rows right is the position, which each
transaction checks.
"""

import threading
import time
from collections.abc import Iterable
from zlib import crc32

import psycopg

from projections.connect import Connection, connect, discard

SPACE = 0x62616C70  # "balp": the first key of every lock of ours
# A lock goes with its session, so the server must notice soon when the holder is gone. The kernel closes the
# connection of a killed process; a lost machine and a frozen process send no heartbeat any more, and the
# server ends the session after 3 s. With a second until somebody looks for free locks, one of five is left.
SESSION = {
    "tcp_keepalives_idle": "2",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "2",
    "idle_session_timeout": "3s",
}
# Seconds between heartbeats: four may be late, and the session lives. They come from a thread, for a batch
# may take long (it waits while an account is erased, or a rebuild is swapped in).
BEAT = 0.5
# But a process whose work has not moved for so long hangs, and others shall have its locks.
HUNG = 60.0
TAKE = """
SELECT name FROM unnest(%s::text[], %s::integer[]) AS wanted (name, key)
 WHERE pg_try_advisory_lock(%s, key)
"""


class Locks:
    """The locks that this process holds. They are gone when their connection is."""

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._heart: _Heart | None = None
        self.held: set[str] = set()

    def session(self) -> Connection:
        """The connection that holds them, alive. Its use is a sign that the process does not hang.

        Raises ``psycopg.OperationalError`` when it is gone, and with it every lock.
        """
        if self._connection is None:
            self._connection = connect("projections", "balados-projector-locks", **SESSION)
            self._heart = _Heart(self._connection)
            self._heart.start()
        elif self._heart is not None:
            self._heart.seen_at = time.monotonic()
        return self._connection

    def take(self, names: Iterable[str]) -> set[str]:
        """Try to take those that are not held yet; returns the newly held. Raises as ``session`` does."""
        wanted = [name for name in names if name not in self.held]
        # asked for none as well: the answer says that the session lives, and with it the locks
        rows = self.session().execute(TAKE, [wanted, [_key(name) for name in wanted], SPACE])
        taken = {str(name) for (name,) in rows}
        self.held |= taken
        return taken

    def release(self, name: str) -> None:
        if self._connection is not None and name in self.held:
            self.held.discard(name)
            unlock(self._connection, name)

    def close(self) -> None:
        """Let everything go."""
        self.held.clear()
        if self._heart is not None:
            self._heart.stop()
        self._heart = None
        discard(self._connection)
        self._connection = None


class _Heart(threading.Thread):
    """Keeps a session alive, as long as the process does not hang."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self.seen_at = time.monotonic()
        self._connection = connection
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.wait(BEAT) and time.monotonic() - self.seen_at < HUNG:
            try:
                self._connection.execute("SELECT 1")
            except psycopg.Error:
                return  # whoever uses the session next, learns it

    def stop(self) -> None:
        self._stopped.set()
        # not for ever: a server that went away without a word is noticed after 10 s
        self.join(1.0)


def try_lock(connection: Connection, name: str) -> bool:
    """Whether the lock could be had; it lasts as long as the connection."""
    row = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", [SPACE, _key(name)]).fetchone()
    return bool(row and row[0])


def unlock(connection: Connection, name: str) -> None:
    """Let go of one that is held."""
    connection.execute("SELECT pg_advisory_unlock(%s, %s)", [SPACE, _key(name)])


def _key(name: str) -> int:
    # a signed 32-bit integer, as PostgreSQL's second key is
    return crc32(name.encode()) - 2**31
