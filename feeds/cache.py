"""Rendered feeds in Redis, each made by one process at a time. Without Redis each is made anew."""

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

# the number grows when ``feeds.render`` makes something else of the same rows
PREFIX: Final = "balados:feeds:1:"
KEPT: Final = 3_600  # seconds
LARGEST: Final = 2 * 1024 * 1024  # bytes, compressed
# Seconds for which a builder may be at it, and for which others wait for him. A feed of 2,000 takes 0.2.
BUILDING, PATIENCE, LOOK_EVERY = 10, 2.0, 0.02
# Seconds for which a request waits for a Redis that does not answer, and for which it is then left alone.
TIMEOUT, PAUSE = 0.25, 5.0


_RENDERED = msgspec.msgpack.Decoder(Rendered).decode


def get_or_build(key: str, build: Callable[[], Rendered]) -> Rendered:
    """What is kept under ``key``, which names its rows and their version; else what ``build`` makes."""
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
    """What is kept; None where this process is to make it, or has waited long enough for another."""
    client, deadline = _client(settings.REDIS_URL), time.monotonic() + PATIENCE
    while True:
        if (found := _decoded(client.get(key))) is not None:
            return found
        if client.set(_claim(key), b"1", nx=True, ex=BUILDING):
            # another may have made it, and be done, between the two questions
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
