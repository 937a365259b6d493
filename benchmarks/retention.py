"""The worker over a log in which everything is too old, while listeners play; and loading a long history."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from itertools import count, islice
from pathlib import Path
from statistics import median
from uuid import UUID, uuid4

import msgspec

from benchmarks import environment, history, instance, sample
from benchmarks.instance import Listener, Web
from benchmarks.report import Goal, Section, number, quantile
from benchmarks.scale import Scale
from eventstore import dispatcher, log, streams
from eventstore.domain.checkpoint import TakeCheckpoint
from eventstore.domain.messages import Origin

ROOT = Path(__file__).parent.parent
# plays per second, each sent when it is due, even if the last one has not been answered
RATE = 50
LISTENERS = 16
CONNECTIONS = 8
PATIENCE = 600.0
LONGEST_ITEMS = 1_000
LOADS = 5
_items = count()


def run(scale: Scale) -> Section:
    section = Section("Retention", ["", "", "p50 ms", "p99 ms"])
    environment.empty()
    history.fill(scale.users, scale.events // scale.users)
    who = instance.listeners(LISTENERS)
    environment.settle()
    environment.let_go()
    with instance.projector(), instance.web() as server:
        _caught_up()
        environment.settle()  # the state hours after recording: nothing is left to be written out
        with playing(server, who, []):
            time.sleep(min(2.0, scale.delay_seconds))  # warm-up: connections and prepared statements
        idle: list[float] = []
        with playing(server, who, idle):
            time.sleep(scale.delay_seconds)
        busy: list[float] = []
        with playing(server, who, busy):
            seconds, printed = work()
    section.rows += [
        [f"POST /plays, {RATE}/s", "idle", *_row(idle)],
        ["", "while the worker runs", *_row(busy)],
        [f"worker: {scale.events:,} events of {scale.users:,} listeners", f"{seconds:.1f} s", "", ""],
        *([f"of that {step}", f"{took} s", "", ""] for step, took in printed.items()),
    ]
    before, after = loads(scale.longest)
    section.rows.append([f"loading {scale.longest:,} events", "from the first", *_row(before)])
    section.rows.append(["", "from a checkpoint", *_row(after)])
    ratio = quantile(busy, 0.99) / quantile(idle, 0.99)
    section.goals.append(Goal("p99 of POST /plays, worker / idle", ratio, 2.0, at_most=True))
    section.goals.append(Goal("loading from a checkpoint", median(after), 10.0, at_most=True, unit=" ms"))
    section.notes.append(
        "All events are recorded before the worker's cutoff (`run_worker_once --before`), and nearly all go."
        " Plays are timed from when they were due; web, projector, PostgreSQL, the worker and the client"
        f" share the machine. The long history is of {LONGEST_ITEMS:,} episodes."
    )
    return section


def work() -> tuple[float, dict[str, str]]:
    """Run the worker over everything recorded so far; returns its seconds, including its start, and those of
    its steps."""
    command = [sys.executable, "manage.py", "run_worker_once", "--before", datetime.now(UTC).isoformat()]
    began = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if done.returncode or "the next run deletes the rest" in done.stdout:
        raise RuntimeError(f"the worker did not finish: {done.stdout}{done.stderr}")
    steps = (
        line.strip().removesuffix(" s").split(": ") for line in done.stdout.splitlines() if line[:1] == " "
    )
    return seconds, dict(steps)


@contextmanager
def playing(server: Web, who: list[Listener], milliseconds: list[float]) -> Iterator[None]:
    """Record plays at ``RATE`` until the end of the block. Raises ``RuntimeError`` if one is refused."""
    enough = threading.Event()
    with ThreadPoolExecutor(CONNECTIONS) as clients:
        done = [
            clients.submit(_play, server, who, enough, client, milliseconds) for client in range(CONNECTIONS)
        ]
        try:
            yield
        finally:
            enough.set()
    for client in done:
        client.result()


def _play(
    server: Web, who: list[Listener], enough: threading.Event, client: int, milliseconds: list[float]
) -> None:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
    between = CONNECTIONS / RATE
    due = time.perf_counter() + client / RATE
    while not enough.wait(max(0.0, due - time.perf_counter())):
        number = next(_items)
        listener = who[number % len(who)]
        body = {
            "rss_source_feed": sample.FEED,
            "rss_source_item": sample.item(number),
            "position": number,
            "played": False,
        }
        headers = {"Authorization": f"Bearer {listener.token}", "Content-Type": "application/json"}
        connection.request("POST", "/api/v1/plays", msgspec.json.encode(body), headers)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {content[:300]!r}")
        milliseconds.append(1000 * (time.perf_counter() - due))
        due += between
    connection.close()


def loads(events: int) -> tuple[list[float], list[float]]:
    """Return the milliseconds to load a state without a snapshot: from the first event, and from a
    checkpoint."""
    user_id = uuid4()
    history.record(user_id, list(islice(history.life(user_id, 0, LONGEST_ITEMS), events)))
    environment.settle()
    before = [_load(user_id) for _ in range(LOADS)]
    now = datetime.now(UTC)
    command = TakeCheckpoint(user_id=user_id, now=now, before=now - timedelta(days=45))
    dispatcher.dispatch(command, Origin())
    return before, [_load(user_id) for _ in range(LOADS * 4)]


def _load(user_id: UUID) -> float:
    begin = time.perf_counter()
    streams.fold(log.stream_of(user_id), user_id)
    return 1000 * (time.perf_counter() - begin)


def _caught_up() -> None:
    """Wait until every projector has reached the head of the log."""
    behind = "SELECT (SELECT max(position) FROM events.events) > min(position) FROM users.projector_positions"
    until = time.monotonic() + PATIENCE
    with environment.connect() as connection:
        while (row := connection.execute(behind).fetchone()) is None or row[0]:
            if time.monotonic() > until:
                raise RuntimeError("the projectors do not come along")
            time.sleep(0.1)


def _row(values: list[float]) -> list[str]:
    return [number(quantile(values, 0.5)), number(quantile(values, 0.99))]
