"""How often somebody has tried something, counted in Redis: behind every limit of requests."""

import hashlib
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar, cast

import redis
from django.conf import settings
from django.utils.crypto import salted_hmac
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError
from redis.retry import Retry

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Script:
    """A program that Redis runs in one step."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


PREFIX = "balados:attempts:"
# Seconds that a request waits for a Redis that does not answer.
TIMEOUT = 0.25
# Seconds for which a Redis that does not answer is left alone: its timeout is paid once, not per request.
PAUSE = 5.0
# of so many callers at most a process knows what is counted and not used
MOST_COUNTED = 10_000
# In one step: parallel attempts are each counted, and no count is left without an end. A script costs half
# of a transaction, and every request of the API is counted.
COUNT = Script("""
local attempts = redis.call('INCRBY', KEYS[1], ARGV[2])
if attempts == tonumber(ARGV[2]) then
    redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return {attempts, redis.call('PTTL', KEYS[1])}
""")


def count(what: str, who: str | None, limit: int, within: timedelta, at_once: int = 1) -> timedelta | None:
    """Count one attempt; None for the first ``limit`` of them ``within`` that time, then how long to wait, in
    whole seconds.

    ``at_once``: so many are counted in the place of one, and Redis is asked again when they are used up or
    their time is over. There are never more than ``limit``, and fewer by what other processes have counted so
    and not used. Raises ``redis.RedisError`` when Redis is away.
    """
    if at_once > 1 and _use_counted(what, who):
        return None
    # a digest: Redis keeps what it is told in a file, also of who is erased
    key = f"{PREFIX}{what}:{salted_hmac(PREFIX, str(who)).hexdigest()}"
    found = run(COUNT, [key], int(within / timedelta(milliseconds=1)), at_once)
    attempts, milliseconds = cast(tuple[int, int], found)
    allowed = at_once - max(0, attempts - limit)
    if allowed <= 0:
        return timedelta(seconds=max(math.ceil(milliseconds / 1000), 1))
    if allowed > 1:
        _keep_counted(what, who, allowed - 1, time.monotonic() + milliseconds / 1000)
    return None


def limited(what: str, who: str | None, limit: int, within: timedelta, at_once: int = 1) -> timedelta | None:
    """The same, for what must not stop because a counter is away: then nothing is limited. Nor for 0."""
    return unless_away(lambda: count(what, who, limit, within, at_once)) if limit else None


def _use_counted(what: str, who: str | None) -> bool:
    with _lock:
        left, until = _counted.get((what, who), (0, 0.0))
        if left == 0 or time.monotonic() >= until:
            return False
        _counted[what, who] = left - 1, until
        return True


def _keep_counted(what: str, who: str | None, left: int, until: float) -> None:
    with _lock:
        if len(_counted) >= MOST_COUNTED:
            _counted.clear()
        _counted[what, who] = left, until


def unless_away(ask: Callable[[], T]) -> T | None:
    """What ``ask`` finds in Redis; None where that is away, and for a moment after it was."""
    global _away_until
    if is_away():
        return None
    try:
        return ask()
    except redis.RedisError as error:
        _away_until = time.monotonic() + PAUSE
        logger.warning("No rate limits for %s s: %s", PAUSE, type(error).__name__)
        return None


def is_away() -> bool:
    """Whether Redis did not answer a moment ago, and is left alone."""
    return time.monotonic() < _away_until


_away_until = 0.0
_lock = threading.Lock()
# how many attempts are counted and not used yet, and until when they may be, by the monotonic clock
_counted: dict[tuple[str, str | None], tuple[int, float]] = {}


def run(script: Script, keys: Sequence[str], *values: str | bytes | int) -> Any:
    """What a script answers, on a connection of the pool: by way of redis-py's client it takes twice as long.

    Raises ``redis.RedisError``.
    """
    pool = _pool(settings.REDIS_URL)
    connection: Any = pool.get_connection()
    try:
        connection.send_command("EVALSHA", script.digest, len(keys), *keys, *values)
        with suppress(NoScriptError):
            return connection.read_response()
        connection.send_command("EVAL", script.text, len(keys), *keys, *values)  # which Redis keeps
        return connection.read_response()
    finally:
        pool.release(connection)


@cache
def _pool(url: str) -> redis.ConnectionPool:
    return redis.ConnectionPool.from_url(
        url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, retry=Retry(NoBackoff(), 0)
    )
