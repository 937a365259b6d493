"""What others may see of one listener, for that listener to look at: all acts with their levels, public acts,
and previews.

A preview says what a change of levels would alter. All of it follows the rule of the projector of public rows
(``showing.JUDGED``).
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast
from uuid import UUID

import msgspec
from django.conf import settings

from eventstore.domain import privacy
from eventstore.domain.identifiers import digests_of, feed_key_of, key_of
from eventstore.domain.privacy import Level, PrivacySetting
from eventstore.domain.secrets import is_secret_feed
from projections.connect import run
from projections.projectors.public_events import NO_KEY, keys_of
from projections.projectors.showing import JUDGED
from projections.queries import PRIVACY_SETTINGS, Page, fetch

# a feed and one of its items, or a feed and None
Scope = tuple[str, str | None]
# the most acts in a preview, which has the newest
MOST_ACTS = 5_000

ACTIVITY = """
SELECT kind, rss_source_feed, rss_source_item, happened_at, withdrawn_at, level, public_id IS NOT NULL, key
  FROM "users"."activity"
 WHERE user_id = %s
"""
FEEDS_NAMED = """
SELECT feed_key, min(rss_source_feed) FROM "users"."activity" WHERE feed_key = ANY(%s) GROUP BY feed_key
"""
BLOCKED = """
SELECT feed_key FROM "users"."blocked_feeds"
 WHERE feed_key = ANY(%s) AND (publisher_since IS NOT NULL OR operator_since IS NOT NULL)
"""
# Reads with the levels as they would be after the changes.
CHANGED = """
WITH changes AS (
    SELECT * FROM jsonb_to_recordset(%(changes)s::jsonb) AS change (feed_key uuid, item_key uuid, level text)
),
levels AS (
    SELECT user_id, feed_key, item_key, level FROM "users"."activity_levels"
     WHERE user_id = %(user)s AND (feed_key, item_key) NOT IN (SELECT feed_key, item_key FROM changes)
    UNION ALL SELECT %(user)s, feed_key, item_key, level FROM changes
),
{judged}
{read}
"""
TABLES = {"levels": "levels", "blocked": '"users"."blocked_feeds"'}
ACTS = '(SELECT * FROM "users"."activity" WHERE user_id = %(user)s) a'
# Subscriptions in the columns of acts. They are never forgotten, while the activity drops a subscription
# after the retention period.
FOLLOW_COLUMNS = """user_id, feed_key, rss_source_feed, NULL::uuid AS item_key, false AS secret,
           subscribed_at AS happened_at, unsubscribed_at AS withdrawn_at, NULL::timestamptz AS arrived_at"""
FOLLOWS = """(
    SELECT {columns} FROM "users"."subscriptions"
     WHERE user_id = %(user)s AND subscribed_at IS NOT NULL) a"""
ALTERED = """
SELECT * FROM (
    SELECT wanted.kind, wanted.rss_source_feed, wanted.rss_source_item, wanted.happened_at,
           CASE WHEN p.id IS NULL THEN 'private' WHEN p.user_id IS NULL THEN 'anonymous'
                ELSE 'public' END AS before,
           CASE WHEN shown THEN in_force ELSE 'private' END AS after
      FROM wanted LEFT JOIN "public"."public_events" p ON p.id = wanted.public_id) AS compared
 WHERE before <> after ORDER BY happened_at DESC LIMIT %(limit)s
"""
FOLLOWED = "SELECT rss_source_feed, in_force FROM wanted WHERE stands"
SEEN = """
SELECT a.kind, a.rss_source_feed, p.rss_source_item, p.happened_at, p.user_id IS NOT NULL,
       count(*) FILTER (WHERE p.user_id IS NOT NULL) OVER (), count(*) OVER ()
  FROM "users"."activity" a JOIN "public"."public_events" p ON p.id = a.public_id
 WHERE a.user_id = %(user)s ORDER BY p.happened_at DESC, p.id LIMIT %(limit)s
"""
NEWEST = """
SELECT kind, rss_source_feed, rss_source_item, least(happened_at, arrived_at) FROM "users"."activity"
 WHERE user_id = %(user)s AND NOT secret AND happened_at >= coalesce(withdrawn_at, happened_at)
 ORDER BY kind = 'play' DESC, happened_at DESC LIMIT 1
"""
COUNT = """
SELECT count(*) FROM "users"."activity"
 WHERE user_id = %(user)s AND NOT secret AND happened_at >= coalesce(withdrawn_at, happened_at)
   AND feed_key = %(feed)s AND (%(item)s::uuid IS NULL OR item_key = %(item)s)
