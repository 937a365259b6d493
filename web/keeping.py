"""What is the same for everybody, kept in Redis for some seconds; where Redis is away nothing is kept."""

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from django.core.cache import cache
from redis import RedisError

T = TypeVar("T")
PREFIX = "public:"


def kept(key: str, seconds: int, make: Callable[[], T]) -> T:
    """What ``make`` gives, kept in Redis for so long; where Redis is away it is made each time."""
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
    """Whether anything is kept under this key."""
    with suppress(RedisError):
        return cache.get(PREFIX + key) is not None
    return False
