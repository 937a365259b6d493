"""Fetch due feeds: claim them, respect the limits of hosts, read and store documents, and record the results.

Each run has two threads. One runs libcurl's loop, claims feeds and records results; the other reads and
stores, so that a document of 22 MB (0.4 s) delays no other fetch. A killed run leaves only leases behind.
"""

import logging
import os
import random
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from queue import SimpleQueue
from typing import Final, Protocol

from django.db import connections
from django.utils import timezone

from eventstore import counters
from eventstore.failpoints import failpoint
from feeds.claims import Claimed, claim_due, claim_one, finish, is_due, note_answer, release, request_of
from feeds.decide import Schedule, schedule_after
from feeds.fetch import Outcome, Request, fetch
from feeds.read import READER_VERSION
from feeds.refresh import CODES, Refreshed, refresh
from feeds.traffic import PACE, Traffic
from projections.connect import connect
from projections.locks import try_lock

logger = logging.getLogger(__name__)

# A request to a host that hangs costs only a socket: with this many, the others need not wait for them.
IN_FLIGHT: Final = 400
CLAIMED_AT_ONCE: Final = 200
MOST_WAITING: Final = 2_000
FINISHED_AT_ONCE: Final = 100
# Seconds for which feeds are claimed. After that the last fetches end, which takes 20 s where servers hang:
# runs of five minutes spend a fifteenth of their time on that, runs of one minute a third.
CLAIMS_FOR: Final = 300.0
# seconds between two looks for due feeds, and between two writes
LOOK_EVERY: Final = 1.0
WRITE_EVERY: Final = 1.0
# where a pump and somebody else want one processor, the pump gets a tenth of it
NICE: Final = 10
# limits on the bodies that wait to be read
MOST_BODIES: Final = 32
MOST_BYTES: Final = 128 * 1024 * 1024


class Fetching(Protocol):
    def __call__(self, requests: Iterable[Request | None], *, concurrency: int) -> Iterator[Outcome]: ...


def run(number: int, pumps: int, *, stop: Callable[[], bool] = lambda: False) -> int | None:
    """Fetch what is due for pump ``number`` of ``pumps``, for minutes; returns how many fetches ended.

    Returns None at once where nothing is due, or another process is running this pump. ``stop`` is polled;
    fetches under way are then abandoned, and become due again. Raises the store's error if it is unavailable.
    """
    # a thread of its own: one without privileges can lower its priority, but not raise it again
    with ThreadPoolExecutor(1, f"feeds-{number}", _give_way) as thread:
        return thread.submit(_run, number, pumps, stop).result()


def _give_way() -> None:
    """Let this thread, and those that it starts, have less of a processor that others want too.

    Nobody waits for a pump, but its machine answers requests, and its process may run tasks for people. Only
    on Linux do threads have priorities of their own.
    """
    if sys.platform == "linux":
        os.nice(NICE)


def _run(number: int, pumps: int, stop: Callable[[], bool]) -> int | None:
    try:
        if not is_due(timezone.now(), number, pumps):
            return None
        with connect("system", application_name="balados-feeds") as connection:
            if not try_lock(connection, f"feeds pump {number} of {pumps}"):
                return None
            return Pump(number, pumps, stop=stop).run()
    finally:
        connections.close_all()


