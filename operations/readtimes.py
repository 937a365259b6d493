"""How long the product's own reads take, timed now: alone, and beside a replay of the log."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from statistics import quantiles
from uuid import UUID, uuid4

import msgspec
import psycopg

from eventstore import database, log
from operations.stores import parameters
from projections import public, queries
from projections.connect import run
from projections.queries import Behind

RUNS = 20
# events at the end of the log that the server reads over and over, as a rebuild makes it do
REPLAYED = 20_000
# From a random place in the index: listeners with many rows are as likely as those with few.
A_LISTENER = "SELECT user_id FROM users.play_statuses WHERE user_id >= %s ORDER BY user_id LIMIT 1"
REPLAY = """
SELECT sum(length(data::text)) FROM (SELECT data FROM events.events WHERE position > %s
                                      ORDER BY position LIMIT %s) AS page
"""
TimedRead = Callable[[UUID], object]


class Read(msgspec.Struct):
    """``p95_ms`` of ``RUNS`` calls, and the same while the server reads the log as for a replay."""

    name: str
    p95_ms: float
    beside_replay_p95_ms: float


class Reads(msgspec.Struct):
    """``p95_ms`` and ``beside_replay_p95_ms`` are those of the slowest read."""

    reads: list[Read]
    p95_ms: float
    beside_replay_p95_ms: float


def measure() -> Reads:
    """Takes about a second. Raises the errors of a store that is away."""
    users = _listeners()
    timed = {name: read for name, read in _reads().items() if _is_ready(read, users[0])}
    alone = {name: _p95_ms(read, users) for name, read in timed.items()}
    with _replaying():
        beside = {name: _p95_ms(read, users) for name, read in timed.items()}
    return Reads(
        [Read(name, alone[name], beside[name]) for name in timed],
        max(alone.values(), default=0.0),
        max(beside.values(), default=0.0),
    )


def _reads() -> dict[str, TimedRead]:
    """What apps and pages ask most."""
    return {
        "play statuses, newest first": partial(queries.play_statuses, limit=50, newest_first=True),
        "subscriptions": queries.subscriptions,
        "saved episodes": queries.saved_episodes,
        "privacy settings": queries.privacy_settings,
        "a listener's newest events": lambda user: log.read_history(log.known_stream(user) or 0, limit=50),
        "trending podcasts": lambda user: public.trending_podcasts(20),
        "public timeline": lambda user: public.timeline(50),
    }


def _listeners() -> list[UUID]:
    found = [run(A_LISTENER, [uuid4()]).fetchone() for _ in range(RUNS)]
    return [row[0] for row in found if row is not None] or [UUID(int=0)]


def _is_ready(read: TimedRead, user: UUID) -> bool:
    """Whether no projector has to be waited for, which would say nothing of the store."""
    try:
        read(user)
    except Behind:
        return False
    return True


def _p95_ms(read: TimedRead, users: Sequence[UUID]) -> float:
    seconds = []
    for number in range(RUNS):
        began = time.perf_counter()
        read(users[number % len(users)])
        seconds.append(time.perf_counter() - began)
    return round(quantiles(seconds, n=20, method="inclusive")[-1] * 1000, 2)


@contextmanager
def _replaying() -> Iterator[None]:
    """The server reads the end of the log again and again; this process only waits for it."""
    over = threading.Event()
    after = max(0, log.head() - REPLAYED)

    def replay() -> None:
        with psycopg.connect(**parameters(database.ALIAS), autocommit=True) as connection:
            while not over.is_set():
                connection.execute(REPLAY, [after, REPLAYED])

    thread = threading.Thread(target=replay, name="replay", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
