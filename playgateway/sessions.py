"""Extends listening sessions, all of a second together.

A player sends a request each time that it seeks or continues. Asking Redis during each would cost as much as
finding the episode, and no answer depends on it: such a request begins no session, it only extends one. A
process that stops sends what it has gathered. One that is killed loses what it gathered in its last second:
a session may then end as if these requests had not been sent.
"""

from contextlib import suppress
from threading import Lock, Timer

from playgateway import window
from playgateway.window import Session

# seconds between two messages, and the sessions of one script: Redis does nothing else meanwhile
EVERY, AT_ONCE = 1.0, 1_000


def extend(session: Session) -> None:
    """Extend a session within a second, if it has begun."""
    global _timer
    with _lock:
        _gathered.add(session)
        if _timer is not None:
            return
        timer = Timer(EVERY, send)
        timer.daemon = False  # a process that stops waits for it
        with suppress(RuntimeError):  # no thread can be started now: the next request tries again
            timer.start()
            _timer = timer


def send() -> None:
    """Extend now what has been gathered. While Redis is unavailable, it is forgotten."""
    global _gathered, _timer
    with _lock:
        if _timer is not None:
            _timer.cancel()
        taken, _gathered, _timer = list(_gathered), set(), None
    with suppress(window.Unknown):
        for first in range(0, len(taken), AT_ONCE):
            window.extend(taken[first : first + AT_ONCE])


_lock = Lock()
_gathered: set[Session] = set()
_timer: Timer | None = None
