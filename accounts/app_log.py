"""Logs what podcast apps requested recently and how they were answered, for their listener to read on /apps.

Each app has one short list in Redis, not rows in PostgreSQL: most requests are polls that find nothing new,
and each of them would write a row, for a log that nobody misses when it is lost. In Redis, a request costs
one script call, and a repeat without anything new only increments the count of the existing line. A list is
deleted with its app, with the account, and two weeks after its last line. Lines are encrypted, because they
may contain addresses that are keys, and Redis writes its data to a file.
"""

from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from hashlib import sha256
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from django.conf import settings
from django.utils.crypto import salted_hmac
from msgspec import Struct

from accounts.attempts import Script, run, unless_away

KEPT_FOR: Final = timedelta(days=14)
# lines per app
MOST: Final = 50
# apps with a log per listener
MOST_APPS: Final = 100
# skipped entries that are kept per request
MOST_SKIPPED: Final = 10
LONGEST_NAME: Final = 300
PREFIX: Final = "balados:applog:"

# A line holds the digest by which repeats are recognised, how often it occurred, the first and the last time,
# and the encrypted entry. A repeat is looked for only among the newest lines, and not beyond one with news.
PUSH: Final = """
local function push(key, repeats, now, oldest, line)
    redis.call('EXPIRE', key, ARGV[1])
    for _, known in ipairs(redis.call('LRANGE', key, 0, 7)) do
        local name, times, first = string.match(known, '^(%S+) (%d+) (%d+) ')
        if name == '-' or repeats == '-' then break end
        if name == repeats then
            redis.call('LREM', key, 1, known)
            redis.call('LPUSH', key, table.concat({name, times + 1, first, now, line}, ' '))
            return
        end
    end
    redis.call('LPUSH', key, table.concat({repeats, 1, now, now, line}, ' '))
    redis.call('EXPIRE', key, ARGV[1])
    redis.call('LTRIM', key, 0, MOST - 1)
    local last = redis.call('LINDEX', key, -1)
    while last and tonumber(string.match(last, '^%S+ %d+ %d+ (%d+) ')) <= tonumber(oldest) do
        redis.call('RPOP', key)
        last = redis.call('LINDEX', key, -1)
    end
end
""".replace("MOST", str(MOST))
# KEYS: the listener's apps. ARGV: seconds to keep, repeats, now, the oldest time kept, line, app, user agent.
NOTE: Final = Script(
    PUSH
    + """
local apps, app = KEYS[1], ARGV[6]
if redis.call('HEXISTS', apps, app) == 0 and redis.call('HLEN', apps) >= MOST_APPS then
    for _, gone in ipairs(redis.call('HKEYS', apps)) do
        if redis.call('EXISTS', apps .. ':' .. gone) == 0 then redis.call('HDEL', apps, gone) end
    end
    if redis.call('HLEN', apps) >= MOST_APPS then return end
end
redis.call('HSET', apps, app, ARGV[7])
redis.call('EXPIRE', apps, ARGV[1])
push(apps .. ':' .. app, ARGV[2], ARGV[3], ARGV[4], ARGV[5])
""".replace("MOST_APPS", str(MOST_APPS))
)
# The same for a caller that is not authenticated: it is logged only for known apps with the same user agent
# apart from the version, so that nobody else can write here.
NOTE_STRANGER: Final = Script(
    PUSH
    + """
local apps = redis.call('HGETALL', KEYS[1])
for place = 1, #apps, 2 do
    if string.match(apps[place + 1], '^[^/]*') == string.match(ARGV[6], '^[^/]*') then
        push(KEYS[1] .. ':' .. apps[place], ARGV[2], ARGV[3], ARGV[4], ARGV[5])
    end
end
"""
)
READ: Final = Script("return redis.call('LRANGE', KEYS[1] .. ':' .. ARGV[1], 0, -1)")
# the user agent and the newest line of each app
LIST_APPS: Final = Script("""
local found = {}
for place, text in ipairs(redis.call('HGETALL', KEYS[1])) do
    table.insert(found, text)
    if place % 2 == 0 then
        table.insert(found, redis.call('LINDEX', KEYS[1] .. ':' .. found[#found - 1], 0) or '')
    end
end
return found
""")
FORGET: Final = Script("""
for _, app in ipairs(ARGV[1] == '' and redis.call('HKEYS', KEYS[1]) or {ARGV[1]}) do
    redis.call('DEL', KEYS[1] .. ':' .. app)
    redis.call('HDEL', KEYS[1], app)
end
""")


