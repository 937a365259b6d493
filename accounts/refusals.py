"""Records which requests of a listener's apps and tokens were refused, and why: counted in Redis for a week.

Only requests of authenticated callers are counted: nobody else can write to a listener's page.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import NamedTuple, cast
from uuid import UUID

import redis
from django.conf import settings
from django.utils.crypto import salted_hmac

from accounts.attempts import TIMEOUT, is_away

logger = logging.getLogger(__name__)

PREFIX = "balados:refusals:"
KEPT_FOR = timedelta(days=7)
# entries per listener: one for each app and reason
MOST = 200
TOO_MANY = "too_many"
APP, TOKEN = "app", "token"


class Refusal(NamedTuple):
    """Refusals of one app or token for one reason.

    ``kind``: ``APP`` or ``TOKEN``; ``who``: the id of the app or token. ``reason``: ``TOO_MANY``, or the
    scope that the app lacked. ``times``: how often; ``at``: the last time.
    """

    kind: str
    who: str
    reason: str
    times: int
    at: datetime


def note(user_id: UUID, kind: str, who: str, reason: str, now: datetime) -> None:
    """Count a refused request. Does nothing while Redis is unavailable."""
    key, name = _key(user_id), f"{kind} {reason} {who}"
    if is_away():
        return
    with _tolerated():
        if _redis().hlen(key) >= 2 * MOST:
            return
        with _redis().pipeline(transaction=False) as pipeline:
            pipeline.hincrby(key, f"n {name}", 1)
            pipeline.hset(key, f"t {name}", int(now.timestamp()))
            pipeline.expire(key, KEPT_FOR)
            pipeline.execute()


def listed(user_id: UUID, now: datetime) -> list[Refusal]:
    """Return the refusals of the last week, newest first; none while Redis is unavailable."""
    found: dict[str, str] = {}
    if not is_away():
        with _tolerated():
            found = cast(dict[str, str], _redis().hgetall(_key(user_id)))
    noted = [_read(name, found) for name in found if name.startswith("t ")]
    recent = [each for each in noted if each.at > now - KEPT_FOR]
    return sorted(recent, key=lambda each: each.at, reverse=True)


def delete_refusals(user_id: UUID) -> None:
    """Delete all refusals of a listener."""
    with _tolerated():
        _redis().delete(_key(user_id))


def _read(name: str, found: dict[str, str]) -> Refusal:
    kind, reason, who = name[2:].split(" ", 2)
    at = datetime.fromtimestamp(int(found[name]), UTC)
    return Refusal(kind, who, reason, int(found.get(f"n {name[2:]}", 1)), at)


def _key(user_id: UUID) -> str:
    # a digest, because Redis writes its keys to a file
    return PREFIX + salted_hmac(PREFIX, str(user_id)).hexdigest()


@contextmanager
def _tolerated() -> Iterator[None]:
    """Log the errors of Redis, and go on without it."""
    try:
        yield
    except redis.RedisError as error:
        logger.warning("Refusals are not noted or read: %s", type(error).__name__)


@cache
def _client(url: str) -> "redis.Redis":
    return redis.Redis.from_url(
        url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, decode_responses=True
    )


def _redis() -> "redis.Redis":
    return _client(settings.REDIS_URL)
