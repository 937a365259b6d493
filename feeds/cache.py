"""Cache rendered feeds in Redis, each built by one process at a time. Without Redis, nothing is cached."""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Final

import msgspec
import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from feeds.serving import Rendered

logger = logging.getLogger(__name__)

# increase the number when ``feeds.render`` renders the same rows differently
PREFIX: Final = "balados:feeds:1:"
KEPT: Final = 3_600  # seconds
LARGEST: Final = 2 * 1024 * 1024  # bytes, compressed
# Seconds: how long a build may take, how long others wait for it, and how often they look. Building a feed of
# 2,000 episodes takes 0.2 s.
BUILDING, PATIENCE, LOOK_EVERY = 10, 2.0, 0.02
# Seconds: how long a request waits for Redis, and how long Redis is not asked again after a failure.
TIMEOUT, PAUSE = 0.25, 5.0


_RENDERED = msgspec.msgpack.Decoder(Rendered).decode


def get_or_build(key: str, build: Callable[[], Rendered]) -> Rendered:
    """Return the entry under ``key``, which names the rows and their version; if absent, build and store
    it."""
    global _away_until
    if time.monotonic() < _away_until:
        return build()
    try:
        found = _get_or_claim(f"{PREFIX}{key}")
    except redis.RedisError as error:
        _away_until = time.monotonic() + PAUSE
        logger.warning("Feeds are not kept for %s s: %s", PAUSE, type(error).__name__)
        return build()
    return found or _build_and_keep(f"{PREFIX}{key}", build)


_away_until = 0.0


def _get_or_claim(key: str) -> Rendered | None:
    """Return the stored feed; None where this process is to build it, or has waited too long for another."""
    client, deadline = _client(settings.REDIS_URL), time.monotonic() + PATIENCE
    while True:
        if (found := _decoded(client.get(key))) is not None:
            return found
        if client.set(_claim(key), b"1", nx=True, ex=BUILDING):
            # another process may have stored it and released its claim since the first look
            found = _decoded(client.get(key))
            if found is not None:
                client.delete(_claim(key))
            return found
        if time.monotonic() > deadline:
            return None
        time.sleep(LOOK_EVERY)


def _build_and_keep(key: str, build: Callable[[], Rendered]) -> Rendered:
    client = _client(settings.REDIS_URL)
    try:
        rendered = build()
        if len(rendered.gzipped) <= LARGEST:
            with suppress(redis.RedisError):
                client.set(key, msgspec.msgpack.encode(rendered), ex=KEPT)
        return rendered
    finally:
        with suppress(redis.RedisError):
            client.delete(_claim(key))


def _claim(key: str) -> str:
    return f"{key}:building"


def _decoded(kept: object) -> Rendered | None:
    if not isinstance(kept, bytes):
        return None
    with suppress(msgspec.MsgspecError):
        return _RENDERED(kept)
    return None


@cache
def _client(url: str) -> "redis.Redis":
    return redis.Redis.from_url(
        url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, retry=Retry(NoBackoff(), 0)
    )
