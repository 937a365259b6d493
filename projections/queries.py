"""Reads that the views share. Every page carries the position that it reflects."""

import base64
import binascii
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar, cast, get_args
from uuid import UUID

from eventstore.domain import privacy
from eventstore.domain.identifiers import key_of
from eventstore.domain.privacy import Level
from projections import replicas
from projections.connect import run

PAGE = 100
POSITION = 'SELECT position FROM "users"."projector_positions" WHERE projector = %s'
# The statement that reads a page reads the position in the same snapshot; where the page is empty, the
# outer join still gives the position.
PAGE_SQL = """
SELECT reached.position, page.*
  FROM "users"."projector_positions" AS reached
  LEFT JOIN LATERAL ({page}) page ON true
 WHERE reached.projector = %s
 ORDER BY {order}
"""
SUBSCRIPTIONS = """
SELECT rss_source_feed, rss_source_id, subscribed_at, unsubscribed_at, feed_key
  FROM "users"."subscriptions"
 WHERE user_id = %s {conditions}
 ORDER BY feed_key LIMIT %s
"""
ACTIVE = "AND subscribed_at IS NOT NULL AND (unsubscribed_at IS NULL OR subscribed_at >= unsubscribed_at)"
PLAY_STATUSES = """
SELECT rss_source_feed, rss_source_item, position, played, updated_at, item_key
  FROM "users"."play_statuses"
 WHERE user_id = %s {conditions}
 ORDER BY updated_at {direction}, item_key {direction} LIMIT %s
"""
SAVED_EPISODES = """
SELECT rss_source_feed, rss_source_item, saved_at, item_key
  FROM "users"."saved_episodes"
 WHERE user_id = %s AND saved_at IS NOT NULL AND (unsaved_at IS NULL OR saved_at >= unsaved_at) {conditions}
 ORDER BY saved_at, item_key LIMIT %s
"""
PRIVACY_SETTINGS = """
SELECT level, changed_at, rss_source_feed, rss_source_item, scope_key
  FROM "users"."user_privacy"
 WHERE user_id = %s AND level IS NOT NULL {conditions}
 ORDER BY scope_key LIMIT %s
"""
ACTIVITY = """
SELECT kind, rss_source_feed, rss_source_item, happened_at, withdrawn_at, level, public_id IS NOT NULL, key
  FROM "users"."activity"
 WHERE user_id = %s
"""
FEEDS_NAMED = """
SELECT feed_key, min(rss_source_feed) FROM "users"."activity" WHERE feed_key = ANY(%s) GROUP BY feed_key
"""
# where a listener's own actions tell of which feed an item is
FEED_OF_ITEM = """
SELECT rss_source_feed FROM "users"."play_statuses" WHERE user_id = %(user)s AND item_key = %(item)s
UNION ALL
SELECT rss_source_feed FROM "users"."saved_episodes" WHERE user_id = %(user)s AND item_key = %(item)s
UNION ALL
SELECT rss_source_feed FROM "users"."user_privacy"
 WHERE user_id = %(user)s AND scope_key = %(scope)s AND rss_source_feed IS NOT NULL
 LIMIT 1
"""

Row = TypeVar("Row")


class Behind(Exception):
    """A projector did not come as far as asked within the time given; ``reached`` is how far it came."""

    def __init__(self, projector: str, wanted: int, reached: int) -> None:
        super().__init__(f"{projector} is at {reached}, {wanted} was asked for")
        self.projector, self.wanted, self.reached = projector, wanted, reached


class InvalidCursor(ValueError):
    """Text that no page gave out as its ``next``."""


class Page(NamedTuple, Generic[Row]):
    """``next`` is given back as ``after`` for the next page; none after the last."""

    rows: list[Row]
    next: str | None
    position: int


class SubscriptionRow(NamedTuple):
    rss_source_feed: str
    rss_source_id: str | None
    subscribed_at: datetime | None
    unsubscribed_at: datetime | None

    @property
    def active(self) -> bool:
        if self.subscribed_at is None:
            return False
        return self.unsubscribed_at is None or self.subscribed_at >= self.unsubscribed_at


class PlayStatusRow(NamedTuple):
    rss_source_feed: str
    rss_source_item: str
    position: int
    played: bool
    updated_at: datetime


class SavedEpisodeRow(NamedTuple):
    rss_source_feed: str
    rss_source_item: str
    saved_at: datetime


