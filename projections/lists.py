"""Reads of playlists and collections: which there are, and the members of one, in its order."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast
from uuid import UUID

from eventstore.domain.identifiers import episode_key, feed_key_of
from projections.connect import run
from projections.queries import PAGE, Page, Query, Row, key, moment

# The place of members added since the order was set: after all others.
LAST = 2**31 - 1
EXISTS = "(deleted_at IS NULL OR updated_at >= deleted_at)"
IS_IN = "added_at IS NOT NULL AND (removed_at IS NULL OR added_at >= removed_at)"
COUNT = """
(SELECT count(*) FROM "users"."{members}" member
  WHERE member.user_id = list.user_id AND member.{id} = list.{id} AND {is_in})
"""
# The places are looked up in one JSON object, built once: joining with the order takes minutes for 50,000
# members when the planner expects ten.
MEMBERS = """(
    WITH list AS MATERIALIZED (SELECT user_id, {id}, {order} FROM "users"."{lists}"
                                WHERE user_id = %s AND {id} = %s AND {exists}),
         places AS MATERIALIZED (SELECT jsonb_object_agg(name, place) AS by_name
                                   FROM list, unnest({order}) WITH ORDINALITY AS placed (name, place))
    SELECT *, coalesce(((SELECT by_name FROM places) ->> {name})::bigint, {last}) AS place
      FROM list JOIN "users"."{members}" USING (user_id, {id}) WHERE {is_in}) AS member
 WHERE true"""

# The feeds that a list's picture is made of. They are chosen by the time of adding, so that the places of an
# order, which may be thousands, need not be looked up.
LATEST_FEEDS = """
SELECT wanted.id, member.rss_source_feed
  FROM unnest(%s::uuid[]) AS wanted (id)
 CROSS JOIN LATERAL (
       SELECT rss_source_feed, max(added_at) AS at FROM "users"."{members}"
        WHERE user_id = %s AND {id} = wanted.id AND {is_in}
        GROUP BY rss_source_feed ORDER BY at DESC, rss_source_feed LIMIT %s) AS member
 ORDER BY wanted.id, member.at DESC, member.rss_source_feed
"""
HOLDING = """
SELECT list.{id} FROM "users"."{lists}" AS list JOIN "users"."{members}" AS member USING (user_id, {id})
 WHERE list.user_id = %s AND {exists} AND member.{key} = %s::uuid AND {is_in}
"""


def _place(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > LAST:
        raise ValueError(text)
    return int(text)


class PlaylistRow(NamedTuple):
    """``kind``: list or queue. ``items``: the number of episodes in it."""

    id: UUID
    name: str
    description: str | None
    is_public: bool
    kind: str
    updated_at: datetime
    items: int


class PlaylistItemRow(NamedTuple):
    rss_source_feed: str
    rss_source_item: str
    item_title: str | None
    feed_title: str | None
    added_at: datetime


class CollectionRow(NamedTuple):
    """``feeds``: the number of feeds in it."""

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


def _lists(row: type[Row], projector: str, id_: str, members: str) -> Query[Row]:
    """Return a query for the lists of one kind that exist, each with its number of members."""
    count = COUNT.format(members=members, id=id_, is_in=IS_IN)
    columns = [f"{id_} AS id", *cast(Any, row)._fields[1:-1], f"{count} AS members"]
    source = f'"users"."{projector}" list WHERE user_id = %s AND {EXISTS}'
    return Query(projector, row, source, {id_: key}, ", ".join(columns))


def _members(row: type[Row], projector: str, *, key_: str, name: str, **names: str) -> Query[Row]:
    """Return a query for the members of a list, in its order."""
    source = MEMBERS.format(exists=EXISTS, is_in=IS_IN, last=LAST, lists=projector, name=name, **names)
    return Query(projector, row, source, {"place": _place, "added_at": moment, key_: key})


PLAYLISTS = _lists(PlaylistRow, "playlists", "playlist_id", "playlist_items")
COLLECTIONS = _lists(CollectionRow, "collections", "collection_id", "collection_feeds")
ITEMS = _members(
    PlaylistItemRow,
    "playlists",
    id="playlist_id",
    members="playlist_items",
    key_="item_key",
    name="replace(item_key::text, '-', '')",
    order="item_order",
)
FEEDS = _members(
    CollectionFeedRow,
    "collections",
    id="collection_id",
    members="collection_feeds",
    key_="feed_key",
    name="rss_source_feed",
    order="feed_order",
)


def playlists(user_id: UUID, after: str | None = None, limit: int = PAGE) -> Page[PlaylistRow]:
    """Return a listener's playlists in a stable order. Raises ``InvalidCursor``, as all reads with ``after``
    do."""
    return PLAYLISTS.page([user_id], {}, after, limit)


def playlist(user_id: UUID, playlist_id: UUID) -> Page[PlaylistRow]:
    """Return one of a listener's playlists; a page without rows if there is none with that id."""
    return PLAYLISTS.page([user_id], {"playlist_id = %s": playlist_id})


