"""How often somebody has tried something, counted in Redis."""

from datetime import timedelta

import redis
from django.conf import settings
from django.utils.crypto import salted_hmac

PREFIX = "balados:attempts:"


def count(what: str, who: str | None, limit: int, within: timedelta) -> timedelta | None:
    """Count one attempt; None for the first ``limit`` of them ``within`` that time, then how long to wait.

    Raises ``redis.RedisError`` when Redis is away: what is limited is refused then.
    """
    # a digest: Redis keeps what it is told in a file, also of who is erased
    key = f"{PREFIX}{what}:{salted_hmac(PREFIX, str(who)).hexdigest()}"
    with redis.Redis.from_url(settings.REDIS_URL) as connection:
        # one transaction: parallel attempts are each counted, and no count is left without an end
        steps = connection.pipeline(transaction=True)
        steps.set(key, 0, ex=within, nx=True)
        steps.incr(key)
        steps.ttl(key)
        _, attempts, seconds = steps.execute()
    return timedelta(seconds=max(seconds, 1)) if attempts > limit else None


def forget() -> None:
    """Start counting anew."""
    with redis.Redis.from_url(settings.REDIS_URL) as connection:
        for key in connection.scan_iter(f"{PREFIX}*"):
            connection.delete(key)
