"""Follows the log in one thread for all connections of a process, and delivers connected listeners' events.

It sleeps while no listener is connected. It delivers events in the order of arrival and leaves none out
(eventstore/follower.py); after a store was unavailable, it continues where it was.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection
from itertools import groupby
from operator import attrgetter
from typing import Final

from django.db import connections

from eventstore.follower import Follower, settled_head
from eventstore.log import RecordedEvent
from projections.failures import is_outage
from projections.listener import Listener

logger = logging.getLogger(__name__)

# Seconds between two polls, for ``AWAKE`` seconds after each event or notification; writers notify at most
# once in 250 ms. After that it waits for a notification, or half a second.
POLL: Final = 0.01
AWAKE: Final = 1.0
SHORTEST_BACKOFF, LONGEST_BACKOFF = 0.1, 2.0

# takes a stream, and the events recorded in it
Deliver = Callable[[int, list[RecordedEvent]], None]


class Following:
    """Follows the log in a thread.

    ``watched``: the streams of connected listeners, to which other threads add while they hold ``adding``.
    ``deliver``: called in this thread.
    """

    def __init__(self, watched: Collection[int], deliver: Deliver) -> None:
        self._watched, self._deliver = watched, deliver
        self.adding = threading.Lock()
        self._stopping, self._wanted, self._follows = (threading.Event() for _ in range(3))
        self._follower: Follower | None = None
        self._thread = threading.Thread(target=self._run, name="following", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Wait until the log is followed: events recorded after that in a watched stream are delivered."""
        while not self._follows.is_set() and not self._stopping.is_set():
            self._wanted.set()
            self._follows.wait(AWAKE)

    def stop(self) -> None:
        self._stopping.set()
        self._wanted.set()
        self._thread.join()

    def _run(self) -> None:
        listener, backoff = Listener(), SHORTEST_BACKOFF
        while not self._stopping.is_set():
            try:
                self._follow(listener)
                backoff = SHORTEST_BACKOFF
            except Exception as failure:
                if not is_outage(failure):
                    logger.exception("The log cannot be followed")
                elif backoff == SHORTEST_BACKOFF:
                    logger.warning("A store is away, trying again and again: %s", type(failure).__name__)
                connections["events"].close()
                self._stopping.wait(backoff)
                backoff = min(backoff * 2, LONGEST_BACKOFF)
        listener.close()
        connections.close_all()

    def _follow(self, listener: Listener) -> None:
        """Deliver events while any listener is connected."""
        with self.adding:
            if not self._watched:
                # the next listener to connect waits until the log is followed again, and then looks up how
                # far the stream reaches
                self._follower = None
                self._follows.clear()
        if not self._watched:
            listener.close()
            connections.close_all()
            self._wanted.wait()
        self._wanted.clear()
        if self._stopping.is_set():
            return
        if self._follower is None:
            self._follower = Follower(settled_head())
        self._follows.set()
        active_at = time.monotonic()
        while self._watched and not self._stopping.is_set():
            if self._step(self._follower):
                active_at = time.monotonic()
            elif time.monotonic() - active_at < AWAKE:
                time.sleep(POLL)
            elif listener.wait():
                active_at = time.monotonic()

    def _step(self, follower: Follower) -> bool:
        before = follower.position
        rows = [row for row in follower.read() if row.stream in self._watched]
        rows.sort(key=attrgetter("stream"))  # a stable sort: keeps the order within each stream
        for stream, own in groupby(rows, attrgetter("stream")):
            self._deliver(stream, list(own))
        return follower.position > before
