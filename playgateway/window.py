"""Decides which of a player's requests counts as a play, from the request itself and from earlier
ones, which Redis remembers.

A player sends many requests while somebody listens once: to probe, to seek, to continue. The first
request that starts at the beginning of the file counts, if there was none for this listener and
episode in the ten minutes before.
"""

import re
import time
from datetime import timedelta
from enum import Enum
from functools import cache
from typing import Final

import redis
from django.conf import settings
from django.http import HttpRequest
from django.utils.crypto import salted_hmac
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.retry import Retry

from playgateway.tokens import Bearer

# a listening session ends after this long without requests, and after the second duration in any case
WINDOW: Final = timedelta(minutes=10)
LONGEST: Final = timedelta(hours=6)
# An app that fills its storage requests many episodes at once. A listener skips through a few at most.
BURST, BURST_WITHIN = 4, timedelta(seconds=60)
PREFIX: Final = "balados:playing:"
# Seconds that a listener waits for Redis to answer, and for which Redis is not asked again after a failure.
TIMEOUT, PAUSE = 0.05, 5.0
# KEYS: the key of the listening session, and of the token's most recent episodes. ARGV: now, window, longest
# duration, whether this request begins a session, the episode, duration and size of a burst; times in
# milliseconds. Runs as one atomic step: of two simultaneous requests only one counts as a play.
SCRIPT: Final = """
local now, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local began = tonumber(redis.call('GET', KEYS[1]))
if began and now - began < tonumber(ARGV[3]) then
    redis.call('PEXPIRE', KEYS[1], window)
    return 0
end
if ARGV[4] == '0' then return 0 end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - tonumber(ARGV[6]))
redis.call('ZADD', KEYS[2], 'NX', now, ARGV[5])
redis.call('PEXPIRE', KEYS[2], ARGV[6])
if redis.call('ZRANK', KEYS[2], ARGV[5]) >= tonumber(ARGV[7]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', window)
return 1
"""
_FROM_THE_BEGINNING = re.compile(r"bytes\s*=\s*0\s*-\s*\d*\s*", re.ASCII | re.IGNORECASE)
_PREVIEWERS = re.compile(
    r"bot\b|crawler|spider|facebookexternalhit|whatsapp/|skypeuripreview|slack-imgproxy|embedly|preview|"
    r"mastodon/|pleroma|iframely|bingpreview|google-safety|validator",
    re.IGNORECASE,
)


class Kind(Enum):
    """What a request is: the beginning of a listening session, part of one, or neither."""

    BEGINS = "begins"
    GOES_ON = "goes on"
    LOOKS = "looks"


class Unknown(Exception):
    """Redis cannot say whether this is a new listening session."""


def kind_of(request: HttpRequest) -> Kind:
    """Classify a request by its own content."""
    headers = request.headers
    purpose = f"{headers.get('Sec-Purpose', '')} {headers.get('Purpose', '')} {headers.get('X-Moz', '')}"
    if request.method != "GET" or "prefetch" in purpose.lower():
        return Kind.LOOKS
    if _PREVIEWERS.search(headers.get("User-Agent", "")):
        return Kind.LOOKS
    asked = headers.get("Range")
    if "If-Range" in headers:
        return Kind.GOES_ON
    begins = asked is None or _FROM_THE_BEGINNING.fullmatch(asked.strip())
    return Kind.BEGINS if begins else Kind.GOES_ON


def is_new(kind: Kind, bearer: Bearer, episode_id: int) -> bool:
    """Whether a request begins a listening session that was not known yet; if so,
    remember it. Raises ``Unknown``."""
    global _away_until
    if kind is Kind.LOOKS:
        return False
    now = time.monotonic()
    if now < _away_until:
        raise Unknown
    keys = [_key(f"{bearer.user_id} {episode_id}"), _key(f"token {bearer.token_id}")]
    begins = "1" if kind is Kind.BEGINS else "0"
    times: list[int | str] = [_ms(WINDOW), _ms(LONGEST), begins, episode_id, _ms(BURST_WITHIN), BURST]
    try:
        return bool(_script(settings.REDIS_URL)(keys=keys, args=[int(time.time() * 1_000), *times]))
    except redis.RedisError as error:
        _away_until = now + PAUSE
        raise Unknown from error


_away_until = 0.0


def forget_outage() -> None:
    """Ask Redis again at once (for tests)."""
    global _away_until
    _away_until = 0.0


def _key(who: str) -> str:
    # a digest: Redis stores its data in a file, which would otherwise still name erased listeners
    return f"{PREFIX}{salted_hmac(PREFIX, who).hexdigest()}"


def _ms(duration: timedelta) -> int:
    return int(duration / timedelta(milliseconds=1))


@cache
def _script(url: str) -> Script:
    client = redis.Redis.from_url(
        url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, retry=Retry(NoBackoff(), 0)
    )
    return client.register_script(SCRIPT)