def fetch_now(
    feed_id: int,
    *,
    at_once: bool = False,
    forced: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> Schedule | None:
    """Fetch one feed for a person who waits for it; returns its new schedule.

    None where its host is paused, or where it was fetched in the last 5 minutes and ``at_once`` is not set.
    ``forced``: fetch it even then, and read its document again even if it is unchanged. Also None where the
    fetch was abandoned because of ``stop``: the feed is due then.
    """
    feed = claim_one(feed_id, timezone.now(), at_once=at_once or forced)
    if feed is None:
        return None
    try:
        outcome = next(fetch(_alone(request_of(feed, READER_VERSION, forced=forced), stop)))
    except Stopped:
        release([feed])
        return None
    now = timezone.now()
    refreshed = refresh(feed, outcome, now, forced=forced)
    host = note_answer(feed.host, CODES.get(outcome.code, outcome.code), outcome.retry_after_s, now)
    new = schedule_after(feed.schedule, refreshed.answer, host, now, random.random())  # noqa: S311
    finish([(feed, new)])
    _count(outcome, refreshed)
    return new


class Stopped(Exception):
    """The worker was asked to stop."""


def _alone(request: Request, stop: Callable[[], bool]) -> Iterator[Request | None]:
    """Yield one request, and None while it runs. Raises ``Stopped``."""
    yield request
    while not stop():
        yield None
    raise Stopped


class Pump:
    """One run of a pump. Clock, client and pace are parameters for tests and measurements."""

    def __init__(
        self,
        number: int,
        pumps: int,
        *,
        stop: Callable[[], bool] = lambda: False,
        clock: Callable[[], datetime] = timezone.now,
        fetching: Fetching = fetch,
        concurrency: int = IN_FLIGHT,
        pace: float = PACE,
        claims_for: float = CLAIMS_FOR,
    ) -> None:
        self._number, self._pumps = number, pumps
        self._stop, self._clock, self._fetching = stop, clock, fetching
        self._traffic = Traffic(concurrency, pace)
        self._concurrency = concurrency
        self._claims_until = time.monotonic() + claims_for
        self._look_at = self._write_at = 0.0
        self._is_exhausted = False
        self._to_read: SimpleQueue[tuple[Claimed, Outcome] | None] = SimpleQueue()
        self._read: deque[tuple[Claimed, Outcome, Refreshed]] = deque()
        self._bodies = self._bytes = 0
        self._failure: BaseException | None = None
        self._finished: list[tuple[Claimed, Schedule]] = []
        self._claimed: dict[int, Claimed] = {}
        self.fetches = 0

    def run(self) -> int:
        """Run until nothing is due or the time is up; returns how many fetches ended."""
        reader = threading.Thread(target=self._read_and_store, name=f"feeds-{self._number}")
        reader.start()
        try:
            for outcome in self._fetching(self._requests(), concurrency=self._concurrency):
                self._take(outcome)
        except Stopped:
            logger.info("Feeds: told to stop, %s fetches are given up", len(self._claimed))
        finally:
            self._to_read.put(None)
            reader.join()
        self._conclude_what_is_read()
        self._write()
        release(self._claimed.values())
        return self.fetches

    def _requests(self) -> Iterator[Request | None]:
        """Yield what to fetch next; None where nothing may be fetched just now."""
        while True:
            if self._stop():
                raise Stopped
            now = time.monotonic()
            self._conclude_what_is_read()
            if len(self._finished) >= FINISHED_AT_ONCE or now >= self._write_at:
                self._write()
            self._claim(now)
            if self._is_exhausted and self._is_idle():
                return
            feed = None if self._is_congested() else self._traffic.next(now)
            yield None if feed is None else request_of(feed, READER_VERSION)

    def _claim(self, now: float) -> None:
        """Claim enough feeds to keep every connection busy; when the time is up, give the rest back."""
        if now >= self._claims_until:
            self._is_exhausted = True
            if self._traffic.waiting:
                self._give_back(self._traffic.drain())
        elif self._may_claim(now):
            found = claim_due(
                self._clock(), self._number, self._pumps, most=CLAIMED_AT_ONCE, full=self._traffic.full()
            )
            counters.add((("feeds_claimed",), len(found)))
            for feed in found:
                if feed.id not in self._claimed:
                    self._traffic.add(feed)
                # one that has waited for longer than a claim lasts is claimed once more
                self._claimed[feed.id] = feed
            self._is_exhausted = not found
            self._look_at = now if len(found) == CLAIMED_AT_ONCE else now + LOOK_EVERY

    def _may_claim(self, now: float) -> bool:
        is_short = self._traffic.startable < CLAIMED_AT_ONCE // 2 and self._traffic.waiting < MOST_WAITING
        return is_short and (now >= self._look_at or self._is_idle())

    def _is_idle(self) -> bool:
        return not (self._traffic.waiting or self._traffic.in_flight or self._bodies)

    def _is_congested(self) -> bool:
        """Whether reading has fallen behind, so that no new fetch may start."""
        return self._bodies >= MOST_BODIES or self._bytes >= MOST_BYTES

    def _take(self, outcome: Outcome) -> None:
        """Handle an outcome; a document is handed to the other thread."""
        feed: Claimed = outcome.request.context
        self._traffic.done(feed)
        self.fetches += 1
        failpoint("feed_fetched")
        now = self._clock()
        code = CODES.get(outcome.code, outcome.code)
        host = note_answer(self._traffic.host(feed), code, outcome.retry_after_s, now)
        # the other feeds of a paused host were postponed in the database already
        for other in self._traffic.note(host, host.is_paused(now)):
            del self._claimed[other.id]
        if outcome.code == "ok":
            self._bodies += 1
            self._bytes += len(outcome.body)
            self._to_read.put((feed, outcome))
        else:
            self._conclude(feed, outcome, refresh(feed, outcome, now))

    def _read_and_store(self) -> None:
        """Run the thread that reads and stores."""
        try:
            while (work := self._to_read.get()) is not None:
                feed, outcome = work
                self._read.append((feed, outcome, refresh(feed, outcome, self._clock())))
                failpoint("feed_stored")
        except BaseException as failure:
            self._failure = failure
        finally:
            connections.close_all()

    def _conclude_what_is_read(self) -> None:
        """Conclude fetches whose documents were stored. Raises the error that ended the other thread."""
        if self._failure is not None:
            raise self._failure
        while self._read:
            feed, outcome, refreshed = self._read.popleft()
            self._bodies -= 1
            self._bytes -= len(outcome.body)
            self._conclude(feed, outcome, refreshed)

    def _conclude(self, feed: Claimed, outcome: Outcome, refreshed: Refreshed) -> None:
        host = self._traffic.host(feed)
        chance = random.random()  # noqa: S311
        new = schedule_after(feed.schedule, refreshed.answer, host, self._clock(), chance)
        self._finished.append((feed, new))
        _count(outcome, refreshed)

    def _write(self) -> None:
        finish(self._finished)
        for feed, _ in self._finished:
            self._claimed.pop(feed.id, None)
        self._finished.clear()
        self._write_at = time.monotonic() + WRITE_EVERY

    def _give_back(self, feeds: Iterable[Claimed]) -> None:
        release([self._claimed.pop(feed.id) for feed in feeds])


def _count(outcome: Outcome, refreshed: Refreshed) -> None:
    code = refreshed.answer.code
    if code == "ok" and refreshed.document is None:
        code = "unchanged"
    counters.add(
        (("feeds_fetched", code), 1),
        (("feeds_seconds", code), outcome.seconds),
        (("feeds_bytes",), outcome.wire_bytes),
    )
