"""Adds the rows of feeds and of their hosts, and helpers for the store's statements. Store: system."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID
from zlib import crc32

import msgspec
from django.db import transaction
from psycopg import Cursor

from eventstore.domain.identifiers import feed_key_of, url_of_feed
from eventstore.domain.secrets import is_secret_feed
from projections.connect import run

SLOTS: Final = 64
# how long a feed without followers is refreshed after somebody asked for it
WANTED_FOR: Final = timedelta(days=30)

# In the FROM of a statement: its commit does not wait for the disk. For what is written because of a
# fetch: if a crash of PostgreSQL takes the last of it back, the feeds are due again.
UNSYNCED: Final = "set_config('synchronous_commit', 'off', true)"

KNOWN = "SELECT feed_key, feed_id FROM system.feed_aliases WHERE feed_key = ANY(%s)"
GIVEN = """WITH given AS (SELECT * FROM jsonb_to_recordset(%s) AS row (
    feed_key uuid, url text, host text, slot smallint, is_secret boolean, next_at timestamptz,
    asked_at timestamptz))
"""
# Rows are inserted in one fixed order, so that two of these statements at a time cannot deadlock.
NEW_HOSTS = (
    "INSERT INTO system.feed_hosts (name) SELECT DISTINCT host FROM given ORDER BY 1 ON CONFLICT DO NOTHING"
)
NEW_FEEDS = """INSERT INTO system.feeds (uid, url, is_secret)
SELECT gen_random_uuid(), url, is_secret FROM given ORDER BY url
    ON CONFLICT (url) DO NOTHING RETURNING id"""
NEW_ALIASES = """INSERT INTO system.feed_aliases (feed_key, url, feed_id)
SELECT given.feed_key, url, feeds.id FROM given JOIN system.feeds USING (url) ORDER BY url
    ON CONFLICT DO NOTHING"""
NEW_SCHEDULES = """INSERT INTO system.feed_schedule (feed_id, host_id, slot, next_at, asked_at)
SELECT feeds.id, feed_hosts.id, slot, next_at, asked_at
  FROM given JOIN system.feeds USING (url) JOIN system.feed_hosts ON feed_hosts.name = host ORDER BY url
    ON CONFLICT DO NOTHING"""
# Updating asked_at once an hour is enough to record that somebody still wants a feed. In the order of ids, to
# avoid deadlocks as above.
ASKED = """UPDATE system.feed_schedule AS known
   SET asked_at = %(now)s, next_at = coalesce(known.next_at, %(now)s)
  FROM (SELECT feed_id FROM system.feed_schedule WHERE feed_id = ANY(%(ids)s)
           AND (next_at IS NULL OR asked_at IS NULL OR asked_at < %(now)s - interval '1 hour')
         ORDER BY feed_id FOR UPDATE) AS wanted
 WHERE known.feed_id = wanted.feed_id"""


class Ensured(NamedTuple):
    """``ids``: the ids of the given feeds by their names; ``new``: the ids of those not known before."""

    ids: dict[str, int]
    new: list[int]


def ensure(
    feeds: Iterable[str], now: datetime, *, asked: bool = False, spread: timedelta = timedelta(0)
) -> Ensured:
    """Add those of these feeds (normalised ``rss_source_feed``) that are unknown; new feeds are due at once.

    ``asked``: somebody wants them now, so they are refreshed even while nobody follows them. ``spread``: the
    time over which the new ones become due, one after the other. May be repeated.
    """
    names = {feed_key_of(feed): feed for feed in feeds}
    known = _known(names)
    missing = sorted(names.keys() - known.keys(), key=lambda key: names[key])
    new = _add(missing, names, now, asked, spread) if missing else []
    if missing:
        known |= _known(missing)
    if asked and len(known) > len(new):
        run(ASKED, {"now": now, "ids": sorted(set(known.values()) - set(new))}, "system")
    return Ensured({names[key]: feed_id for key, feed_id in known.items()}, new)


def host_of(url: str) -> str:
    """Return the host of a feed's address, without its port: limits on requests apply per host."""
    return urlsplit(url).hostname or ""


def slot_of(host: str) -> int:
    """Return to which of the 64 shares of the work a host belongs: one pump serves all its feeds."""
    return crc32(host.encode()) % SLOTS


def as_rows(rows: Sequence[Any]) -> str:
    """Return rows as the parameter of ``jsonb_to_recordset``."""
    return msgspec.json.encode(rows).decode()


def execute(statement: str, parameters: Any = ()) -> Cursor[tuple[Any, ...]]:
    return run(statement, parameters, "system")


def _known(keys: Iterable[str]) -> dict[str, int]:
    rows: Iterable[tuple[UUID, int]] = execute(KNOWN, [list(keys)])
    return {key.hex: feed_id for key, feed_id in rows}


def _add(
    keys: Sequence[str], names: dict[str, str], now: datetime, asked: bool, spread: timedelta
) -> list[int]:
    """Add the rows of unknown feeds; returns the ids of those that no other process added meanwhile."""
    step = spread / len(keys)
    given = as_rows(
        [
            _row(key, names[key], now + number * step, now if asked else None)
            for number, key in enumerate(keys)
        ]
    )
    with transaction.atomic(using="system"):
        execute(GIVEN + NEW_HOSTS, [given])
        new = [feed_id for (feed_id,) in execute(GIVEN + NEW_FEEDS, [given])]
        execute(GIVEN + NEW_ALIASES, [given])
        execute(GIVEN + NEW_SCHEDULES, [given])
    return new


def _row(key: str, feed: str, next_at: datetime, asked_at: datetime | None) -> dict[str, Any]:
    url = url_of_feed(feed)
    host = host_of(url)
    return {
        "feed_key": key,
        "url": url,
        "host": host,
        "slot": slot_of(host),
        "is_secret": is_secret_feed(feed),
        "next_at": next_at,
        "asked_at": asked_at,
    }