def playlist_items(
    user_id: UUID, playlist_id: UUID, after: str | None = None, limit: int = PAGE
) -> Page[PlaylistItemRow]:
    """Return the episodes in a playlist, in its order."""
    return ITEMS.page([user_id, playlist_id], {}, after, limit)


def collections(user_id: UUID, after: str | None = None, limit: int = PAGE) -> Page[CollectionRow]:
    """Return a listener's collections in a stable order."""
    return COLLECTIONS.page([user_id], {}, after, limit)


def collection(user_id: UUID, collection_id: UUID) -> Page[CollectionRow]:
    """Return one of a listener's collections; a page without rows if there is none with that id."""
    return COLLECTIONS.page([user_id], {"collection_id = %s": collection_id})


def collection_feeds(
    user_id: UUID, collection_id: UUID, after: str | None = None, limit: int = PAGE
) -> Page[CollectionFeedRow]:
    """Return the feeds in a collection, in its order."""
    return FEEDS.page([user_id, collection_id], {}, after, limit)


def playlists_with(user_id: UUID, feed: str, item: str) -> set[UUID]:
    """Return the ids of a listener's playlists that contain an episode (normalised feed and item)."""
    return _holding("playlist", "item_key", "playlist_items", user_id, episode_key(feed, item))


def collections_with(user_id: UUID, feed: str) -> set[UUID]:
    """Return the ids of a listener's collections that contain a feed."""
    return _holding("collection", "feed_key", "collection_feeds", user_id, feed_key_of(feed))


def latest_feeds_of_playlists(
    user_id: UUID, playlist_ids: Sequence[UUID], limit: int
) -> dict[UUID, list[str]]:
    """Return the feeds of what was last added to each of these playlists, at most ``limit`` for each."""
    return _latest_feeds("playlist_id", "playlist_items", user_id, playlist_ids, limit)


def latest_feeds_of_collections(
    user_id: UUID, collection_ids: Sequence[UUID], limit: int
) -> dict[UUID, list[str]]:
    """Return the feeds last added to each of these collections, at most ``limit`` for each."""
    return _latest_feeds("collection_id", "collection_feeds", user_id, collection_ids, limit)


def _holding(one: str, key_: str, members: str, user_id: UUID, digest: str) -> set[UUID]:
    names = {"id": f"{one}_id", "lists": f"{one}s", "members": members, "key": key_}
    statement = HOLDING.format(exists=EXISTS, is_in=IS_IN, **names)
    return {list_id for (list_id,) in run(statement, [user_id, digest])}


def _latest_feeds(
    id_: str, members: str, user_id: UUID, list_ids: Sequence[UUID], limit: int
) -> dict[UUID, list[str]]:
    statement = LATEST_FEEDS.format(id=id_, members=members, is_in=IS_IN)
    found: dict[UUID, list[str]] = {list_id: [] for list_id in list_ids}
    for list_id, feed in run(statement, [list(list_ids), user_id, limit]) if list_ids else ():
        found[list_id].append(feed)
    return found