class Entry(Struct, frozen=True, omit_defaults=True, gc=False):
    """A request: ``what`` it was (``web/app_log.py`` has the wording), with ``counts`` by name.

    ``skipped``: what was sent and not accepted, with the reason; ``skipped_beside``: how many more.
    ``status``: 200, or that of the refusal. ``is_news``: something was recorded or reported to the app, so
    the line is not merged with others.
    """

    what: str
    counts: dict[str, int] = {}
    skipped: tuple[tuple[str, str], ...] = ()
    skipped_beside: int = 0
    status: int = 200
    is_news: bool = False


class CountedEntry(NamedTuple):
    """An entry that occurred ``times`` times, from ``first`` to ``last``."""

    entry: Entry
    times: int
    first: datetime
    last: datetime


class App(NamedTuple):
    """An app that has a log. ``agent``: its user agent."""

    agent: str
    newest: CountedEntry | None


def app_of(password: UUID | None, agent: str) -> str:
    """Return the key of an app's log: its app password, or without one its user agent."""
    if password is not None:
        return f"p:{password.hex}"
    return f"a:{sha256(agent.encode(errors='replace')).hexdigest()[:32]}"


def note(user_id: UUID, password: UUID | None, agent: str, entry: Entry, now: datetime) -> None:
    """Log a request. Does nothing while Redis is unavailable."""
    app = app_of(password, agent)
    unless_away(lambda: run(NOTE, [_key(user_id)], *_values(entry, now), app, agent))


def note_wrong_password(user_id: UUID, agent: str, now: datetime) -> None:
    """Log a wrong password from a caller with the user agent of one of the listener's apps."""
    values = _values(Entry("wrong_password", status=401), now)
    unless_away(lambda: run(NOTE_STRANGER, [_key(user_id)], *values, agent))


def read(user_id: UUID, app: str, now: datetime) -> list[CountedEntry]:
    """Return the lines of an app, newest first; none while Redis is unavailable."""
    found: list[bytes] = unless_away(lambda: run(READ, [_key(user_id)], app)) or []
    lines = [_line(raw) for raw in found]
    return [line for line in lines if line.last > now - KEPT_FOR]


def apps(user_id: UUID) -> dict[str, App]:
    """Return the apps that have a log; none while Redis is unavailable."""
    found: list[bytes] = unless_away(lambda: run(LIST_APPS, [_key(user_id)])) or []
    return {
        app.decode(): App(agent.decode(errors="replace"), _line(line) if line else None)
        for app, agent, line in zip(found[::3], found[1::3], found[2::3], strict=True)
    }


def delete_lines(user_id: UUID, password: UUID | None = None) -> None:
    """Delete the lines of one app password, or of all apps of a listener."""
    app = "" if password is None else app_of(password, "")
    unless_away(lambda: run(FORGET, [_key(user_id)], app))


def _values(entry: Entry, now: datetime) -> tuple[int, str, int, int, bytes]:
    line = msgspec.json.encode(entry)
    seconds = int(now.timestamp())
    kept = int(KEPT_FOR.total_seconds())
    repeats = "-" if entry.is_news else sha256(line).hexdigest()[:16]
    return kept, repeats, seconds, seconds - kept, _cipher(settings.SECRET_KEY).encrypt(line, None)


def _line(raw: bytes) -> CountedEntry:
    _, times, first, last, sealed = raw.split(b" ", 4)
    entry = _decode(_cipher(settings.SECRET_KEY).decrypt(sealed, None))
    return CountedEntry(entry, int(times), _moment(first), _moment(last))


def _moment(seconds: bytes) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)


@lru_cache(maxsize=4_096)
def _key(user_id: UUID) -> str:
    # a digest, because Redis writes its keys to a file
    return PREFIX + salted_hmac(PREFIX, str(user_id)).hexdigest()


@cache
def _cipher(secret_key: str) -> AESSIV:
    return AESSIV(salted_hmac(PREFIX, "lines", secret=secret_key, algorithm="sha256").digest())


_decode: Any = msgspec.json.Decoder(Entry).decode
