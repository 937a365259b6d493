"""Counters of this process, for the metrics; the sums over all processes are in one Redis hash.

Counting is an addition in memory. A thread sends the increments every two seconds and keeps them while Redis
is unavailable. Nothing depends on the counters.
"""

import logging
import os
import threading
import time
from contextlib import suppress
from typing import Final, TypeAlias, cast
from uuid import uuid4

import msgspec
import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

# The name of a counter and the values of its labels.
Key: TypeAlias = tuple[str, ...]

HASH: Final = "balados:counters"
# current values of each process, under a key of its own
GAUGES: Final = "balados:gauges:"
SECONDS_BETWEEN = 2.0
# seconds after which a gauge expires, and seconds after which an unchanged gauge is sent again
GAUGES_LAST, GAUGES_EVERY = 30, 10.0
TIMEOUT = 0.5
# more keys than this would be a mistake: a label made of what callers send
MOST_KEYS = 20_000
logger = logging.getLogger(__name__)


def add(*steps: tuple[Key, float]) -> None:
    """Add amounts to counters."""
    with _lock:
        for key, amount in steps:
            if key in _counts or len(_counts) < MOST_KEYS:
                _counts[key] = _counts.get(key, 0) + amount


def count(*key: str) -> None:
    """Add one to a counter."""
    add((key, 1))


def gauge(name: str, value: float) -> None:
    """Set how much of something this process has now; it counts until the process ends."""
    with _lock:
        _gauges[name] = value


def publish() -> bool:
    """Send what was added since the last time. Return False when Redis is unavailable; the counts are then
    kept."""
    global _counts, _published
    with _lock:
        taken, _counts = _counts, {}
        present, now = dict(_gauges), time.monotonic()
    if not taken and (not present or (present == _published[0] and now - _published[1] < GAUGES_EVERY)):
        return True
    try:
        with _client() as client:
            pipe = client.pipeline(transaction=True)
            for key, amount in taken.items():
                pipe.hincrbyfloat(HASH, msgspec.json.encode(key).decode(), amount)
            for name, value in present.items():
                pipe.set(f"{GAUGES}{name}:{_process}", value, ex=GAUGES_LAST)
            pipe.execute()
    except (redis.RedisError, OSError):
        add(*taken.items())
        return False
    _published = (present, now)
    return True


def totals() -> dict[Key, float]:
    """Return the sums over all processes. Raises ``redis.RedisError``."""
    with _client() as client:
        stored = cast(dict[bytes, bytes], client.hgetall(HASH))
    return {msgspec.json.decode(key, type=Key): float(value) for key, value in stored.items()}


def gauges() -> dict[str, float]:
    """Return the sums over the processes that are running now. Raises ``redis.RedisError``."""
    found: dict[str, float] = {}
    with _client() as client:
        for key in client.scan_iter(f"{GAUGES}*", count=1_000):
            name = key.decode().removeprefix(GAUGES).partition(":")[0]
            found[name] = found.get(name, 0.0) + float(cast(bytes | None, client.get(key)) or 0)
    return found


def publish_in_background() -> None:
    """Start the thread that sends the counters, in long-running programs. A second call in the same process
    does nothing."""
    global _thread
    if _thread is None:
        _thread = threading.Thread(target=_publish_for_ever, name="counters", daemon=True)
        _thread.start()


def _begin() -> None:
    """Reset the counters: for a process that has counted nothing yet, which a fork is too."""
    global _lock, _counts, _gauges, _published, _process, _thread
    _lock = threading.Lock()
    _counts, _gauges, _process = {}, {}, uuid4().hex
    _published = ({}, float("-inf"))
    _thread = None


_lock: threading.Lock
_counts: dict[Key, float]
_gauges: dict[str, float]
# the gauges that were sent last, and when, by the monotonic clock
_published: tuple[dict[str, float], float]
_process: str
_thread: threading.Thread | None
_begin()
os.register_at_fork(after_in_child=_begin)


def _publish_for_ever() -> None:
    while True:
        time.sleep(SECONDS_BETWEEN)
        # a failure must not end the thread: a process that stopped counting would look idle
        try:
            publish()
        except Exception as failure:
            with suppress(Exception):
                logger.warning("Counters are not sent: %s", type(failure).__name__)


def _client() -> "redis.Redis":
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=TIMEOUT,
        socket_connect_timeout=TIMEOUT,
        retry=Retry(NoBackoff(), 0),
    )
