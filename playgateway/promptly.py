"""Records plays while their listener waits a moment, and no longer; behind his back where that is slow.

A request waits for a thread, so that the play is there when the listener's apps ask for it. Past the budget,
and while the event store is away, the redirect goes out and the queue has the play. Never fails.
"""

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from threading import BoundedSemaphore
from typing import Final

from django.db import connections

from playgateway import recording, tasks
from playgateway.recording import Play

logger = logging.getLogger(__name__)

# Seconds that a listener waits; an append takes 0.005.
BUDGET: Final = 0.15
# Plays that are recorded, or wait for it, at one time; and the threads that do so, each with a connection.
MOST_AT_ONCE, THREADS = 32, 2
# Seconds for which an event store that failed is left to the queue.
PAUSE: Final = 5.0


def record(play: Play) -> None:
    """Record it now, or have it recorded. Where there is no Redis either, it is lost, and counted."""
    if time.monotonic() < _paused_until or not _room.acquire(blocking=False):
        _enqueue(play)
        return
    try:
        _threads.submit(_record_and_release, play).result(BUDGET)
    except TookTooLong:
        # the thread may come to it all the same: the command id lets it be recorded once
        _enqueue(play)
    except Exception as failure:
        pause(PAUSE)
        logger.warning("Plays go to the queue for %s s: %s", PAUSE, type(failure).__name__)
        _enqueue(play)


def pause(seconds: float) -> None:
    """Leave the event store to the queue for so long."""
    global _paused_until
    _paused_until = time.monotonic() + seconds


_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="plays")
_room = BoundedSemaphore(MOST_AT_ONCE)
_paused_until = 0.0


def _record_and_release(play: Play) -> None:
    try:
        recording.record(play)
    finally:
        _room.release()
        for alias in ("events", "system"):
            connections[alias].close()  # back to its pool


def _enqueue(play: Play) -> None:
    try:
        tasks.record_later(play)
        recording.count("queued")
    except Exception as failure:
        recording.count("lost")
        logger.warning("A play is lost: %s", type(failure).__name__)
