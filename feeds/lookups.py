"""Look up the IP addresses of hosts, each in a thread of its own.

libcurl looks up names in 20 threads: ten name servers that do not answer would delay every other host, and
the end of the run too. The threads here are daemons, so that nothing waits for an abandoned lookup.
"""

import socket
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from threading import BoundedSemaphore, Thread
from typing import Generic, TypeVar

T = TypeVar("T")
Addresses = tuple[str, ...]

# seconds for which a result is cached
KEPT_S = 60.0
# Name servers drop queries that arrive all at once, so only this many lookups may have started within NEW_S
# seconds. Slower lookups are hanging and no longer counted; they end by themselves within half a minute.
MOST_NEW, NEW_S = 32, 0.1
_threads = BoundedSemaphore(512)


class Names(Generic[T]):
    """The host names that one run of the client looks up, and who waits for which.

    ``bell`` becomes readable when an answer has arrived.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, Addresses]] = {}
        self._waiting: dict[str, list[T]] = {}
        self._asked: dict[str, float] = {}  # the time at which each was asked
        self._answers: deque[tuple[str, Addresses]] = deque()
        self.bell, self._button = socket.socketpair()
        self.bell.setblocking(False)

    def known(self, host: str, now: float) -> Addresses | None:
        """Return the addresses of ``host``, empty for none, if found within the last minute; else None."""
        until, found = self._known.get(host, (0.0, ()))
        return found if now < until else None

    def ask(self, host: str, waiting: T, now: float) -> None:
        """Look up ``host``; ``waiting`` is returned by ``answered`` with the result."""
        self._waiting.setdefault(host, []).append(waiting)
        self.begin(now)

    def begin(self, now: float) -> bool:
        """Start pending lookups, as far as the limits allow; returns whether all have been started."""
        to_ask = [host for host in self._waiting if host not in self._asked]
        if not to_ask:
            return True
        new = sum(since > now - NEW_S for since in self._asked.values())
        for host in to_ask[: MOST_NEW - new]:
            if not _threads.acquire(blocking=False):
                return False
            self._asked[host] = now
            Thread(target=self._look_up, args=(host,), name="lookup", daemon=True).start()
        return len(to_ask) <= MOST_NEW - new

    def waiting(self) -> list[tuple[str, T]]:
        return [(host, each) for host, all_of_it in self._waiting.items() for each in all_of_it]

    def give_up(self, host: str, waiting: T) -> None:
        """Remove ``waiting`` from those that wait for ``host``; the answer may still serve others."""
        self._waiting[host].remove(waiting)
        if not self._waiting[host]:
            del self._waiting[host]

    def answered(self, now: float) -> Iterator[tuple[T, Addresses]]:
        """Yield those whose lookups have been answered since the last call, with the addresses found."""
        with suppress(BlockingIOError):
            self.bell.recv(4096)
        while self._answers:
            host, found = self._answers.popleft()
            self._asked.pop(host, None)
            self._known[host] = (now + KEPT_S, found)
            for each in self._waiting.pop(host, []):
                yield each, found

    def close(self) -> None:
        self.bell.close()
        self._button.close()

    def _look_up(self, host: str) -> None:
        try:
            self._answers.append((host, resolve(host)))
            with suppress(OSError):  # fails where the run has ended
                self._button.send(b".")
        finally:
            _threads.release()


def resolve(host: str) -> Addresses:
    """Return the IP addresses of ``host`` in the order in which to try them; empty where it has none."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    return tuple(dict.fromkeys(str(address[4][0]) for address in found))
