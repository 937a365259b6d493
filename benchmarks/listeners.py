"""What a play costs, by how much is known of its listener, and with many listeners in turn."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.client import HTTPConnection
from itertools import count
from statistics import median, quantiles

from benchmarks import environment, instance, sample
from benchmarks.instance import Listener, Web
from benchmarks.report import Goal, Section, number
from benchmarks.scale import Scale
from eventstore import entries, log
from eventstore.domain.topics import STATE_SCHEMA

COPY_TO_ANOTHER = """
INSERT INTO events.snapshots (stream, topic, key, name, state)
SELECT %s, topic, key, name, state FROM events.snapshots WHERE stream = %s"""
LARGEST_PROCESS = 150.0  # MiB
# of the first figure: a command costs the same for every listener
SAME = 1.2


def run(scale: Scale) -> Section:
    environment.empty()
    single = instance.listeners(len(scale.listeners))
    for who, known in zip(single, scale.listeners, strict=True):
        _know(who, known)
    many = instance.listeners(scale.active)
    _know(many[0], scale.active_entries)
    with environment.connect() as connection:
        streams = [log.stream_of(who.user_id) for who in many]
        for stream in streams[1:]:
            connection.execute(COPY_TO_ANOTHER, (stream, streams[0]))
    environment.settle()
    environment.let_go()
    rows, medians = [], []
    with instance.projector(), instance.web() as server:
        for who, known in zip(single, scale.listeners, strict=True):
            taken = _plays(server, [who], scale.plays)
            medians.append(median(taken))
            rows.append([f"one listener, {known:,} plays known", *_figures(taken)])
        taken = _plays(server, many, max(scale.plays, len(many)))
        medians.append(median(taken))
        rows.append([f"{len(many):,} listeners in turn, {scale.active_entries:,} each", *_figures(taken)])
        largest = server.peak_mib()
    section = Section("POST /plays, by listeners", ["", "p50 ms", "p99 ms"], rows)
    section.goals = [
        Goal(f"p50, {row[0]} / {rows[0][0]}", one / medians[0], SAME, at_most=True)
        for row, one in zip(rows[1:], medians[1:], strict=True)
    ]
    section.goals.append(Goal("largest web process", largest, LARGEST_PROCESS, at_most=True, unit=" MiB"))
    section.notes.append(
        "One connection; half of the plays are of new episodes, half of known ones. What is known was put"
        " beside the log as syncs leave it there; every listener's first play is counted."
    )
    return section


def _know(who: Listener, plays: int) -> None:
    with entries.blocked_appends():
        kept = (sample.entry(sample.play(who.user_id, one)) for one in range(plays))
        entries.replace(log.stream_of(who.user_id), kept, STATE_SCHEMA)


def _plays(server: Web, listeners: list[Listener], wanted: int) -> list[float]:
    """Milliseconds of each play, the listeners in turn."""
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
    return taken


def _numbers() -> Iterator[int]:
    """New episodes and known ones by turns."""
    for new in count(1_000_000):
        yield new
        yield new % 100


def _figures(taken: list[float]) -> list[str]:
    return [number(median(taken)), number(quantiles(taken, n=100)[98])]
