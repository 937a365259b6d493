"""An hour of 100,000 feeds in six minutes: two pumps in one process, as in the worker of ``make run``.

One feed in ten has something new, and one in fifty is on a server that never answers. It measures how long
feeds that are due wait. It takes seven minutes: one to make the feeds and half of one for the last fetches.
"""

import threading
import time
from ipaddress import ip_network
from typing import Final, NamedTuple

from django.conf import settings
from django.db import connections
from django.utils import timezone

from benchmarks import origin
from benchmarks.refreshing import empty, vacuum
from benchmarks.report import Goal, Section, number, quantile
from benchmarks.scale import Scale
from eventstore.domain.identifiers import feed_of_url
from feeds.pump import CLAIMS_FOR, Pump
from feeds.store import ensure, execute

SPEED: Final = 10
HOSTS: Final = 2_000
NEW, HANGING = 10, 50  # one feed in so many is new, and one in so many hangs
PUMPS: Final = 2
# seconds from one run of a pump to the next: half of the time between two that beat sends
BEAT: Final = 5.0
# Feeds of paused hosts are left out: they wait on purpose. A host that hangs is paused after its fifth
# failure, and until then its other feeds wait for it.
WAITING = """SELECT extract(epoch FROM now() - min(next_at)),
       extract(epoch FROM now() - min(next_at) FILTER (WHERE url NOT LIKE '%%/hang/%%')), count(*)
  FROM system.feed_schedule JOIN system.feed_hosts hosts ON hosts.id = host_id
  JOIN system.feeds ON feeds.id = feed_id
 WHERE next_at <= now() AND coalesce(paused_until, '-infinity') <= now()"""
PUT_OFF = (
    """UPDATE system.feed_schedule SET next_at = now() + (feed_id %% %s) * interval '1 second' * %s / %s"""
)
ENDED = """SELECT count(*) FILTER (WHERE ok_at IS NOT NULL), count(*) FILTER (WHERE error <> '')
  FROM system.feed_schedule"""


class Sample(NamedTuple):
    """Seconds for which the oldest feed has been due, also of those whose servers answer; how many are."""

    overdue_s: float
    answering_s: float
    due: int


def run(scale: Scale) -> Section:
    feeds, seconds = (100_000, 3_600 / SPEED) if scale.seconds > 0.5 else (60, 3.0)
    section = Section(f"An hour of {feeds:,} feeds, {SPEED} times as fast", ["", "measured"])
    settings.FEED_ALLOW_NETWORKS = [ip_network("127.0.0.0/8")]
    with origin.served() as port:
        settings.FEED_PORTS = [port]
        fill(feeds, seconds, port)
        busy = time.process_time()
        samples, fetches = refresh_for(seconds)
        busy = time.process_time() - busy
    good, failed = execute(ENDED).fetchall()[0]
    waits, answering = ([getattr(each, name) for each in samples] for name in ("overdue_s", "answering_s"))
    section.rows += [
        ["fetches", number(fetches)],
        ["feeds that were read, or are as they were", number(good)],
        ["feeds whose last fetch failed", number(failed)],
        ["longest wait of a feed that is due, s: median", number(quantile(waits, 0.5))],
        ["longest wait of a feed that is due, s: at most", number(max(waits))],
        ["the same, where the server answers, s: median", number(quantile(answering, 0.5))],
        ["the same, where the server answers, s: at most", number(max(answering))],
        ["feeds that are due at the end", number(samples[-1].due)],
        ["processor time of the pumps, share of one processor", number(busy / seconds)],
    ]
    goal = "longest wait of a feed that is due"
    section.goals.append(Goal(goal, max(waits), 120.0, at_most=True, unit=" s"))
    section.notes.append(
        f"{HOSTS:,} hosts; one feed in {NEW} is read for the first time, one in {HANGING} hangs until it is"
        f" given up after 20 s, the others answer 304. {PUMPS} pumps in one process."
    )
    empty()
    return section


def fill(feeds: int, seconds: float, port: int) -> None:
    """Create feeds that become due one after the other. Those that do not change count as read before."""
    empty()
    hosts = [f"127.{1 + place // 250}.{1 + place % 250}.1" for place in range(HOSTS)]
    urls = []
    for place in range(feeds):
        kind = "hang" if place % HANGING == 0 else "new" if place % NEW == 1 else "same"
        # servers that hang serve no other feeds
        part = hosts[: HOSTS // HANGING] if kind == "hang" else hosts[HOSTS // HANGING :]
        urls.append(f"http://{part[place // 7 % len(part)]}:{port}/{kind}/{place}")
    for start in range(0, feeds, 5_000):
        ensure([feed_of_url(url) for url in urls[start : start + 5_000]], timezone.now(), asked=True)
    execute(PUT_OFF, [feeds, seconds, feeds])
    execute(
        """UPDATE system.feed_schedule SET etag = '"same"', validators_url = url, ok_at = now()
             FROM system.feeds WHERE id = feed_id AND url LIKE '%%/same/%%'"""
    )
    execute("UPDATE system.feeds SET reader_version = 1, state = 'active' WHERE url LIKE '%%/same/%%'")
    vacuum()


def refresh_for(seconds: float) -> tuple[list[Sample], int]:
    """Run the pumps; returns a sample of the waiting feeds for every second, and the number of fetches that
    ended."""
    until = time.monotonic() + seconds
    ended: list[int] = []

    def pump(place: int) -> None:
        while (left := until - time.monotonic()) > 0:
            ended.append(Pump(place, PUMPS, claims_for=min(CLAIMS_FOR, left)).run())
            time.sleep(min(BEAT, seconds))
        connections.close_all()

    threads = [threading.Thread(target=pump, args=[place]) for place in range(PUMPS)]
    for thread in threads:
        thread.start()
    samples = []
    while time.monotonic() < until:
        time.sleep(1.0)
        overdue, answering, due = execute(WAITING).fetchall()[0]
        samples.append(Sample(float(overdue or 0), float(answering or 0), due))
    for thread in threads:
        thread.join()
    return samples, sum(ended)