"""


class Change(NamedTuple):
    """A level for an episode, for a podcast, or, with neither, for the account; None clears the setting."""

    feed: str | None
    item: str | None
    level: Level | None


class Act(NamedTuple):
    """A recent act that others may see: ``kind`` as in ``public.public_events``."""

    kind: str
    rss_source_feed: str
    rss_source_item: str | None
    happened_at: datetime


class ActivityRow(NamedTuple):
    kind: str
    rss_source_feed: str
    rss_source_item: str | None
    happened_at: datetime | None
    withdrawn_at: datetime | None
    level: str
    shown: bool


class Altered(NamedTuple):
    """An act of which others see something different ``after`` a change than ``before``."""

    kind: str
    rss_source_feed: str
    rss_source_item: str | None
    happened_at: datetime
    before: Level
    after: Level


class PublicActs(NamedTuple):
    """What others see of the last weeks, newest first: each act, and whether it shows the listener's name.

    ``named`` and ``unnamed`` count the acts with and without the name.
    """

    acts: list[tuple[Act, bool]]
    named: int
    unnamed: int


def default_level() -> Level:
    """Return the level of listeners who have set none."""
    return cast(Level, settings.DEFAULT_PRIVACY)


def activity(user_id: UUID) -> Page[ActivityRow]:
    """Return all that a listener did which others might get to see, with its level, and whether they do see
    it."""
    position, found = fetch(
        "public_events", ACTIVITY, "page.happened_at, page.kind, page.key, page.rss_source_feed", [user_id]
    )
    return Page([ActivityRow(*row[:-1]) for row in found], None, position)


def feeds_named(feed_keys: Sequence[UUID]) -> dict[UUID, str]:
    """Return the ``rss_source_feed`` of those digests that occur in listeners' activity."""
    return dict(run(FEEDS_NAMED, [list(feed_keys)]).fetchall())


def blocked(feeds: Iterable[str]) -> set[str]:
    """Return those of these normalised feeds of which nothing is public, whatever the levels."""
    keys = {UUID(feed_key_of(feed)): feed for feed in feeds}
    return {keys[key] for (key,) in run(BLOCKED, [list(keys)])} if keys else set()


def settings_of(user_id: UUID, scopes: Sequence[Scope]) -> dict[str, PrivacySetting]:
    """Return a listener's settings that apply to these feeds and episodes, and the account's.

    The keys are those of ``privacy.scope_of``.
    """
    bearing = {scope for feed, item in scopes for _, scope in privacy.scopes_of(feed, item)}
    keys = [key_of(scope) for scope in {*bearing, privacy.ACCOUNT}]
    found = PRIVACY_SETTINGS.page([user_id], {"scope_key = ANY(%s::uuid[])": keys}, limit=len(keys)).rows
    return {
        privacy.scope_of(row.rss_source_feed, row.rss_source_item): PrivacySetting(
            row.level, row.changed_at, row.rss_source_feed, row.rss_source_item
        )
        for row in found
    }


def preview(user_id: UUID, changes: Sequence[Change], limit: int = MOST_ACTS) -> list[Altered]:
    """Return the acts of which others would see something different after these changes, newest first."""
    values = {**_values(user_id, changes), "limit": limit}
    return [Altered._make(row) for row in run(_changed(ACTS, ALTERED), values)]


def followed(user_id: UUID, changes: Sequence[Change] = ()) -> dict[str, Level]:
    """Return the level of each podcast that a listener follows, now or after these changes."""
    follows = FOLLOWS.format(columns=FOLLOW_COLUMNS)
    found = dict(run(_changed(follows, FOLLOWED), _values(user_id, changes)).fetchall())
    return {feed: "private" if is_secret_feed(feed) else level for feed, level in found.items()}


def seen(user_id: UUID, limit: int) -> PublicActs:
    """Return what others see now."""
    rows = run(SEEN, {"user": user_id, "limit": limit}).fetchall()
    named, total = rows[0][-2:] if rows else (0, 0)
    return PublicActs([(Act._make(row[:4]), row[4]) for row in rows], named, total - named)


def newest(user_id: UUID) -> Act | None:
    """Return the newest thing that a listener did which others might see, preferably a play."""
    row = run(NEWEST, {"user": user_id}).fetchone()
    return Act._make(row) if row else None


def count(user_id: UUID, feed: str, item: str | None) -> int:
    """Count the acts of the last weeks that a level for this podcast, or episode, would apply to."""
    feed_key, item_key = digests_of(feed, item)
    row = run(COUNT, {"user": user_id, "feed": feed_key, "item": item_key}).fetchone()
    return int(row[0]) if row else 0


def _changed(acts: str, read: str) -> str:
    """Return a statement that does ``read`` on the acts, judged with the levels as they would be."""
    return CHANGED.format(judged=JUDGED.format(acts=acts).format(**TABLES), read=read)


def _values(user_id: UUID, changes: Sequence[Change]) -> dict[str, Any]:
    rows = [
        {"feed_key": feed_key, "item_key": item_key, "level": change.level}
        for change in changes
        for feed_key, item_key in [keys_of(change.feed, change.item)]
    ]
    encoded = msgspec.json.encode(rows).decode()
    return {"user": user_id, "changes": encoded, "default": default_level(), "no_key": NO_KEY}
