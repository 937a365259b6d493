"""Fetches the covers that somebody wanted to see, and limits their total size (``feeds.covers``)."""

import logging
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
import redis
from django.conf import settings
from django.core.cache import cache
from msgspec import Struct
from redis.exceptions import LockError

from feeds.covers import SIZES, Cover, asked_marker, cover_of, directory
from feeds.fetch import Outcome, Request, fetch
from feeds.images import NoImage, thumbnails

logger = logging.getLogger(__name__)

MIB: Final = 1024 * 1024
MOST_BYTES: Final = 12 * MIB
ACCEPT: Final = "image/webp,image/png,image/jpeg,image/gif;q=0.8,*/*;q=0.1"
# a list in Redis: names of covers, the earliest request first
WANTED: Final = "covers:wanted"
MOST_WANTED: Final = 10_000
# a fetch takes 20 seconds at most, and decoding 30
LEASE_S: Final = 120.0
AT_ONCE, PER_HOST = 8, 2
FAILED_S: Final = 6 * 3_600


class Validators(Struct):
    etag: str = ""
    last_modified: str = ""


def want(name: str) -> None:
    """Request that a cover be fetched; if too many are waiting, the oldest is dropped. Raises
    ``redis.RedisError``."""
    with _client() as client:
        client.rpush(WANTED, name)
        client.ltrim(WANTED, -MOST_WANTED, -1)


def refresh_wanted(stop: Callable[[], bool] = lambda: False) -> Counter[str]:
    """Fetch wanted covers until none is left; returns the number of covers per outcome. Does nothing while
    another process is fetching. Covers that ``stop`` interrupts stay wanted."""
    ended: Counter[str] = Counter()
    with _client() as client:
        lock = client.lock("covers:refreshing", timeout=LEASE_S, blocking=False)
        # look once more for covers that were requested while the lock was still held
        while client.llen(WANTED) and not stop() and lock.acquire():
            wanted = _Wanted(client, stop)
            try:
                for outcome in fetch(wanted.requests(), concurrency=AT_ONCE):
                    ended[_keep(outcome)] += 1
                    wanted.done(outcome.request.context)
                    lock.reacquire()
            except (_Stopped, LockError):  # or this process was too slow, and another has the lock now
                pass
            finally:
                wanted.give_back()
                with suppress(LockError):
                    lock.release()
    return ended


class _Stopped(Exception):
    """The worker was asked to stop."""


class _Wanted:
    """Chooses what is fetched next: never more than two covers from one host at a time."""

    def __init__(self, client: "redis.Redis", stop: Callable[[], bool]) -> None:
        self._client = client
        self._stop = stop
        self._held: deque[Cover] = deque()
        self._in_flight: list[Cover] = []
        self._hosts: Counter[str] = Counter()

    def requests(self) -> Iterator[Request | None]:
        while True:
            if self._stop():
                raise _Stopped
            cover = self._next()
            if cover is None and not self._in_flight:
                return
            yield None if cover is None else self._begin(cover)

    def done(self, cover: Cover) -> None:
        self._in_flight.remove(cover)
        self._hosts[_host(cover)] -= 1

    def give_back(self) -> None:
        """Put covers that were not fetched back into the list."""
        names = [cover.name for cover in (*self._in_flight, *self._held)]
        if names:
            self._client.lpush(WANTED, *names)

    def _next(self) -> Cover | None:
        for held in self._held:
            if self._hosts[_host(held)] < PER_HOST:
                self._held.remove(held)
                return held
        while len(self._held) < AT_ONCE and (name := self._client.lpop(WANTED)) is not None:
            cover = cover_of(str(name))
            if cover is None:  # SECRET_KEY has changed
                continue
            if self._hosts[_host(cover)] < PER_HOST:
                return cover
            self._held.append(cover)
        return None

    def _begin(self, cover: Cover) -> Request:
        self._in_flight.append(cover)
        self._hosts[_host(cover)] += 1
        known = _validators_of(cover)
        return Request(
            cover.url, known.etag, known.last_modified, accept=ACCEPT, max_body=MOST_BYTES, context=cover
        )


def make_room(most: int) -> int:
    """Delete the least recently shown covers until all together have at most ``most`` bytes.

    Returns how many covers were deleted.
    """
    found = sorted(stored())
    total = sum(size for _, size, _ in found)
    deleted = 0
    for _, size, validators in found:
        if total <= most:
            break
        for file in validators.parent.glob(f"{validators.stem}.*"):
            file.unlink(missing_ok=True)
        total -= size
        deleted += 1
    return deleted


def stored() -> Iterator[tuple[float, int, Path]]:
    """Yield for each cover: when it was last shown, its files' size in bytes, its file of validators."""
    for validators in directory().glob("??/*.json"):
        try:
            shown_at = validators.stat().st_mtime
            size = sum(file.stat().st_size for file in validators.parent.glob(f"{validators.stem}.*"))
        except FileNotFoundError:
            continue
        yield shown_at, size, validators


def _keep(outcome: Outcome) -> str:
    """Store a fetched cover; returns the outcome's code, "no_image" or "not_written". The existing files are
    kept unless the fetch brought a valid picture."""
    cover: Cover = outcome.request.context
    code = _store(cover, outcome) if outcome.code == "ok" else outcome.code
    if code == "not_modified":
        with suppress(FileNotFoundError):  # it was deleted meanwhile
            for size in SIZES:
                os.utime(cover.file(size))
    elif code != "ok":
        cache.set(asked_marker(cover), True, FAILED_S)
    return code


def _store(cover: Cover, outcome: Outcome) -> str:
    try:
        made = thumbnails(outcome.body, SIZES)
    except NoImage:
        return "no_image"
    headers = outcome.headers
    known = Validators(headers.get("etag", ""), headers.get("last-modified", ""))
    try:
        cover.validators.parent.mkdir(parents=True, exist_ok=True)
        _replace(cover.validators, msgspec.json.encode(known))
        for size, data in made.items():
            _replace(cover.file(size), data)
    except OSError as failure:
        logger.warning("A cover cannot be written: %s", failure.strerror)
        return "not_written"
    _written(sum(map(len, made.values())))
    return "ok"


def _validators_of(cover: Cover) -> Validators:
    """Return the validators of the stored cover; empty ones where any of its files is missing."""
    if not all(cover.file(size).is_file() for size in SIZES):
        return Validators()
    try:
        return msgspec.json.decode(cover.validators.read_bytes(), type=Validators)
    except (FileNotFoundError, msgspec.MsgspecError):
        return Validators()


def _replace(file: Path, data: bytes) -> None:
    """Replace a file atomically: a reader sees either the old file or the new one."""
    new = file.with_name(f"{file.name}.{os.getpid()}.{time.monotonic_ns()}")
    new.write_bytes(data)
    new.replace(file)


_unchecked = inf  # bytes written since the last check; infinite, so that the first write checks


def _written(size: int) -> None:
    """Check the total size each time another hundredth of the limit has been written."""
    global _unchecked
    most = MIB * settings.COVERS_MAX_MB
    _unchecked += size
    if _unchecked > most // 100:
        _unchecked = 0
        make_room(most * 99 // 100)


def _host(cover: Cover) -> str:
    return urlsplit(cover.url).netloc


def _client() -> "redis.Redis":
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=5.0, socket_connect_timeout=5.0, decode_responses=True
    )
