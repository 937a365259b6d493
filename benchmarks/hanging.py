"""What servers that hang or dribble cost others: the API, the other queues, the feeds of good servers.

The instance has a web process, a projector and a worker as in the Procfile. Listeners send plays and read
their subscriptions at a steady rate: first while no feed is due, then while good feeds are due, and then
while servers hang and dribble beside these.
"""

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from uuid import uuid4

from django.conf import settings
from django.utils import timezone

from benchmarks import environment, instance, origin, probe
from benchmarks.instance import ROOT, Listener, Web
from benchmarks.podcasts import follow
from benchmarks.refreshing import empty, vacuum
from benchmarks.report import Goal, Section, number, quantile
from benchmarks.scale import Scale
from eventstore.domain.identifiers import feed_of_url
from feeds.store import ensure, execute
from jobs.feeds import pump

# number of servers of each kind, with one feed each; good servers have two
HANGING, DRIBBLING, GOOD = 200, 100, 1_000
SENDERS, PACE = 4, 0.1  # number of senders, and seconds between two requests of one sender
TICK = 0.5  # seconds between two tasks of a queue
PUMP_EVERY = 5.0  # seconds; half of the time between two pumps that beat sends
GROWTH = 1.1
# seconds that a good feed may be late: a pump is started every ten seconds
LATE = 15.0
NONE, GOOD_ALONE, BESIDE = "no feed is due", "the good ones are", "and 300 servers hang or dribble"
GOOD_FEEDS = "SELECT count(*) FROM system.feeds WHERE url LIKE '%%/same/%%'"
QUIET = "UPDATE system.feed_schedule SET next_at = now() + interval '1 day'"
FORGIVEN = "UPDATE system.feed_hosts SET failures = 0, pauses = 0, paused_until = NULL, failed_at = NULL"
GOOD_DUE = """UPDATE system.feed_schedule SET fetched_at = NULL,
       next_at = %s + place * interval '1 second' * %s
  FROM (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM system.feeds
         WHERE url LIKE '%%/same/%%') AS good
 WHERE feed_id = good.id"""
BAD_DUE = """UPDATE system.feed_schedule SET next_at = %s, failures = 0
  FROM system.feeds WHERE feed_id = id AND url NOT LIKE '%%/same/%%'"""
LATENESS = """SELECT extract(epoch FROM fetched_at - %s) - place * %s
  FROM (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM system.feeds
         WHERE url LIKE '%%/same/%%') AS good JOIN system.feed_schedule ON feed_id = good.id"""


@dataclass
class Phase:
    """Seconds that requests, tasks of other queues and good feeds waited; ``missing`` counts the feeds not
    fetched."""

    requests: list[float] = field(default_factory=list)
    tasks: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    missing: int = 0

    def row(self, name: str) -> list[str]:
        figures = [quantile(values, share) * 1e3 for values, share in self._figures()]
        late = [quantile(self.late, share) for share in (0.5, 1.0)] if self.late else [None, None]
        return [name, *map(number, (*figures, *late)), number(self.missing)]

    def _figures(self) -> Iterator[tuple[list[float], float]]:
        for values in (self.requests, self.tasks):
            yield from ((values, 0.5), (values, 0.95))


def run(scale: Scale) -> Section:
    columns = ["while", "API p50 ms", "p95", "other queues p50 ms", "p95"]
    section = Section("Servers that hang", [*columns, "good feeds late, s: median", "at most", "not fetched"])
    environment.empty()
    who = instance.listeners(16)
    follow([each.user_id for each in who], 30)
    settings.FEED_ALLOW_NETWORKS = [ip_network("127.0.0.0/8")]
    part = 1 if scale.seconds > 0.5 else 20
    found = {name: Phase() for name in (NONE, GOOD_ALONE, BESIDE)}
    with origin.served() as port:
        fill(port, part)
        environment.settle()
        environment.let_go()
        with instance.projector(), instance.web() as server, worker(port):
            seconds = max(scale.delay_seconds, 2.0)
            # warm-up: a server that has run for a while has connections and prepared statements
            measure(server, who, NONE, seconds / 4)
            for name in [*found, *found]:
                merge(found[name], measure(server, who, name, seconds))
    section.rows = [phase.row(name) for name, phase in found.items()]
    section.goals = goals(found)
    section.notes.append(
        f"{SENDERS / PACE:.0f} requests and {len(probe.QUEUES) / TICK:.0f} tasks a second;"
        f" {2 * GOOD // part:,} good feeds due one after the other, {HANGING // part} servers that never"
        f" answer and {DRIBBLING // part} that send a byte a second, all due at the beginning. All share the"
        " machine. A pump is sent every five seconds, which is twice as often as beat does it."
    )
    empty()
    return section


def goals(found: dict[str, Phase]) -> list[Goal]:
    quiet, alone, beside = (found[name] for name in (NONE, GOOD_ALONE, BESIDE))

    def growth(before: list[float], after: list[float]) -> float:
        return quantile(after, 0.95) / quantile(before, 0.95)

    return [
        Goal("API's p95, against no feeds", growth(quiet.requests, beside.requests), GROWTH, at_most=True),
        Goal("API's p95, against good ones", growth(alone.requests, beside.requests), GROWTH, at_most=True),
        Goal("other queues' p95, against no feeds", growth(quiet.tasks, beside.tasks), GROWTH, at_most=True),
        Goal("a good feed is late at most", max(beside.late, default=None), LATE, at_most=True, unit=" s"),
        Goal("good feeds not fetched", alone.missing + beside.missing, 0, at_most=True),
    ]


