"""The delay from an append to the row that readers see, at 200 appends a second, with the projector in its
own process.

A third process polls the projector's saved position as fast as it can; one poll takes 0.3 ms at most.
"""

import multiprocessing
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.queues import Queue
from typing import Any, TypeAlias
from uuid import uuid4

from benchmarks import environment, eventsourcing, instance, sample
from benchmarks.report import Goal, Section, number, quantile
from benchmarks.scale import Scale
from eventstore import dispatcher
from eventstore.domain.plays import RecordPlay

RATE = 200
LOOK = 0.0002
OURS = "SELECT position FROM users.projector_positions WHERE projector = 'plays'"
THEIRS = f"SELECT coalesce(max(notification_id), 0) FROM {eventsourcing.SCHEMA}.playstatuses_tracking"

_fork = multiprocessing.get_context("fork")
# when an append was called, when it returned, and its position
Written: TypeAlias = tuple[float, float, int]
# appends one event and returns its position
Write = Callable[[int], int]


def our_writer() -> Write:
    user_id = uuid4()

    def write(number: int) -> int:
        play = sample.play(user_id, number)
        command = RecordPlay(
            user_id=user_id,
            feed=play.rss_source_feed,
            item=play.rss_source_item,
            position=play.position,
            played=False,
            now=datetime.now(UTC),
        )
        return dispatcher.dispatch(command, sample.ORIGIN).position

    return write


def their_writer() -> Write:
    app = eventsourcing.application()
    who = eventsourcing.listener(app)

    def write(number: int) -> int:
        eventsourcing.trigger(who, number)
        return int(app.save(who)[0].notification.id)

    return write


@contextmanager
def their_projector() -> Iterator[None]:
    ready, stop = _fork.Event(), _fork.Event()

    def work() -> None:
        with eventsourcing.runner():
            ready.set()
            stop.wait()

    process = _fork.Process(target=work)
    process.start()
    ready.wait(30)
    try:
        yield
    finally:
        stop.set()
        process.join(10)


def delays(writer: Callable[[], Write], position: str, seconds: float) -> tuple[list[float], list[float]]:
    """Return the milliseconds that each append took, and those from its call until the projector was first
    seen to have passed it."""
    environment.let_go()
    written: Queue[list[Written]] = _fork.Queue()
    process = _fork.Process(target=_write, args=(writer, seconds, written))
    process.start()
    looks: list[tuple[float, int]] = []
    with environment.connect() as connection:
        while process.is_alive() and written.empty():
            _look(connection, position, looks)
        writes = written.get(timeout=60)
        until = time.monotonic() + 10
        while looks[-1][1] < writes[-1][2] and time.monotonic() < until:
            _look(connection, position, looks)
    process.join()
    reached = [found for _, found in looks]
    warm = writes[RATE // 2 :] or writes
    return (
        [1000 * (done - begun) for begun, done, _ in warm],
        [1000 * (looks[bisect_left(reached, at)][0] - begun) for begun, _, at in warm],
    )


def _look(connection: Any, position: str, looks: list[tuple[float, int]]) -> None:
    (found,) = connection.execute(position, prepare=True).fetchone() or (0,)
    if not looks or found > looks[-1][1]:
        looks.append((time.monotonic(), found))
    time.sleep(LOOK)


def _write(writer: Callable[[], Write], seconds: float, written: "Queue[list[Written]]") -> None:
    write = writer()
    done = []
    begin = time.monotonic()
    for turn in range(int(seconds * RATE)):
        time.sleep(max(0.0, begin + turn / RATE - time.monotonic()))
        begun = time.monotonic()
        position = write(turn)
        done.append((begun, time.monotonic(), position))
    written.put(done)
    environment.let_go()


def run(scale: Scale) -> Section:
    environment.empty()
    environment.settle()
    environment.let_go()
    with instance.projector():
        append, ours = delays(our_writer, OURS, scale.delay_seconds)
    section = Section(f"From append to projected, {RATE} appends/s (ms)", ["", "p50", "p99", "max"])
    section.rows += [_row("ours", ours), _row("of that the append", append)]
    p99 = quantile(ours, 0.99)
    section.goals.append(Goal("append to projected, p99", p99, 5.0, at_most=True, unit=" ms"))
    if eventsourcing.INSTALLED:
        eventsourcing.prepare()
        with their_projector():
            their_append, theirs = delays(their_writer, THEIRS, scale.delay_seconds)
        section.rows += [_row("eventsourcing", theirs), _row("of that the append", their_append)]
        section.goals.append(Goal("p99 / eventsourcing", p99 / quantile(theirs, 0.99), 1 / 3, at_most=True))
    section.notes.append(
        "From the call of the append (ours: the whole dispatch) to a reader that finds the position passed."
    )
    return section


def _row(name: str, values: list[float]) -> list[str]:
    return [name, *(number(quantile(values, share)) for share in (0.5, 0.99, 1.0))]