class PrivacyRow(NamedTuple):
    level: Level
    changed_at: datetime
    rss_source_feed: str | None
    rss_source_item: str | None


class ActivityRow(NamedTuple):
    kind: str
    rss_source_feed: str
    rss_source_item: str | None
    happened_at: datetime | None
    withdrawn_at: datetime | None
    level: str
    shown: bool


def position_of(projector: str) -> int:
    """How far a projector has come; 0 where it never ran."""
    row = run(POSITION, [projector]).fetchone()
    return int(row[0]) if row else 0


def wait_for(projector: str, position: int, seconds: float = 2.0) -> int:
    """Wait until a projector has reached ``position``; returns how far it is. Raises ``Behind``."""
    deadline = time.monotonic() + seconds
    pause = 0.002
    while (reached := position_of(projector)) < position:
        if time.monotonic() + pause > deadline:
            raise Behind(projector, position, reached)
        time.sleep(pause)
        pause = min(pause * 2, 0.02)
    return reached


def subscriptions(
    user_id: UUID, include_removed: bool = False, after: str | None = None, limit: int = PAGE
) -> Page[SubscriptionRow]:
    """The feeds that a listener follows, or with ``include_removed`` ever followed, in a stable order.

    Raises ``InvalidCursor``.
    """
    conditions, values = [] if include_removed else [ACTIVE], []
    if after is not None:
        conditions.append("AND feed_key > %s")
        values.append(key_in(after))
    page = SUBSCRIPTIONS.format(conditions=" ".join(conditions))
    position, found = fetch("subscriptions", page, "page.feed_key", [user_id, *values, limit + 1])
    rows = [SubscriptionRow(*row[:-1]) for row in found[:limit]]
    return Page(rows, encode_cursor(found[limit - 1][-1].hex) if len(found) > limit else None, position)


def play_statuses(
    user_id: UUID,
    feed: str | None = None,
    played: bool | None = None,
    updated_since: datetime | None = None,
    after: str | None = None,
    limit: int = PAGE,
    newest_first: bool = False,
) -> Page[PlayStatusRow]:
    """What a listener heard, the oldest change first: a row that changes during a walk through the pages
    moves ahead of the walker, who so never misses one. ``newest_first`` is for looking, not for walking.

    ``updated_since`` is inclusive. Raises ``InvalidCursor``.
    """
    conditions: list[str] = []
    values: list[Any] = []
    if feed is not None:
        # the digest is what the index holds
        conditions.append("AND md5(rss_source_feed) = md5(%s) AND rss_source_feed = %s")
        values += [feed, feed]
    if played is not None:
        conditions.append("AND played = %s")
        values.append(played)
    if updated_since is not None:
        conditions.append("AND updated_at >= %s")
        values.append(updated_since)
    if after is not None:
        conditions.append(f"AND (updated_at, item_key) {'<' if newest_first else '>'} (%s, %s)")
        values += time_and_key_in(after)
    direction = "DESC" if newest_first else "ASC"
    page = PLAY_STATUSES.format(conditions=" ".join(conditions), direction=direction)
    order = f"page.updated_at {direction}, page.item_key {direction}"
    position, found = fetch("plays", page, order, [user_id, *values, limit + 1])
    rows = [PlayStatusRow(*row[:-1]) for row in found[:limit]]
    if len(found) <= limit:
        return Page(rows, None, position)
    *_, updated_at, key = found[limit - 1]
    return Page(rows, encode_cursor(f"{updated_at.isoformat()} {key.hex}"), position)


def saved_episodes(
    user_id: UUID, feed: str | None = None, after: str | None = None, limit: int = PAGE
) -> Page[SavedEpisodeRow]:
    """What a listener has saved, the oldest first, so that a walk through the pages misses none.

    Raises ``InvalidCursor``.
    """
    conditions: list[str] = []
    values: list[Any] = []
    if feed is not None:
        conditions.append("AND rss_source_feed = %s")
        values.append(feed)
    if after is not None:
        conditions.append("AND (saved_at, item_key) > (%s, %s)")
        values += time_and_key_in(after)
    page = SAVED_EPISODES.format(conditions=" ".join(conditions))
    order = "page.saved_at, page.item_key"
    position, found = fetch("saved", page, order, [user_id, *values, limit + 1])
    rows = [SavedEpisodeRow(*row[:-1]) for row in found[:limit]]
    if len(found) <= limit:
        return Page(rows, None, position)
    return Page(rows, encode_cursor(f"{rows[-1].saved_at.isoformat()} {found[limit - 1][-1].hex}"), position)


