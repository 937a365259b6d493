"""The cost of a play, depending on how much is known of its listener, and with many listeners in turn."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from http.client import HTTPConnection
from itertools import count
from statistics import median
from typing import NamedTuple

from benchmarks import environment, instance, processor, sample, wrk
from benchmarks.instance import Listener, Web
from benchmarks.report import Goal, Section, number, quantile
from benchmarks.scale import Scale
from benchmarks.wrk import Run
from eventstore import entries, log
from eventstore.domain.topics import STATE_SCHEMA

COPY_TO_ANOTHER = """
INSERT INTO events.snapshots (stream, topic, key, name, state)
SELECT %s, topic, key, name, state FROM events.snapshots WHERE stream = %s"""
LARGEST_PROCESS = 150.0  # MiB
# number of listeners who send plays at once, under load
LISTENERS = 16
# the most that a figure may be, relative to the first: a command costs the same for every listener
SAME = 1.2
PROCESSOR, SLOWEST = 1.2, 20.0  # ms
OF_PROCESSES = ("web", "PostgreSQL", "projector", "Redis")
COLUMNS = ("", "p50 ms", "p99 ms", *(f"{name} ms" for name in OF_PROCESSES), "all ms", "log bytes")

NOTE = (
    "One connection, but for the last line; half of the plays are of new episodes, half of known ones. What"
    " is known was put beside the log as syncs leave it there; every listener's first play is counted."
    " Processor time and bytes of PostgreSQL's log are per play; a server's is that of all its processes."
)


class Cost(NamedTuple):
    """The cost of one play: the time its sender waited, and the time each process used, in ms; and the bytes
    written to PostgreSQL's log."""

    name: str
    p50: float
    p99: float
    web: float
    postgresql: float
    projector: float
    redis: float
    written: float

    @property
    def processor(self) -> float:
        """Milliseconds of all processes together."""
        return self.web + self.postgresql + self.projector + self.redis

    def row(self) -> list[str]:
        waits, processes = (self.p50, self.p99), (self.web, self.postgresql, self.projector, self.redis)
        return [self.name, *map(number, (*waits, *processes, self.processor, self.written))]


def run(scale: Scale) -> Section:
    environment.empty()
    single, many = _known_listeners(scale)
    under_load = instance.listeners(LISTENERS)
    environment.settle()
    environment.let_go()
    with instance.projector() as projector, instance.web() as server:
        processes = {"web": server.process.pid, "projector": projector, **processor.servers()}
        of_one = []
        for who, known in zip(single, scale.listeners, strict=True):
            name = f"one listener, {known:,} plays known"
            of_one.append(_cost(name, processes, partial(_plays, server, [who], scale.plays)))
        name = f"{len(many):,} listeners in turn, {scale.active_entries:,} each"
        in_turn = partial(_plays, server, many, max(scale.plays, len(many)))
        of_one.append(_cost(name, processes, in_turn))
        loaded = _under_load(processes, server, under_load, scale) if wrk.PROGRAM else None
        largest = server.peak_mib()
    first, *others = of_one
    section = Section("POST /plays, by listeners", COLUMNS, [cost.row() for cost in of_one], notes=[NOTE])
    section.goals = [
        Goal(f"p50, {cost.name} / {first.name}", cost.p50 / first.p50, SAME, at_most=True) for cost in others
    ]
    section.goals.append(Goal("largest web process", largest, LARGEST_PROCESS, at_most=True, unit=" MiB"))
    if loaded is None:
        section.notes.append(wrk.MISSING)
        return section
    section.rows.append(loaded.row())
    section.goals += [
        Goal("processor of a play, all processes", loaded.processor, PROCESSOR, at_most=True, unit=" ms"),
        Goal("p99 under load", loaded.p99, SLOWEST, at_most=True, unit=" ms"),
    ]
    return section


def _known_listeners(scale: Scale) -> tuple[list[Listener], list[Listener]]:
    """Return single listeners with ever more known plays, and many listeners with the same number of known
    plays each."""
    single = instance.listeners(len(scale.listeners))
    for who, known in zip(single, scale.listeners, strict=True):
        _know(who, known)
    many = instance.listeners(scale.active)
    _know(many[0], scale.active_entries)
    with environment.connect() as connection:
        streams = [log.stream_of(who.user_id) for who in many]
        for stream in streams[1:]:
            connection.execute(COPY_TO_ANOTHER, (stream, streams[0]))
    return single, many


def _under_load(processes: Mapping[str, int], server: Web, who: list[Listener], scale: Scale) -> Cost:
    """Return the median of each figure over several rounds of steady load."""
    load = partial(wrk.run, server, "POST", "/api/v1/plays", who, scale.request_seconds)
    # warm-up: a server that has run for a minute has connections and prepared statements
    if scale.request_rounds > 1:
        load()
    rounds = [_cost("", processes, load) for _ in range(scale.request_rounds)]
    figures = [median(values) for values in zip(*(one[1:] for one in rounds), strict=True)]
    return Cost(f"{len(who)} listeners, {wrk.CONNECTIONS} connections", *figures)


def _cost(name: str, processes: Mapping[str, int], plays: Callable[[], Run]) -> Cost:
    began, position = processor.used(processes), _log_position()
    run = plays()
    used, written = processor.used(processes), _log_position() - position
    web, postgresql, projector, redis = (
        1000 * (used[one] - began[one]) / run.requests for one in OF_PROCESSES
    )
    return Cost(name, run.p50, run.p99, web, postgresql, projector, redis, written / run.requests)


def _log_position() -> int:
    """Return how many bytes PostgreSQL has written to its write-ahead log."""
    with environment.connect() as connection:
        ((written,),) = connection.execute("SELECT (pg_current_wal_lsn() - '0/0')::bigint")
    return int(str(written))


def _know(who: Listener, plays: int) -> None:
    with entries.blocked_appends():
        kept = (sample.entry(sample.play(who.user_id, one)) for one in range(plays))
        entries.replace(log.stream_of(who.user_id), kept, STATE_SCHEMA)


def _plays(server: Web, listeners: list[Listener], wanted: int) -> Run:
    """Send plays one after the other, for the listeners in turn."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
    numbers = _numbers()
    taken = []
    for turn in range(wanted):
        who = listeners[turn % len(listeners)]
        body = {
            "rss_source_feed": sample.FEED,
            "rss_source_item": sample.item(next(numbers)),
            "position": turn,
            "played": False,
            "played_at": datetime.now(UTC).isoformat(),
        }
        headers = {"Authorization": f"Bearer {who.token}", "Content-Type": "application/json"}
        begin = time.perf_counter()
        connection.request("POST", "/api/v1/plays", json.dumps(body), headers)
        answer = connection.getresponse()
        content = answer.read()
        taken.append(1000 * (time.perf_counter() - begin))
        if answer.status not in (200, 201):
            raise RuntimeError(f"{answer.status}: {content[:200]!r}")
    connection.close()
    return Run(wanted, wanted / sum(taken) * 1000, median(taken), quantile(taken, 0.99), 0.0)


def _numbers() -> Iterator[int]:
    """Yield the numbers of new and of known episodes in turn."""
    for new in count(1_000_000):
        yield new
        yield new % 100
