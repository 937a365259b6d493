"""How often somebody has tried something, counted in Redis: behind every limit of requests."""

import math
from datetime import timedelta
from functools import cache

import redis
from django.conf import settings
from django.utils.crypto import salted_hmac
from redis.backoff import NoBackoff
from redis.retry import Retry

PREFIX = "balados:attempts:"
# Seconds that a request waits for a Redis that does not answer.
TIMEOUT = 0.25


def count(what: str, who: str | None, limit: int, within: timedelta) -> timedelta | None:
    """Count one attempt; None for the first ``limit`` of them ``within`` that time, then how long to wait, in
    whole seconds.

    Raises ``redis.RedisError`` when Redis is away.
    """
    # a digest: Redis keeps what it is told in a file, also of who is erased
    key = f"{PREFIX}{what}:{salted_hmac(PREFIX, str(who)).hexdigest()}"
    # one transaction: parallel attempts are each counted, and no count is left without an end
    steps = _client(settings.REDIS_URL).pipeline(transaction=True)
    steps.set(key, 0, px=within, nx=True)
    steps.incr(key)
    steps.pttl(key)
    _, attempts, milliseconds = steps.execute()
    return timedelta(seconds=max(math.ceil(milliseconds / 1000), 1)) if attempts > limit else None


def clear() -> None:
    """Start counting anew."""
    client = _client(settings.REDIS_URL)
    for key in client.scan_iter(f"{PREFIX}*"):
        client.delete(key)


@cache
def _client(url: str) -> "redis.Redis":
    return redis.Redis.from_url(
        url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, retry=Retry(NoBackoff(), 0)
    )
