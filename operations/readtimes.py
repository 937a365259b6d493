"""How long reading takes: the product's own reads, timed now, alone and beside a replay of the log."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import accumulate
from statistics import quantiles
from uuid import UUID, uuid4

import msgspec
import psycopg
import redis

from eventstore import codec, counters, store
from operations.stores import parameters
from projections import public, queries
from projections.queries import Behind, run

RUNS = 20
# What a rebuild asks of the server, again and again, while the reads are timed: these many newest events.
REPLAYED = 20_000
# events that are read and decoded to see how fast that goes
SAMPLE = 5_000
# whoever comes first from anywhere in the index: listeners with many rows are as likely as those with few
SOMEBODY = """
SELECT user_id FROM users.play_statuses WHERE user_id >= %s ORDER BY user_id LIMIT 1
"""
REPLAY = """
SELECT sum(length(data::text)) FROM (SELECT data FROM events.events WHERE position > %s
                                      ORDER BY position LIMIT %s) AS page
"""
PREFIX = "/api/v1/"


class Read(msgspec.Struct):
    """``p95_ms`` of ``RUNS`` calls, and the same while the server reads the log as for a replay."""

    name: str
    p95_ms: float
    beside_replay_p95_ms: float


class Route(msgspec.Struct):
    """A GET route, as all web processes counted it since Redis was empty. ``p95_ms`` is the upper end of the
    class of durations that holds it; None beyond the last class."""

    route: str
    requests: int
    p95_ms: float | None


class Reads(msgspec.Struct):
    """``p95_ms``: of the slowest read. ``replay_events_per_second``: reading and decoding alone, so that a
    rebuild, which writes as well, takes ``replay_seconds`` at the least. ``routes``: None without Redis.
    """

    reads: list[Read]
    p95_ms: float
    beside_replay_p95_ms: float
    replay_events_per_second: float | None
    replay_seconds: float | None
    routes: list[Route] | None


def measure(total: int, classes: Sequence[float]) -> Reads:
    """Takes about a second. ``total``: events in the log; ``classes``: upper ends of the classes of durations
    (balados.requests), in seconds. Raises the errors of a store that is away.
    """
    users = _somebody()
    timed = {name: read for name, read in _reads(users).items() if _works(read)}
    alone = {name: _p95(read) for name, read in timed.items()}
    with _replaying():
        beside = {name: _p95(read) for name, read in timed.items()}
    reads = [Read(name, alone[name], beside[name]) for name in timed]
    rate = _replay_rate()
    return Reads(
        reads=reads,
        p95_ms=max(alone.values(), default=0.0),
        beside_replay_p95_ms=max(beside.values(), default=0.0),
        replay_events_per_second=rate,
        replay_seconds=None if rate is None else round(total / rate, 1),
        routes=_routes(classes),
    )


def _reads(users: Sequence[UUID]) -> dict[str, Callable[[int], object]]:
    """What apps and pages ask most, for one of ``users`` or for everybody."""

    def of(read: Callable[[UUID], object]) -> Callable[[int], object]:
        return lambda number: read(users[number % len(users)])

    return {
        "play statuses, newest first": of(partial(queries.play_statuses, limit=50, newest_first=True)),
        "subscriptions": of(queries.subscriptions),
        "saved episodes": of(queries.saved_episodes),
        "privacy settings": of(queries.privacy_settings),
        "a listener's newest events": of(lambda user: store.read_history(_stream(user), limit=50)),
        "trending podcasts": lambda number: public.trending_podcasts(20),
        "public timeline": lambda number: public.timeline(50),
    }


def _somebody() -> list[UUID]:
    found = [run(SOMEBODY, [uuid4()]).fetchone() for _ in range(RUNS)]
    return [row[0] for row in found if row is not None] or [UUID(int=0)]


def _stream(user_id: UUID) -> int:
    return store.known_stream(user_id) or 0


def _works(read: Callable[[int], object]) -> bool:
    """Once beforehand, which also prepares it; what waits for a projector tells nothing of the store."""
    try:
        read(0)
    except Behind:
        return False
    return True


def _p95(read: Callable[[int], object]) -> float:
    times = []
    for number in range(RUNS):
        began = time.perf_counter()
        read(number)
        times.append(time.perf_counter() - began)
    return round(quantiles(times, n=20, method="inclusive")[-1] * 1000, 2)


@contextmanager
def _replaying() -> Iterator[None]:
    """The server reads the newest part of the log over and over; this process only waits for it."""
    over = threading.Event()
    after = max(0, store.head() - REPLAYED)

    def replay() -> None:
        with psycopg.connect(**parameters(store.ALIAS), autocommit=True) as connection:
            while not over.is_set():
                connection.execute(REPLAY, [after, REPLAYED])

    thread = threading.Thread(target=replay, name="replay", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _replay_rate() -> float | None:
    """Events per second, read and decoded as for a rebuild; None where there are too few to tell."""
    began = time.perf_counter()
    rows = store.read_all(max(0, store.head() - SAMPLE), SAMPLE)
    for row in rows:
        try:
            codec.decode(row.type, row.schema, row.data)
        except codec.CodecError:
            continue  # a dead letter, which is told elsewhere
    seconds = time.perf_counter() - began
    return round(len(rows) / seconds, 0) if len(rows) >= 100 else None


def _routes(classes: Sequence[float]) -> list[Route] | None:
    try:
        totals = counters.totals()
    except (redis.RedisError, OSError):
        return None
    found: dict[str, list[float]] = {}
    for key, number in totals.items():
        match key:
            case ("seconds", "GET", str() as route, place) if route.startswith(PREFIX):
                found.setdefault(route, [0.0] * (len(classes) + 1))[int(place)] += number
    return sorted((_route(route, counts, classes) for route, counts in found.items()), key=_slowness)


def _route(route: str, counts: Sequence[float], classes: Sequence[float]) -> Route:
    enough = 0.95 * sum(counts)
    place = next(place for place, reached in enumerate(accumulate(counts)) if reached >= enough)
    return Route(route, int(sum(counts)), classes[place] * 1000 if place < len(classes) else None)


def _slowness(route: Route) -> tuple[float, int]:
    return (-(route.p95_ms or float("inf")), -route.requests)
