"""Reads of playlists and collections: which there are, and what is in one, in its order."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from projections.queries import PAGE, InvalidCursor, Page, decode_cursor, encode_cursor, fetch, key_in

EXISTS = "(deleted_at IS NULL OR updated_at >= deleted_at)"
IS_IN = "added_at IS NOT NULL AND (removed_at IS NULL OR added_at >= removed_at)"
# The place of those that were added since the order was given: after all others.
LAST = 2**31 - 1
PLAYLISTS = """
SELECT name, description, is_public, updated_at, count_of.members, playlist_id
  FROM "users"."playlists" list, LATERAL (SELECT count(*) AS members FROM "users"."playlist_items" member
       WHERE member.user_id = list.user_id AND member.playlist_id = list.playlist_id AND {is_in}) count_of
 WHERE user_id = %s AND {exists} {conditions}
 ORDER BY playlist_id LIMIT %s
"""
COLLECTIONS = """
SELECT name, description, color, is_public, is_default, updated_at, count_of.members, collection_id
  FROM "users"."collections" list, LATERAL (SELECT count(*) AS members FROM "users"."collection_feeds" member
       WHERE member.user_id = list.user_id AND member.collection_id = list.collection_id
         AND {is_in}) count_of
 WHERE user_id = %s AND {exists} {conditions}
 ORDER BY collection_id LIMIT %s
"""
# The places are looked up in one object, made once: a join with the order takes minutes for 50,000 members
# where the planner expects ten.
ITEMS = """
WITH list AS MATERIALIZED (SELECT user_id, playlist_id, item_order FROM "users"."playlists"
                            WHERE user_id = %s AND playlist_id = %s AND {exists}),
     arranged AS (SELECT rss_source_feed, rss_source_item, item_title, feed_title, added_at,
                         coalesce((({places}) ->> rss_source_item)::bigint, {last}) AS place, item_key
                    FROM list JOIN "users"."playlist_items" USING (user_id, playlist_id) WHERE {is_in})
SELECT * FROM arranged {conditions} ORDER BY place, added_at, item_key LIMIT %s
"""
FEEDS = """
WITH list AS MATERIALIZED (SELECT user_id, collection_id, feed_order FROM "users"."collections"
                            WHERE user_id = %s AND collection_id = %s AND {exists}),
     arranged AS (SELECT rss_source_feed, added_at,
                         coalesce((({places}) ->> rss_source_feed)::bigint, {last}) AS place, feed_key
                    FROM list JOIN "users"."collection_feeds" USING (user_id, collection_id) WHERE {is_in})
SELECT * FROM arranged {conditions} ORDER BY place, added_at, feed_key LIMIT %s
"""
PLACES = """
SELECT jsonb_object_agg(name, place) FROM list, unnest({order}) WITH ORDINALITY AS placed (name, place)
"""

Row = TypeVar("Row")


class PlaylistRow(NamedTuple):
    """``items``: how many are in it."""

    id: UUID
    name: str
    description: str | None
    is_public: bool
    updated_at: datetime
    items: int


class PlaylistItemRow(NamedTuple):
    rss_source_feed: str
    rss_source_item: str
    item_title: str | None
    feed_title: str | None
    added_at: datetime


class CollectionRow(NamedTuple):
    """``feeds``: how many are in it."""

    id: UUID
    name: str
    description: str | None
    color: str | None
    is_public: bool
    is_default: bool
    updated_at: datetime
    feeds: int


class CollectionFeedRow(NamedTuple):
    rss_source_feed: str
    added_at: datetime


def playlists(user_id: UUID, after: str | None = None, limit: int = PAGE) -> Page[PlaylistRow]:
    """A listener's playlists in a stable order. Raises ``InvalidCursor``."""
    return _lists("playlists", PLAYLISTS, "playlist_id", user_id, after, limit, _playlist)


def playlist(user_id: UUID, playlist_id: UUID) -> Page[PlaylistRow]:
    """One of a listener's playlists; a page without rows where there is none of that id."""
    return _one("playlists", PLAYLISTS, "playlist_id", user_id, playlist_id, _playlist)


