"""Decides which of a player's requests counts as a play, from the request itself and from earlier
ones, which Redis remembers.

A player sends many requests while somebody listens once: to probe, to seek, to continue. The first
request that starts at the beginning of the file counts, if there was none for this listener and
episode in the ten minutes before.
"""

import re
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import Enum
from functools import lru_cache
from typing import Any, Final, TypeAlias
from uuid import UUID

import redis

from accounts import attempts
from accounts.attempts import Script
from playgateway import digests
from playgateway.tokens import Bearer

# a listener and an episode
Session: TypeAlias = tuple[UUID, int]

# a listening session ends after this long without requests, and after the second duration in any case
WINDOW: Final = timedelta(minutes=10)
LONGEST: Final = timedelta(hours=6)
# An app that fills its storage requests many episodes at once. A listener skips through a few at most.
BURST, BURST_WITHIN = 4, timedelta(seconds=60)
PREFIX: Final = "balados:playing:"
# Seconds that a listener waits for Redis to answer, and for which Redis is not asked again after a failure.
TIMEOUT, PAUSE = 0.05, 5.0
# KEYS: the key of the listening session, and of the token's most recent episodes. ARGV: now, window, longest
# duration, the episode, duration and size of a burst; times in milliseconds. Runs as one atomic step: of two
# simultaneous requests only one counts as a play.
BEGIN: Final = Script("""
local now, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local began = tonumber(redis.call('GET', KEYS[1]))
if began and now - began < tonumber(ARGV[3]) then
    redis.call('PEXPIRE', KEYS[1], window)
    return 0
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - tonumber(ARGV[5]))
redis.call('ZADD', KEYS[2], 'NX', now, ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[5])
if redis.call('ZRANK', KEYS[2], ARGV[4]) >= tonumber(ARGV[6]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', window)
return 1
""")
# KEYS: the keys of listening sessions, or of none. ARGV: as above, the first three.
EXTEND: Final = Script("""
for _, key in ipairs(KEYS) do
    local began = tonumber(redis.call('GET', key))
    if began and tonumber(ARGV[1]) - began < tonumber(ARGV[3]) then
        redis.call('PEXPIRE', key, ARGV[2])
    end
end
""")
# headers of browsers that fetch what a person may want next
PURPOSES: Final = ("HTTP_SEC_PURPOSE", "HTTP_PURPOSE", "HTTP_X_MOZ")
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


def kind_of(method: str | None, meta: Mapping[str, Any]) -> Kind:
    """Classify a request by its own content. ``meta``: its headers, as WSGI has them."""
    if method != "GET" or any("prefetch" in meta.get(name, "").lower() for name in PURPOSES):
        return Kind.LOOKS
    if _is_previewer(meta.get("HTTP_USER_AGENT", "")):
        return Kind.LOOKS
    asked = meta.get("HTTP_RANGE")
    if "HTTP_IF_RANGE" in meta:
        return Kind.GOES_ON
    begins = asked is None or _FROM_THE_BEGINNING.fullmatch(asked.strip())
    return Kind.BEGINS if begins else Kind.GOES_ON


@lru_cache(maxsize=256)
def _is_previewer(user_agent: str) -> bool:
    return _PREVIEWERS.search(user_agent) is not None


def is_new(bearer: Bearer, episode_id: int) -> bool:
    """Whether a request from the beginning of the file begins a listening session; if so, remember it.
    Otherwise extend the session that it belongs to. Raises ``Unknown``."""
    keys = [_key_of_session((bearer.user_id, episode_id)), _key(f"token {bearer.token_id}")]
    return bool(_run(BEGIN, keys, _ms(WINDOW), _ms(LONGEST), episode_id, _ms(BURST_WITHIN), BURST))


def extend(sessions: Sequence[Session]) -> None:
    """Extend those of the sessions that have begun. Raises ``Unknown``."""
    _run(EXTEND, [_key_of_session(each) for each in sessions], _ms(WINDOW), _ms(LONGEST))


def _run(script: Script, keys: Sequence[str], *values: int) -> Any:
    global _away_until
    now = time.monotonic()
    if now < _away_until:
        raise Unknown
    try:
        return attempts.run(script, keys, int(time.time() * 1_000), *values, timeout=TIMEOUT)
    except redis.RedisError as error:
        _away_until = now + PAUSE
        raise Unknown from error


_away_until = 0.0


def _key_of_session(session: Session) -> str:
    user_id, episode_id = session
    return _key(f"{user_id} {episode_id}")


def _key(who: str) -> str:
    # a digest: Redis stores its data in a file, which would otherwise still name erased listeners
    return f"{PREFIX}{digests.keyed(PREFIX, who).hex()}"


def _ms(duration: timedelta) -> int:
    return int(duration / timedelta(milliseconds=1))
