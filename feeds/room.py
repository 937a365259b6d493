"""How much memory the bodies of all fetches of this process may take together."""

from itertools import count
from threading import Lock

from eventstore import counters
from feeds.outcomes import MAX_BODY, MIB

ROOM = 128 * MIB


class Room:
    """So many bytes for all bodies. Whoever came first may always go on, so that somebody always can.

    The others may take what leaves the first enough for a body as it came and as it is decoded; so the sum
    never exceeds ``size``, as long as nobody takes more than twice MAX_BODY.
    """

    def __init__(self, size: int = ROOM) -> None:
        self._size = size
        self._taken: dict[int, int] = {}
        self._sum = 0
        self._lock = Lock()
        self._numbers = count()
        self.most = 0

    def number(self) -> int:
        """A new holder's."""
        return next(self._numbers)

    def take(self, holder: int, size: int) -> bool:
        """Let ``holder`` have ``size`` bytes in all from now on; False where there is no room for more."""
        with self._lock:
            more = size - self._taken.get(holder, 0)
            is_first = holder == next(iter(self._taken), holder)
            if more > 0 and not is_first and self._sum + more > self._for_others:
                return False
            self._taken[holder] = size
            self._sum += more
            self.most = max(self.most, self._sum)
        counters.gauge("feeds_bytes_in_flight", self._sum)
        return True

    def give_back(self, holder: int) -> None:
        if holder not in self._taken:
            return
        with self._lock:
            self._sum -= self._taken.pop(holder)
        counters.gauge("feeds_bytes_in_flight", self._sum)

    @property
    def is_full(self) -> bool:
        """Whether nothing new should be begun."""
        return self._sum >= self._for_others

    @property
    def _for_others(self) -> int:
        return self._size - 2 * MAX_BODY


room = Room()
