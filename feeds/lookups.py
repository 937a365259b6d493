"""Finding the addresses of hosts, each in a thread of its own.

libcurl looks names up in 20 threads: ten name servers that do not answer would hold up every other host, and
the end of the run too. Daemon threads: nobody waits for a lookup that was given up.
"""

import socket
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from threading import BoundedSemaphore, Thread
from typing import Generic, TypeVar

T = TypeVar("T")
Addresses = tuple[str, ...]

# how long what a name leads to is believed
KEPT_S = 60.0
# Name servers drop questions that come all at once: so many lookups at a time, of those that have just begun.
# What takes longer hangs and counts no more; it ends by itself within half a minute.
MOST_NEW, NEW_S = 32, 0.1
_threads = BoundedSemaphore(512)


class Names(Generic[T]):
    """The names that one run of the client asks for, and who waits for which.

    ``bell`` can be read from when an answer has come.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, Addresses]] = {}
        self._waiting: dict[str, list[T]] = {}
        self._asked: dict[str, float] = {}  # since when
        self._answers: deque[tuple[str, Addresses]] = deque()
        self.bell, self._button = socket.socketpair()
        self.bell.setblocking(False)

    def known(self, host: str, now: float) -> Addresses | None:
        """What ``host`` leads to, where that was found within the last minute; empty: to nothing."""
        until, found = self._known.get(host, (0.0, ()))
        return found if now < until else None

    def ask(self, host: str, waiting: T, now: float) -> None:
        """Look ``host`` up; ``waiting`` comes back from ``answered``."""
        self._waiting.setdefault(host, []).append(waiting)
        self.begin(now)

    def begin(self, now: float) -> bool:
        """Start the lookups that are to be made, as far as there are not too many; whether all are begun."""
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
        """``waiting`` waits no longer; the answer may still be of use to others."""
        self._waiting[host].remove(waiting)
        if not self._waiting[host]:
            del self._waiting[host]

    def answered(self, now: float) -> Iterator[tuple[T, Addresses]]:
        """Who has waited for what has been found since the last call, and what that is."""
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
            with suppress(OSError):  # the run has ended
                self._button.send(b".")
        finally:
            _threads.release()


def resolve(host: str) -> Addresses:
    """The IP addresses of ``host`` in the order in which to try them; none where it has none."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    return tuple(dict.fromkeys(str(address[4][0]) for address in found))
