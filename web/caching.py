"""A cache in Redis, for some seconds, of data that is the same for everybody;
without Redis nothing is cached."""

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from django.core.cache import cache
from redis import RedisError

T = TypeVar("T")
PREFIX = "public:"


def kept(key: str, seconds: int, make: Callable[[], T]) -> T:
    """Return what ``make`` returns, cached in Redis for ``seconds``; without
    Redis it is computed each time."""
    with suppress(RedisError):
        found: T | None = cache.get(PREFIX + key)
        if found is not None:
            return found
    made = make()
    keep(key, made, seconds)
    return made


def keep(key: str, what: object, seconds: int) -> None:
    with suppress(RedisError):
        cache.set(PREFIX + key, what, seconds)


def has(key: str) -> bool:
    """Whether anything is cached under this key."""
    with suppress(RedisError):
        return cache.get(PREFIX + key) is not None
    return False