def playlist_items(
    user_id: UUID, playlist_id: UUID, after: str | None = None, limit: int = PAGE
) -> Page[PlaylistItemRow]:
    """What is in a playlist, in its order. Raises ``InvalidCursor``."""
    return _members(
        "playlists", ITEMS, "item_key", [user_id, playlist_id], after, limit, PlaylistItemRow._make
    )


def collections(user_id: UUID, after: str | None = None, limit: int = PAGE) -> Page[CollectionRow]:
    """A listener's collections in a stable order. Raises ``InvalidCursor``."""
    return _lists("collections", COLLECTIONS, "collection_id", user_id, after, limit, _collection)


def collection(user_id: UUID, collection_id: UUID) -> Page[CollectionRow]:
    """One of a listener's collections; a page without rows where there is none of that id."""
    return _one("collections", COLLECTIONS, "collection_id", user_id, collection_id, _collection)


def collection_feeds(
    user_id: UUID, collection_id: UUID, after: str | None = None, limit: int = PAGE
) -> Page[CollectionFeedRow]:
    """The feeds of a collection, in its order. Raises ``InvalidCursor``."""
    return _members(
        "collections", FEEDS, "feed_key", [user_id, collection_id], after, limit, CollectionFeedRow._make
    )


def _lists(
    projector: str,
    statement: str,
    key: str,
    user_id: UUID,
    after: str | None,
    limit: int,
    shape: Callable[[tuple[Any, ...]], Row],
) -> Page[Row]:
    conditions, values = ("", []) if after is None else (f"AND {key} > %s", [key_in(after)])
    page = statement.format(is_in=IS_IN, exists=EXISTS, conditions=conditions)
    position, found = fetch(projector, page, f"page.{key}", [user_id, *values, limit + 1])
    following = encode_cursor(found[limit - 1][-1].hex) if len(found) > limit else None
    return Page([shape(row) for row in found[:limit]], following, position)


def _one(
    projector: str,
    statement: str,
    key: str,
    user_id: UUID,
    list_id: UUID,
    shape: Callable[[tuple[Any, ...]], Row],
) -> Page[Row]:
    page = statement.format(is_in=IS_IN, exists=EXISTS, conditions=f"AND {key} = %s")
    position, found = fetch(projector, page, f"page.{key}", [user_id, list_id, 1])
    return Page([shape(row) for row in found], None, position)


def _members(
    projector: str,
    statement: str,
    key: str,
    values: list[Any],
    after: str | None,
    limit: int,
    shape: Callable[[tuple[Any, ...]], Row],
) -> Page[Row]:
    conditions = ""
    if after is not None:
        conditions = f"WHERE (place, added_at, {key}) > (%s, %s, %s)"
        values = [*values, *_place_in(after)]
    places = PLACES.format(order=key.replace("_key", "_order"))
    page = statement.format(is_in=IS_IN, exists=EXISTS, places=places, last=LAST, conditions=conditions)
    order = f"page.place, page.added_at, page.{key}"
    position, found = fetch(projector, page, order, [*values, limit + 1])
    rows = [shape(row[:-2]) for row in found[:limit]]
    if len(found) <= limit:
        return Page(rows, None, position)
    *_, added_at, place, digest = found[limit - 1]
    return Page(rows, encode_cursor(f"{place} {added_at.isoformat()} {digest.hex}"), position)


def _place_in(cursor: str) -> tuple[int, datetime, UUID]:
    try:
        place, added_at, digest = decode_cursor(cursor).split(" ")
        moment = datetime.fromisoformat(added_at)
        if moment.tzinfo is None or not place.isascii() or not place.isdigit() or int(place) > LAST:
            raise InvalidCursor(cursor)
        return int(place), moment, UUID(hex=digest)
    except ValueError as error:
        raise InvalidCursor(cursor) from error


def _playlist(row: tuple[Any, ...]) -> PlaylistRow:
    *fields, key = row
    return PlaylistRow(key, *fields)


def _collection(row: tuple[Any, ...]) -> CollectionRow:
    *fields, key = row
    return CollectionRow(key, *fields)
