"""Loading and folding a stream, and reading and decoding the whole log in global order: ours and
eventsourcing."""

import time
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

from benchmarks import environment, eventsourcing, sample
from benchmarks.report import Goal, Section, middle, number, ratio
from benchmarks.scale import Scale
from eventstore import codec, log
from eventstore.domain.user import User, evolve

PAGE = 5_000
STREAM, GLOBAL = "stream of {}: load, upcast, fold", "global order: read, decode"


def fill(events: int, per_stream: int) -> UUID:
    """Fill streams of the same length, up to ``events`` events in total; returns a user."""
    user_id = uuid4()
    for _ in range(events // per_stream):
        user_id = uuid4()
        log.append(log.stream_of(user_id), 0, sample.plays(user_id, per_stream), sample.ORIGIN)
    return user_id


def fold(user_id: UUID) -> int:
    """Load and fold a stream, as a command does if this process has not cached it. Returns the number of
    events."""
    user = User(user_id)
    rows = log.read_stream(log.stream_of(user_id))
    for row in rows:
        evolve(user, codec.decode(row.type, row.schema, row.data))
    return len(rows)


def read_everything() -> int:
    after = found = 0
    while rows := log.read_all(after, PAGE):
        for row in rows:
            codec.decode(row.type, row.schema, row.data)
        after, found = rows[-1].position, found + len(rows)
    return found


def peer_fill(app: Any, events: int, per_stream: int) -> Any:
    who = None
    for _ in range(events // per_stream):
        who = eventsourcing.listener(app)
        # the first event is the registration
        app.events.put(eventsourcing.plays(who, per_stream - 1))
    assert who is not None
    return who.id


def peer_read_everything(app: Any) -> int:
    start, found = 1, 0
    while notifications := app.recorder.select_notifications(start=start, limit=PAGE):
        for notification in notifications:
            app.mapper.to_domain_event(notification)
        start, found = notifications[-1].id + 1, found + len(notifications)
    return found


def timed(work: Callable[[], int]) -> float:
    """Return the events per second."""
    begin = time.perf_counter()
    return work() / (time.perf_counter() - begin)


def repeated(work: Callable[[], int], times: int) -> Callable[[], int]:
    return lambda: sum(work() for _ in range(times))


def run(scale: Scale) -> Section:
    environment.empty()
    user_id = fill(scale.events, scale.stream)
    stream = STREAM.format(f"{scale.stream:,}")
    several = max(1, scale.events // scale.stream // 10)
    works: dict[tuple[str, str], Callable[[], int]] = {
        (stream, "ours"): repeated(lambda: fold(user_id), several),
        (GLOBAL, "ours"): read_everything,
    }
    if eventsourcing.INSTALLED:
        eventsourcing.prepare()
        app = eventsourcing.application()
        peer_id = peer_fill(app, scale.events, scale.stream)
        works[stream, "peer"] = repeated(lambda: app.repository.get(peer_id).version, several)
        works[GLOBAL, "peer"] = lambda: peer_read_everything(app)
    environment.settle()
    rates: dict[tuple[str, str], list[float]] = {key: [] for key in works}
    for _ in range(scale.rounds):
        for key, work in works.items():
            rates[key].append(timed(work))
    section = Section("Reading (events/s, one client)", ["", "ours", "eventsourcing"])
    for name, wanted in ((stream, 4.0), (GLOBAL, 2.5)):
        ours, theirs = rates[name, "ours"], rates.get((name, "peer"))
        section.rows.append([name, number(middle(ours)), number(middle(theirs) if theirs else None)])
        section.goals.append(Goal(f"{name} / eventsourcing", ratio(ours, theirs) if theirs else None, wanted))
    section.notes.append(
        f"A log of {scale.events:,} events in streams of {scale.stream:,}, read in pages of {PAGE:,}."
        " The peer's stream is `repository.get`, its log `select_notifications` and its mapper."
    )
    return section
