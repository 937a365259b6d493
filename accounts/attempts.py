"""Counts attempts in Redis: the basis of every rate limit."""

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
    """A script that Redis runs atomically."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


PREFIX = "balados:attempts:"
# Seconds that a request waits for a Redis that does not answer.
TIMEOUT = 0.25
# Seconds before a Redis that did not answer is asked again: its timeout is paid once, not per request.
PAUSE = 5.0
# Seconds by which the end of a period may seem to differ, by how long Redis took to answer.
SAME_END = 1.0
# callers for whom a process keeps attempts that are counted but not used, at most
MOST_COUNTED = 10_000
# Atomic, so that parallel attempts are each counted and no counter is left without an expiry. A script costs
# half as much as a transaction, and every API request is counted.
COUNT = Script("""
local attempts = redis.call('INCRBY', KEYS[1], ARGV[2])
if attempts == tonumber(ARGV[2]) then
    redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return {attempts, redis.call('PTTL', KEYS[1])}
""")


def count(what: str, who: str | None, limit: int, within: timedelta, at_once: int = 1) -> timedelta | None:
    """Count one attempt. Returns None for the first ``limit`` attempts ``within`` that time, then how long to
    wait, in whole seconds.

    ``at_once``: how many attempts to count in Redis together; it is asked again when they are used up or
    their time is over. There are never more than ``limit``, but fewer by what other processes have counted in
    advance and not used. Raises ``redis.RedisError`` when Redis is unavailable.
    """
    if at_once > 1 and use_counted(what, who):
        return None
    # a digest, because Redis writes its keys to a file, including those of erased users
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
    """Like ``count``, for what must not stop because a counter is unavailable: then nothing is limited.

    Nothing is limited by a ``limit`` of 0, either.
    """
    return unless_away(lambda: count(what, who, limit, within, at_once)) if limit else None


def use_counted(what: str, who: str | None) -> bool:
    """Use an attempt that was counted in advance, if there is one."""
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
        others, their_end = _counted.get((what, who), (0, 0.0))
        # counted meanwhile by a request beside this one, for the same period
        if abs(until - their_end) < SAME_END:
            left += others
        _counted[what, who] = left, until


def unless_away(ask: Callable[[], T]) -> T | None:
    """Return what ``ask`` finds in Redis; None while Redis is unavailable, and for a moment after that."""
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
    """Whether Redis did not answer a moment ago, and is not asked for now."""
    return time.monotonic() < _away_until


_away_until = 0.0
_lock = threading.Lock()
# attempts counted but not used yet, and until when they may be used, by the monotonic clock
_counted: dict[tuple[str, str | None], tuple[int, float]] = {}


def run(script: Script, keys: Sequence[str], *values: str | bytes | int, timeout: float = TIMEOUT) -> Any:
    """Return the result of a script, run on a pooled connection: through redis-py's client it takes twice as
    long.

    Waits ``timeout`` seconds at most. Raises ``redis.RedisError``.
    """
    pool = _pool(settings.REDIS_URL, timeout)
    connection: Any = pool.get_connection()
    try:
        connection.send_command("EVALSHA", script.digest, len(keys), *keys, *values)
        with suppress(NoScriptError):
            return connection.read_response()
        connection.send_command("EVAL", script.text, len(keys), *keys, *values)  # Redis keeps the script
        return connection.read_response()
    finally:
        pool.release(connection)


@cache
def _pool(url: str, timeout: float) -> redis.ConnectionPool:
    return redis.ConnectionPool.from_url(
        url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 0)
    )
