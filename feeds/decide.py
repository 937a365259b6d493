"""Decide when a feed is fetched again, and how an answer changes the state of its host. Pure: the clock and
randomness are arguments.

Fetching is never given up for good: a feed that works again recovers by itself.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import pairwise
from statistics import median
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

MINUTE: Final = 60
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

SHORTEST, LONGEST, UNKNOWN = 30 * MINUTE, 12 * HOUR, 6 * HOUR
NEWEST: Final = 20  # number of newest episodes whose gaps determine the interval
SILENT: Final = timedelta(days=365)
# bounds of the wait that a server may ask for
LEAST_ASKED, MOST_ASKED = 5 * MINUTE, DAY
ABSURD: Final = 2**31
DEAD: Final = timedelta(days=90)
NETWORK: Final = frozenset({"unreachable", "tls", "timeout"})
# consecutive network failures, of any of its feeds, after which a host is paused
FAILURES_TO_PAUSE: Final = 5
FIRST_PAUSE, LONGEST_PAUSE = 15 * MINUTE, 6 * HOUR

_MAX_AGE = re.compile(r"(?:^|[,\s])max-age\s*=\s*\"?(\d{1,12})\b", re.IGNORECASE | re.ASCII)


class Host(Struct, frozen=True):
    """A server that hosts feeds, as stored in ``feeds.models.FeedHost``."""

    id: int
    name: str = ""
    connections: int = 2
    failures: int = 0
    pauses: int = 0
    paused_until: datetime | None = None
    failed_at: datetime | None = None

    def is_paused(self, now: datetime) -> bool:
        return self.paused_until is not None and self.paused_until > now

    @property
    def is_suspect(self) -> bool:
        """Whether it has not answered since its last failure, or since it asked for a pause."""
        return bool(self.failures or self.pauses)


class Schedule(Struct, frozen=True):
    """The state of a feed's fetches: a row of ``feeds.models.FeedSchedule``, and the feed's ``state``.

    ``first_seen_at`` and ``newest_at`` are columns of the feed, and ``hub_until`` is how long its hub has
    promised to announce updates (``feeds.hubs``); all three are read-only here.
    """

    feed_id: int
    state: str = "new"
    next_at: datetime | None = None
    etag: str = ""
    last_modified: str = ""
    validators_url: str = ""
    body_hash: bytes | None = None
    interval_s: int = UNKNOWN
    fetched_at: datetime | None = None
    ok_at: datetime | None = None
    failures: int = 0
    error: str = ""
    error_since: datetime | None = None
    status: int | None = None
    episodes: int = 0
    shrunk: bool = False
    first_seen_at: datetime | None = None
    newest_at: datetime | None = None
    hub_until: datetime | None = None


class Answer(Struct, frozen=True):
    """How a fetch ended, for the schedule. ``code``: ``ok``, or what went wrong (docs/operations.md).

    ``asked_s``: how long the server asks us to wait, by its caching headers. The fields after it describe the
    document that was stored, or was stored already; None leaves a value unchanged.
    """

    code: str
    status: int | None = None
    asked_s: int = 0
    interval_s: int | None = None
    etag: str | None = None
    last_modified: str | None = None
    validators_url: str | None = None
    body_hash: bytes | None = None
    episodes: int | None = None
    shrunk: bool = False


def schedule_after(old: Schedule, answer: Answer, host: Host, now: datetime, jitter: float) -> Schedule:
    """Return the feed's schedule after an answer. ``host`` is the host's state after the answer; ``jitter``
    is a random number from 0 to 1."""
    if answer.code == "ok":
        return _after_success(old, answer, now, jitter)
    if answer.code == "rate_limited":
        # this says nothing about the feed itself; the first one fetched after the pause probes for all others
        until = (host.paused_until or now) + timedelta(seconds=MINUTE * jitter)
        return replace(_with_error(old, answer, now), next_at=until)
    failed = replace(_with_error(old, answer, now), failures=old.failures + 1)
    if _is_gone(old, answer, now):
        return _after_its_end(failed, old, now, jitter)
    if _is_dead(old, now):
        return replace(failed, state="dead", next_at=_later(now, 7 * DAY * (0.9 + 0.2 * jitter)))
    next_at = _later(now, _delay_after_failure(failed, answer, jitter))
    if host.paused_until is not None:
        next_at = max(next_at, host.paused_until)
    return replace(failed, state="failing", next_at=next_at)


def interval_of(newest: Sequence[datetime], now: datetime) -> int:
    """Return the seconds between two fetches, from the times of the newest episodes, the newest first."""
    if newest and newest[0] < now - SILENT:
        return DAY
    if len(newest) < 2:
        return UNKNOWN
    times = newest[:NEWEST]
    gaps = [(later - earlier).total_seconds() for later, earlier in pairwise(times)]
    return int(min(max(median(gaps) / 4, SHORTEST), LONGEST))


def at_least(interval_s: int, ttl_s: int | None) -> int:
    """Return the interval, but at least the time that the document itself asks for."""
    return max(interval_s, _clamped(ttl_s))


def asked_by(headers: Mapping[str, str], now: datetime) -> int:
    """Return for how many seconds the answer stays fresh by its headers; 0 where they say nothing usable.

    Only our own clock is used. ``no-cache`` and ``no-store`` are ignored: they address other kinds of caches.
    """
    if found := _MAX_AGE.search(headers.get("cache-control", "")):
        return _clamped(int(found[1]))
    if "expires" not in headers:
        return 0
    try:
        expires = parsedate_to_datetime(headers["expires"])
    except (ValueError, TypeError, OverflowError):
        return 0
    if expires.tzinfo is None:
        expires = expires.replace(tzinfo=UTC)
    return _clamped(int((expires - now).total_seconds()))


def host_after(host: Host, code: str, retry_after_s: int | None, now: datetime) -> Host:
    """Return the state of a host after an answer to one of its feeds, or after a failure.

    While the host is paused, requests that started before neither double nor lift the pause.
    """
    if code in NETWORK:
        failed = replace(host, failures=host.failures + 1, failed_at=now, connections=2)
        if host.is_paused(now) or (failed.failures < FAILURES_TO_PAUSE and not host.pauses):
            return failed
        return _paused(failed, None, now)
    if host.is_paused(now):
        return host
    if code == "rate_limited":
        return _paused(replace(host, failures=0, failed_at=now, connections=2), retry_after_s, now)
    if code == "refused":
        return host  # refused by our own rules: the host was not contacted
    return replace(host, failures=0, pauses=0, paused_until=None) if host.is_suspect else host


def _after_success(old: Schedule, answer: Answer, now: datetime, jitter: float) -> Schedule:
    interval = old.interval_s if answer.interval_s is None else answer.interval_s
    newest_at = old.newest_at
    if answer.interval_s is None and newest_at is not None and newest_at < now - SILENT:
        interval = max(interval, DAY)
    # the interval itself is kept, and is used again once the hub is gone
    has_hub = old.hub_until is not None and old.hub_until > now
    spacing = max(interval, LONGEST) if has_hub else interval
    wait = max(spacing * (0.9 + 0.2 * jitter), answer.asked_s * (1 + 0.1 * jitter))
    done = replace(
        old,
        state="active",
        next_at=_later(now, wait),
        interval_s=interval,
        fetched_at=now,
        ok_at=now,
        failures=0,
        error="",
        error_since=None,
        status=answer.status,
        shrunk=answer.shrunk,
    )
    kept = ("etag", "last_modified", "validators_url", "body_hash", "episodes")
    changes = {name: getattr(answer, name) for name in kept if getattr(answer, name) is not None}
    return replace(done, **changes)


def _with_error(old: Schedule, answer: Answer, now: datetime) -> Schedule:
    return replace(
        old, fetched_at=now, error=answer.code, error_since=old.error_since or now, status=answer.status
    )


def _is_gone(old: Schedule, answer: Answer, now: datetime) -> bool:
    """Whether this is a second 410, a day or more after the first; a gone feed stays so until it answers."""
    if old.state == "gone":
        return True
    last = old.fetched_at
    return answer.status == old.status == 410 and last is not None and now - last >= timedelta(days=1)


def _after_its_end(failed: Schedule, old: Schedule, now: datetime, jitter: float) -> Schedule:
    """Schedule a feed that is gone to be tried after 7, 14 and 28 days, then every 28 days."""
    waited = 0.0
    if old.state == "gone" and old.fetched_at is not None:
        waited = (now - old.fetched_at).total_seconds()
    wait = min(max(2 * waited, 7 * DAY), 28 * DAY) * (0.95 + 0.1 * jitter)
    return replace(failed, state="gone", error="gone", next_at=_later(now, wait))


def _is_dead(old: Schedule, now: datetime) -> bool:
    alive_at = old.ok_at or old.first_seen_at
    return alive_at is not None and now - alive_at >= DEAD


def _delay_after_failure(failed: Schedule, answer: Answer, jitter: float) -> float:
    doubled = 2.0 ** min(failed.failures - 1, 20)
    if answer.status == 410:
        return DAY * (1 + 0.1 * jitter)  # at least a day later, so that a second 410 then means gone
    if answer.code == "needs_login":
        return DAY * (0.8 + 0.4 * jitter)
    first = HOUR if answer.code == "forbidden" else max(failed.interval_s, SHORTEST)
    return min(first * doubled, DAY) * (0.8 + 0.4 * jitter)


def _paused(host: Host, retry_after_s: int | None, now: datetime) -> Host:
    wait = min(FIRST_PAUSE * 2 ** min(host.pauses, 10), LONGEST_PAUSE)
    if retry_after_s is not None:
        wait = min(max(retry_after_s, LEAST_ASKED), MOST_ASKED)
    return replace(host, pauses=min(host.pauses + 1, 1_000), paused_until=_later(now, wait))


def _clamped(seconds: int | None) -> int:
    """Limit what a server asks for to reasonable bounds; 0 for values that make no sense."""
    if seconds is None or not 0 <= seconds < ABSURD:
        return 0
    return min(max(seconds, LEAST_ASKED), MOST_ASKED)


def _later(now: datetime, seconds: float) -> datetime:
    return now + timedelta(seconds=seconds)
