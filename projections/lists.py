"""Reads of playlists and collections: which there are, and the members of one, in its order."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar, cast
from uuid import UUID

from projections.connect import run
from projections.queries import PAGE, Page, Query, key, moment

L = TypeVar("L")
M = TypeVar("M")

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
CONTAINING = """
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


class Lists(Generic[L, M]):
    """Reads of one kind of list. They find only the listener's own lists; those with ``after`` raise
    ``InvalidCursor``.

    ``row`` and ``member`` are the rows of a list and of a member; ``one`` and ``content`` are the nouns that
    the names of tables and columns are made of. ``name``: the SQL for what a list's order calls a member.
    """

    def __init__(self, row: type[L], member: type[M], *, one: str, content: str, name: str) -> None:
        self.topic, self._id, self._key = f"{one}s", f"{one}_id", f"{content}_key"
        self._names = {"lists": self.topic, "id": self._id, "members": f"{one}_{content}s", "key": self._key}
        columns = [f"{self._id} AS id", *cast(Any, row)._fields[1:-1], f"{self._sql(COUNT)} AS members"]
        source = f'"users"."{self.topic}" list WHERE user_id = %s AND {EXISTS}'
        self._lists = Query(self.topic, row, source, {self._id: key}, ", ".join(columns))
        source = self._sql(MEMBERS, last=LAST, name=name, order=f"{content}_order")
        keys: dict[str, Callable[[str], Any]] = {"place": _place, "added_at": moment, self._key: key}
        self._members = Query(self.topic, member, source, keys)

    def page(self, user_id: UUID, after: str | None = None, limit: int = PAGE) -> Page[L]:
        """Return a listener's lists, each with its number of members, in a stable order."""
        return self._lists.page([user_id], {}, after, limit)

    def find(self, user_id: UUID, list_id: UUID) -> Page[L]:
        """Return one list; a page without rows if there is none with that id."""
        return self._lists.page([user_id], {f"{self._id} = %s": list_id})

    def members(self, user_id: UUID, list_id: UUID, after: str | None = None, limit: int = PAGE) -> Page[M]:
        """Return the members of a list, in its order."""
        return self._members.page([user_id, list_id], {}, after, limit)

    def containing(self, user_id: UUID, digest: str) -> set[UUID]:
        """Return the ids of the lists that contain a member, given by its ``feed_key_of`` or
        ``episode_key``."""
        return {list_id for (list_id,) in run(self._sql(CONTAINING), [user_id, digest])}

    def latest_feeds(self, user_id: UUID, list_ids: Sequence[UUID], limit: int) -> dict[UUID, list[str]]:
        """Return the feeds of what was last added to each of these lists, at most ``limit`` for each."""
        found: dict[UUID, list[str]] = {list_id: [] for list_id in list_ids}
        if found:
            for list_id, feed in run(self._sql(LATEST_FEEDS), [list(list_ids), user_id, limit]):
                found[list_id].append(feed)
        return found

    def _sql(self, template: str, **more: object) -> str:
        return template.format(exists=EXISTS, is_in=IS_IN, **self._names, **more)


PLAYLISTS = Lists(
    PlaylistRow, PlaylistItemRow, one="playlist", content="item", name="replace(item_key::text, '-', '')"
)
COLLECTIONS = Lists(
    CollectionRow, CollectionFeedRow, one="collection", content="feed", name="rss_source_feed"
)