def merge(into: Phase, phase: Phase) -> None:
    into.requests += phase.requests
    into.tasks += phase.tasks
    into.late += phase.late
    into.missing += phase.missing


def fill(port: int, part: int) -> None:
    """Make feeds known to the instance; the good ones have been read before."""
    empty()
    kinds = [("hang", 1, HANGING // part), ("drip", 2, DRIBBLING // part), ("same", 3, GOOD // part)]
    urls = [
        f"http://127.{kind_number}.{1 + host // 250}.{1 + host % 250}:{port}/{kind}/{host}-{place}"
        for kind, kind_number, hosts in kinds
        for host in range(hosts)
        for place in range(2 if kind == "same" else 1)
    ]
    ensure([feed_of_url(url) for url in urls], timezone.now(), asked=True)
    execute(QUIET)
    execute("""UPDATE system.feed_schedule SET etag = '"same"', validators_url = url, ok_at = now()
                 FROM system.feeds WHERE id = feed_id AND url LIKE '%%/same/%%'""")
    execute("UPDATE system.feeds SET reader_version = 1, state = 'active' WHERE url LIKE '%%/same/%%'")
    vacuum()


@contextmanager
def worker(port: int) -> Iterator[None]:
    """Run the worker as in the Procfile; it may fetch from the origin."""
    queues = ["--pool", "threads", "--concurrency", "12", "--queues", "default,plays,feeds,feeds_now,covers"]
    command = [sys.executable, "-m", "celery", "--quiet", "--app", "balados", "worker", *queues]
    command += [
        "--without-gossip",
        "--without-mingle",
        "--loglevel",
        "warning",
        "--include",
        "benchmarks.probe",
    ]
    own = {"FEED_ALLOW_NETWORKS": "127.0.0.0/8", "FEED_PORTS": str(port)}
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, **own}) as process:
        try:
            probe.send()
            until = time.monotonic() + instance.PATIENCE
            answered = 0
            while answered < len(probe.QUEUES):
                if time.monotonic() > until:
                    raise RuntimeError("the worker does not start")
                time.sleep(0.1)
                answered += len(probe.take())
            yield
        finally:
            process.terminate()


def measure(server: Web, who: list[Listener], name: str, seconds: float) -> Phase:
    """Measure for so many seconds, with those feeds due that ``name`` says."""
    phase, began = Phase(), timezone.now()
    step = seconds / max(1, execute(GOOD_FEEDS).fetchall()[0][0])
    execute(FORGIVEN)
    if name != NONE:
        execute(GOOD_DUE, [began, step])
    if name == BESIDE:
        execute(BAD_DUE, [began])
    vacuum()
    until = time.monotonic() + seconds
    senders = [
        threading.Thread(target=send, args=(server, who[place::SENDERS], until, phase.requests))
        for place in range(SENDERS)
    ]
    for sender in senders:
        sender.start()
    beat(until, min(PUMP_EVERY, seconds / 4))
    for sender in senders:
        sender.join()
    if name != NONE:
        settle(name)
        late = [row[0] for row in execute(LATENESS, [began, step])]
        phase.late = [float(each) for each in late if each is not None]
        phase.missing = len(late) - len(phase.late)
    phase.tasks = probe.take()
    return phase


def beat(until: float, every: float) -> None:
    """Send the pumps as beat does, and tasks to the other queues."""
    pump_at = 0.0
    while (now := time.monotonic()) < until:
        if now >= pump_at:
            pump_at = now + every
            send_pumps()
        probe.send()
        time.sleep(TICK)


def send_pumps() -> None:
    for place in range(settings.FEED_PUMPS):
        pump.apply_async((place,), expires=10)


def settle(name: str) -> None:
    """Wait until every feed was fetched; hanging fetches are given up after 20 s.

    The pumps are sent as before: one ends when nothing is due, and feeds that become due after that need
    another one.
    """
    waiting = "SELECT count(*) FROM system.feed_schedule WHERE next_at < now() + interval '3 minutes'"
    until = time.monotonic() + (30 if name == BESIDE else 10)
    pump_at = 0.0
    while execute(waiting).fetchall()[0][0] and (now := time.monotonic()) < until:
        if now >= pump_at:
            pump_at = now + PUMP_EVERY
            send_pumps()
        time.sleep(TICK)
    execute(QUIET)


def send(server: Web, who: list[Listener], until: float, seconds: list[float]) -> None:
    """Send requests at a steady rate over one connection that is kept open, alternating between plays and
    reads."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    number = 0
    while (began := time.monotonic()) < until:
        listener = who[number % len(who)]
        headers = {"Authorization": f"Bearer {listener.token}", "Content-Type": "application/json"}
        if number % 2:
            connection.request("GET", "/api/v1/subscriptions", headers=headers)
        else:
            play = {
                "rss_source_feed": feed_of_url("https://feeds.example.org/1.xml"),
                "rss_source_item": b64encode(f"{uuid4()},https://audio.example.org/1.mp3".encode()).decode(),
                "position": 60,
                "played": False,
            }
            connection.request("POST", "/api/v1/plays", json.dumps(play), headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"refused: {answer.status} {body[:300]!r}")
        seconds.append(time.monotonic() - began)
        number += 1
        time.sleep(max(0.0, PACE - (time.monotonic() - began)))
    connection.close()
