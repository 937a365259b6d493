"""What one connection, one listener and one address may use of a process."""

from collections import Counter
from typing import Final

from msgspec import Struct


class Limits(Struct, frozen=True):
    """Limits, in seconds, bytes and numbers.

    ``at_once`` messages may come in a burst, and ``per_second`` after that. ``page``: events read at once for
    a connection that has fallen behind. ``recent``: pushes of a listener that are kept for connections that
    nearly keep up, at most ``recent_bytes`` of them, because an entry is as long as its playlist.
    """

    authenticate_within: float = 10.0
    send_within: float = 30.0
    ping_every: float = 20.0
    check_every: float = 2.0
    close_within: float = 2.0
    largest_message: int = 64 * 1024
    at_once: int = 200
    per_second: float = 20.0
    page: int = 500
    recent: int = 64
    recent_bytes: int = 1024 * 1024
    connections: int = 2_000
    per_user: int = 20
    unauthenticated_per_address: int = 100


# seconds for the HTTP handshake: a line and up to 128 headers, which ``websockets`` limits to 8 KiB each
LONGEST_HANDSHAKE: Final = 10.0


class Allowance:
    """How many messages a connection may still send: ``at_once``, refilled by ``per_second``."""

    def __init__(self, at_once: int, per_second: float) -> None:
        self._most, self._per_second = float(at_once), per_second
        self._left = self._most
        self._counted_at: float | None = None

    def take(self, now: float) -> bool:
        """Whether another message is allowed at ``now``, in seconds of a monotonic clock."""
        if self._counted_at is not None:
            self._left = min(self._most, self._left + (now - self._counted_at) * self._per_second)
        self._counted_at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class Census:
    """Counts connections: in total, per listener, and per address until they have authenticated."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._users: Counter[object] = Counter()
        self._addresses: Counter[object] = Counter()
        self.connections = 0

    def admits_address(self, address: object) -> bool:
        return self._addresses[address] < self._limits.unauthenticated_per_address

    def is_full(self) -> bool:
        return self.connections >= self._limits.connections

    def enter(self, address: object) -> None:
        self.connections += 1
        self._addresses[address] += 1

    def leave(self) -> None:
        self.connections -= 1

    def forget_address(self, address: object) -> None:
        """Stop counting a connection by its address: it has authenticated or ended."""
        _less(self._addresses, address)

    def admit_user(self, user: object) -> bool:
        """Count one more connection of a listener; False if there are too many already."""
        if self._users[user] >= self._limits.per_user:
            return False
        self._users[user] += 1
        return True

    def forget_user(self, user: object) -> None:
        _less(self._users, user)


def _less(counts: Counter[object], key: object) -> None:
    counts[key] -= 1
    if counts[key] <= 0:
        del counts[key]
