"""Limits the memory that the bodies of all fetches of this process may take together."""

from itertools import count
from threading import Lock

from eventstore import counters
from feeds.outcomes import MAX_BODY, MIB

ROOM = 128 * MIB


class Room:
    """Memory shared by all bodies. The earliest holder may always take more, so that one can always proceed.

    The others may take only what leaves the earliest enough for its body both compressed and decompressed.
    The sum thus never exceeds ``size``, as long as no holder takes more than twice MAX_BODY.
    """

    def __init__(self, size: int = ROOM) -> None:
        self._size = size
        self._taken: dict[int, int] = {}
        self._sum = 0
        self._lock = Lock()
        self._numbers = count()
        self.most = 0

    def number(self) -> int:
        """Return the number of a new holder."""
        return next(self._numbers)

    def take(self, holder: int, size: int) -> bool:
        """Set the total of ``holder`` to ``size`` bytes; False where there is not enough room."""
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
        """Whether there is too little room to start another fetch."""
        return self._sum >= self._for_others

    @property
    def _for_others(self) -> int:
        return self._size - 2 * MAX_BODY


room = Room()
