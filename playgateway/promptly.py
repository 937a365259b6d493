"""Records a play while its listener waits, but only for a moment; after that in the background.

The request waits for a thread, so that the play is already recorded when the listener's apps ask for it. Past
the time budget, and while the event store is unavailable, the redirect is sent and the play goes to the
queue. Never raises an exception.
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

# Seconds that a listener waits; an append takes 0.005 s.
BUDGET: Final = 0.15
# Plays that are being recorded or wait for it at one time, and the threads that record them,
# each with its own connection.
MOST_AT_ONCE, THREADS = 32, 2
# Seconds for which plays go straight to the queue after the event store failed.
PAUSE: Final = 5.0


def record(play: Play) -> None:
    """Record the play now, or enqueue it. If Redis is unavailable as well, the play
    is lost, and counted as such."""
    if time.monotonic() < _paused_until or not _room.acquire(blocking=False):
        _enqueue(play)
        return
    try:
        _threads.submit(_record_and_release, play).result(BUDGET)
    except TookTooLong:
        # the thread may still record it later: the command id makes sure that it is recorded only once
        _enqueue(play)
    except Exception as failure:
        pause(PAUSE)
        logger.warning("Plays go to the queue for %s s: %s", PAUSE, type(failure).__name__)
        _enqueue(play)


def pause(seconds: float) -> None:
    """Send all plays to the queue for this many seconds."""
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
            connections[alias].close()  # returns it to its pool


def _enqueue(play: Play) -> None:
    try:
        tasks.record_later(play)
        recording.count("queued")
    except Exception as failure:
        recording.count("lost")
        logger.warning("A play is lost: %s", type(failure).__name__)
