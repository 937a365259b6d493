"""Reads of playlists and collections: which there are, and what is in one, in its order."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from projections.queries import PAGE, Page, Query, key, moment

# The place of those that were added since the order was given: after all others.
LAST = 2**31 - 1
EXISTS = "(deleted_at IS NULL OR updated_at >= deleted_at)"
IS_IN = "added_at IS NOT NULL AND (removed_at IS NULL OR added_at >= removed_at)"
COUNT = """
(SELECT count(*) FROM "users"."{members}" member
  WHERE member.user_id = list.user_id AND member.{id} = list.{id} AND {is_in})
"""
# The places are looked up in one object, made once: a join with the order takes minutes for 50,000 members
# where the planner expects ten.
MEMBERS = """(
    WITH list AS MATERIALIZED (SELECT user_id, {id}, {order} FROM "users"."{lists}"
                                WHERE user_id = %s AND {id} = %s AND {exists}),
         places AS MATERIALIZED (SELECT jsonb_object_agg(name, place) AS by_name
                                   FROM list, unnest({order}) WITH ORDINALITY AS placed (name, place))
    SELECT *, coalesce(((SELECT by_name FROM places) ->> {name})::bigint, {last}) AS place
      FROM list JOIN "users"."{members}" USING (user_id, {id}) WHERE {is_in}) AS member
 WHERE true"""


def _place(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > LAST:
        raise ValueError(text)
    return int(text)


def _lists(projector: str, columns: str, id_: str, members: str) -> Query:
    """The lists of one kind that exist, each with how many members are in it."""
    count = COUNT.format(members=members, id=id_, is_in=IS_IN)
    source = f'"users"."{projector}" list WHERE user_id = %s AND {EXISTS}'
    return Query(projector, f"{id_}, {columns}, {count} AS members", source, {id_: key})


def _members(projector: str, columns: str, id_: str, members: str, name: str, order: str, key_: str) -> Query:
    """What is in a list, in its order."""
    names = {"lists": projector, "id": id_, "members": members, "name": name, "order": order}
    source = MEMBERS.format(exists=EXISTS, is_in=IS_IN, last=LAST, **names)
    return Query(projector, columns, source, {"place": _place, "added_at": moment, key_: key})


PLAYLISTS = _lists("playlists", "name, description, is_public, updated_at", "playlist_id", "playlist_items")
COLLECTIONS = _lists(
    "collections",
    "name, description, color, is_public, is_default, updated_at",
    "collection_id",
    "collection_feeds",
)
ITEMS = _members(
    "playlists",
    "rss_source_feed, rss_source_item, item_title, feed_title, added_at",
    "playlist_id",
    members="playlist_items",
    name="replace(item_key::text, '-', '')",
    order="item_order",
    key_="item_key",
)
FEEDS = _members(
    "collections",
    "rss_source_feed, added_at",
    "collection_id",
    members="collection_feeds",
    name="rss_source_feed",
    order="feed_order",
    key_="feed_key",
)


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
    """A listener's playlists in a stable order. Raises ``InvalidCursor``, as all with ``after`` do."""
    return PLAYLISTS.page(PlaylistRow._make, [user_id], {}, after, limit)


def playlist(user_id: UUID, playlist_id: UUID) -> Page[PlaylistRow]:
    """One of a listener's playlists; a page without rows where there is none of that id."""
    return PLAYLISTS.page(PlaylistRow._make, [user_id], {"playlist_id = %s": playlist_id})


def playlist_items(
    user_id: UUID, playlist_id: UUID, after: str | None = None, limit: int = PAGE
) -> Page[PlaylistItemRow]:
    """What is in a playlist, in its order."""
    return ITEMS.page(PlaylistItemRow._make, [user_id, playlist_id], {}, after, limit)


def collections(user_id: UUID, after: str | None = None, limit: int = PAGE) -> Page[CollectionRow]:
    """A listener's collections in a stable order."""
    return COLLECTIONS.page(CollectionRow._make, [user_id], {}, after, limit)


def collection(user_id: UUID, collection_id: UUID) -> Page[CollectionRow]:
    """One of a listener's collections; a page without rows where there is none of that id."""
    return COLLECTIONS.page(CollectionRow._make, [user_id], {"collection_id = %s": collection_id})


def collection_feeds(
    user_id: UUID, collection_id: UUID, after: str | None = None, limit: int = PAGE
) -> Page[CollectionFeedRow]:
    """The feeds of a collection, in its order."""
    return FEEDS.page(CollectionFeedRow._make, [user_id, collection_id], {}, after, limit)
