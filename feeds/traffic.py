"""Limits requests per host within one pump, which alone serves its hosts.

Pure, except that the caller passes the time in (seconds of a monotonic clock).
"""

from collections import deque
from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Final

from feeds.claims import Claimed
from feeds.decide import Host

# seconds between two requests on one connection
PACE: Final = 0.1
# When so many feeds of a host wait in memory, no more are claimed: of one that answers, and of one that has
# not answered yet in this run, or not the last time.
MOST_WAITING, MOST_UNPROVEN = 20, 2
# The share of requests in flight that may go to hosts that did not answer the last time, and to hosts that
# have not answered yet in this run, each with one request at a time. Hosts that hang thus leave the rest to
# the other hosts.
SUSPECTS, UNPROVEN, ANYBODY = "suspects", "unproven", "anybody"
SHARES: Final = {SUSPECTS: 0.5, UNPROVEN: 0.8, ANYBODY: 1.0}


class _Lane:
    """The feeds to be fetched from one host."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.waiting: deque[Claimed] = deque()
        self.in_flight: dict[int, str] = {}
        self.is_proven = False
        self.is_queued = False
        self.start_at = 0.0

    @property
    def connections(self) -> int:
        return self.host.connections if self.is_proven else 1

    @property
    def share(self) -> str:
        if self.host.is_suspect:
            return SUSPECTS
        return ANYBODY if self.is_proven else UNPROVEN

    @property
    def is_full(self) -> bool:
        most = MOST_WAITING if self.share == ANYBODY else MOST_UNPROVEN
        return len(self.waiting) >= most

    @property
    def is_ready(self) -> bool:
        return bool(self.waiting) and not self.is_queued and len(self.in_flight) < self.connections


class Traffic:
    """The feeds that are claimed but not fetched yet, by host. ``concurrency``: the most in flight."""

    def __init__(self, concurrency: int, pace: float = PACE) -> None:
        self._lanes: dict[int, _Lane] = {}
        self._ready: list[tuple[float, int]] = []
        self._held: dict[str, deque[int]] = {share: deque() for share in SHARES}
        self._taken = dict.fromkeys(SHARES, 0)
        self._limits = {share: max(1, int(part * concurrency)) for share, part in SHARES.items()}
        self._pace = pace
        self.waiting = 0
        self.in_flight = 0

    @property
    def startable(self) -> int:
        """How many hosts have a feed that may be fetched at once, or after their pace. Feeds that wait behind
        a slow fetch of their own host do not count: meanwhile, other hosts may be contacted."""
        return len(self._ready)

    def add(self, feed: Claimed) -> None:
        """Queue a feed to be fetched when its turn comes."""
        lane = self._lanes.setdefault(feed.host.id, _Lane(feed.host))
        if not lane.in_flight:
            lane.host = feed.host  # the latest state of its row
        self.waiting += 1
        lane.waiting.append(feed)
        self._queue(lane)

    def next(self, now: float) -> Claimed | None:
        """Return a feed that may be fetched now; None where every host is at its limit."""
        while self._ready and self._ready[0][0] <= now:
            lane = self._lanes[heappop(self._ready)[1]]
            lane.is_queued = False
            if not lane.is_ready:
                continue
            share = lane.share
            if self._taken[share] >= self._limits[share]:
                lane.is_queued = True
                self._held[share].append(lane.host.id)
                continue
            return self._start(lane, share, now)
        return None

    def done(self, feed: Claimed) -> None:
        """Record that a fetch has ended."""
        lane = self._lanes[feed.host.id]
        share = lane.in_flight.pop(feed.id)
        self._taken[share] -= 1
        self.in_flight -= 1
        self._queue(lane)
        for held in self._held.values():
            if held:
                other = self._lanes[held.popleft()]
                other.is_queued = False
                self._queue(other)

    def note(self, host: Host, now_paused: bool) -> list[Claimed]:
        """Update a host after an answer or a change of its row; if it is paused, return its waiting feeds."""
        lane = self._lanes[host.id]
        lane.host = host
        lane.is_proven = not host.is_suspect
        if not now_paused:
            self._queue(lane)
            return []
        return list(self._pop_all(lane))

    def host(self, feed: Claimed) -> Host:
        """Return the latest known state of a feed's host."""
        return self._lanes[feed.host.id].host

    def full(self) -> list[int]:
        """Return the hosts for which no more feeds should be claimed now."""
        return [host_id for host_id, lane in self._lanes.items() if lane.is_full]

    def drain(self) -> Iterator[Claimed]:
        """Remove and yield all waiting feeds."""
        for lane in self._lanes.values():
            yield from self._pop_all(lane)

    def _pop_all(self, lane: _Lane) -> Iterator[Claimed]:
        while lane.waiting:
            yield self._pop(lane)

    def _pop(self, lane: _Lane) -> Claimed:
        feed = lane.waiting.popleft()
        self.waiting -= 1
        return feed

    def _start(self, lane: _Lane, share: str, now: float) -> Claimed:
        feed = self._pop(lane)
        lane.in_flight[feed.id] = share
        self._taken[share] += 1
        self.in_flight += 1
        lane.start_at = now + self._pace / lane.connections
        self._queue(lane)
        return feed

    def _queue(self, lane: _Lane) -> None:
        if lane.is_ready:
            lane.is_queued = True
            heappush(self._ready, (lane.start_at, lane.host.id))