def privacy_settings(user_id: UUID, after: str | None = None, limit: int = PAGE) -> Page[PrivacyRow]:
    """Every setting of a listener that was not taken back, in a stable order. Raises ``InvalidCursor``."""
    conditions, values = ("", []) if after is None else ("AND scope_key > %s", [key_in(after)])
    page = PRIVACY_SETTINGS.format(conditions=conditions)
    position, found = fetch("privacy", page, "page.scope_key", [user_id, *values, limit + 1])
    following = encode_cursor(found[limit - 1][-1].hex) if len(found) > limit else None
    return Page([_privacy_row(*row[:-1]) for row in found[:limit]], following, position)


def privacy_of(user_id: UUID, feed: str | None, item: str | None) -> Page[PrivacyRow]:
    """The settings that bear on an item, a feed, or with neither on the account; at most three.

    Of an item without its feed, the feed counts that the listener's own actions tell.
    """
    if feed is None and item is not None:
        keys = {"item": key_of(item), "scope": key_of(privacy.scope_of(None, item))}
        told = run(FEED_OF_ITEM, {"user": user_id, **keys}).fetchone()
        feed = told[0] if told else None
    keys_of_scopes = [key_of(scope) for _, scope in privacy.scopes_of(feed, item)]
    page = PRIVACY_SETTINGS.format(conditions="AND scope_key = ANY(%s::uuid[])")
    position, found = fetch("privacy", page, "page.scope_key", [user_id, keys_of_scopes, 3])
    return Page([_privacy_row(*row[:-1]) for row in found], None, position)


def activity(user_id: UUID) -> Page[ActivityRow]:
    """All that a listener did which others might get to see, with its level, and whether they do see it."""
    position, found = fetch(
        "public_events", ACTIVITY, "page.happened_at, page.kind, page.key, page.rss_source_feed", [user_id]
    )
    return Page([ActivityRow(*row[:-1]) for row in found], None, position)


def feeds_named(feed_keys: Sequence[UUID]) -> dict[UUID, str]:
    """The ``rss_source_feed`` of those digests that listeners' activity tells."""
    return dict(run(FEEDS_NAMED, [list(feed_keys)]).fetchall())


def _privacy_row(level: str, changed_at: datetime, feed: str | None, item: str | None) -> PrivacyRow:
    # a level that this program does not know may hide anything
    known: Level = cast(Level, level) if level in get_args(Level) else "private"
    return PrivacyRow(known, changed_at, feed, item)


def fetch(projector: str, page: str, order: str, values: list[Any]) -> tuple[int, list[tuple[Any, ...]]]:
    """The position of the projector and the rows of the page, of one snapshot; from a replica where that will
    do, else from the primary. Raises when the primary is away.
    """
    statement = PAGE_SQL.format(page=page, order=order)
    if (replica := replicas.choose()) is not None:
        try:
            position, rows = _fetch(statement, [*values, projector], replica)
        except replicas.FAILURES as failure:
            replicas.leave_out(replica, failure)
        else:
            if replicas.is_enough(projector, position):
                return position, rows
    return _fetch(statement, [*values, projector], "projections")


def _fetch(statement: str, values: list[Any], alias: str) -> tuple[int, list[tuple[Any, ...]]]:
    found = run(statement, values, alias).fetchall()
    if not found:
        return 0, []
    # the key is never null in a row, so it tells the empty page
    return int(found[0][0]), [row[1:] for row in found if row[-1] is not None]


def encode_cursor(text: str) -> str:
    """A place in a list as a page gives it out."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    """Raises ``InvalidCursor``."""
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error) as error:
        raise InvalidCursor(cursor) from error


def key_in(cursor: str) -> UUID:
    try:
        return UUID(hex=decode_cursor(cursor))
    except ValueError as error:
        raise InvalidCursor(cursor) from error


def time_and_key_in(cursor: str) -> tuple[datetime, UUID]:
    try:
        updated_at, key = decode_cursor(cursor).split(" ")
        moment = datetime.fromisoformat(updated_at)
        if moment.tzinfo is None:
            raise InvalidCursor(cursor)
        return moment, UUID(hex=key)
    except ValueError as error:
        raise InvalidCursor(cursor) from error
