"""Playlists, and the episodes that are or were in them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Cursor

from eventstore.domain import playlists
from eventstore.domain.identifiers import key_of
from eventstore.domain.lists import heard_of
from eventstore.domain.playlists import (
    Playlist,
    PlaylistCreated,
    PlaylistDeleted,
    PlaylistItemAdded,
    PlaylistItemRemoved,
    PlaylistReordered,
    Playlists,
    PlaylistUpdated,
    PlaylistVisibilityChanged,
)
from eventstore.domain.retention import LONG_AGO, UserCheckpoint
from projections.projectors.registers import Named, Registers
from projections.projectors.rows import Rows
from projections.projectors.shape import Fact, Projector, Tables

PLAYLISTS = Registers(
    "users.playlists",
    {
        "user_id": "uuid",
        "playlist_id": "uuid",
        "name": "text",
        "description": "text",
        "is_public": "boolean",
        "updated_at": "timestamptz",
        "deleted_at": "timestamptz",
        "item_order": "text[]",
    },
)
REGISTER = (PlaylistCreated, PlaylistUpdated, PlaylistVisibilityChanged, PlaylistReordered, PlaylistDeleted)
ITEMS = Rows(
    "users.playlist_items",
    {
        "user_id": "uuid",
        "playlist_id": "uuid",
        "item_key": "uuid",
        "rss_source_item": "text",
        "rss_source_feed": "text",
        "item_title": "text",
        "feed_title": "text",
        "added_at": "timestamptz",
        "removed_at": "timestamptz",
    },
    keys=3,
    # the rule of eventstore.domain.playlists.merge_items, in SQL: no matter which row comes first
    merge="""
    rss_source_feed = CASE
        WHEN (greatest(EXCLUDED.added_at, EXCLUDED.removed_at), EXCLUDED.rss_source_feed)
           > (greatest(kept.added_at, kept.removed_at), kept.rss_source_feed) THEN EXCLUDED.rss_source_feed
        ELSE kept.rss_source_feed END,
    (item_title, feed_title) = (SELECT
        CASE WHEN later THEN EXCLUDED.item_title ELSE kept.item_title END,
        CASE WHEN later THEN EXCLUDED.feed_title ELSE kept.feed_title END
      FROM (SELECT EXCLUDED.added_at IS NOT NULL AND (kept.added_at IS NULL
        OR (EXCLUDED.added_at, coalesce(EXCLUDED.item_title, '') COLLATE "C",
            coalesce(EXCLUDED.feed_title, '') COLLATE "C")
         > (kept.added_at, coalesce(kept.item_title, '') COLLATE "C",
            coalesce(kept.feed_title, '') COLLATE "C")) AS later) AS titles),
    added_at = greatest(kept.added_at, EXCLUDED.added_at),
    removed_at = greatest(kept.removed_at, EXCLUDED.removed_at)
""",
)


class Row(msgspec.Struct, gc=False):
    user_id: UUID
    playlist_id: UUID
    name: str
    description: str | None
    is_public: bool
    updated_at: datetime
    deleted_at: datetime | None
    item_order: tuple[str, ...]


class ItemRow(msgspec.Struct, gc=False):
    user_id: UUID
    playlist_id: str
    item_key: str
    rss_source_item: str
    rss_source_feed: str
    item_title: str | None
    feed_title: str | None
    added_at: datetime | None
    removed_at: datetime | None


def apply(facts: Sequence[Fact], cursor: Cursor[Any], tables: Tables) -> None:
    users = _known(facts, cursor, tables)
    written: set[Named] = set()
    replaced: set[UUID] = set()
    for _, event in facts:
        match event:
            case UserCheckpoint():
                users[event.user_id] = playlists.pruned(event.playlists, LONG_AGO)
                replaced.add(event.user_id)
                written = {named for named in written if named[0] != event.user_id}
                written |= {(event.user_id, UUID(key)) for key, of in event.playlists.items() if heard_of(of)}
            case PlaylistItemAdded() | PlaylistItemRemoved():
                playlists.evolve(users.setdefault(event.user_id, {}), event)
            case (
                PlaylistCreated()
                | PlaylistUpdated()
                | PlaylistVisibilityChanged()
                | PlaylistReordered()
                | PlaylistDeleted()
            ):
                playlists.evolve(users.setdefault(event.user_id, {}), event)
                written.add((event.user_id, event.playlist_id))
    PLAYLISTS.put(cursor, tables, [_row(*named, users) for named in written], replaced)
    ITEMS.put(cursor, tables, _items(users), replaced)


def _known(facts: Sequence[Fact], cursor: Cursor[Any], tables: Tables) -> dict[UUID, Playlists]:
    """What the rows hold of the playlists that the events change; without their items."""
    named = {(event.user_id, event.playlist_id) for _, event in facts if isinstance(event, REGISTER)}
    users: dict[UUID, Playlists] = {}
    for user_id, key, name, description, is_public, updated_at, deleted_at, order in PLAYLISTS.known(
        cursor, tables, named
    ):
        of = Playlist(name, updated_at, description, is_public, deleted_at, tuple(order))
        users.setdefault(user_id, {})[str(key)] = of
    return users


def _row(user_id: UUID, playlist_id: UUID, users: dict[UUID, Playlists]) -> Row:
    of = users[user_id][str(playlist_id)]
    return Row(
        user_id, playlist_id, of.name, of.description, of.is_public, of.updated_at, of.deleted_at, of.order
    )


def _items(users: dict[UUID, Playlists]) -> list[ItemRow]:
    return [
        ItemRow(
            user_id,
            playlist_id,
            key_of(item),
            item,
            one.feed,
            one.item_title,
            one.feed_title,
            one.added_at,
            one.removed_at,
        )
        for user_id, of_user in users.items()
        for playlist_id, of in of_user.items()
        for item, one in of.items.items()
    ]


projector = Projector(
    name="playlists",
    handles=frozenset((*REGISTER, PlaylistItemAdded, PlaylistItemRemoved, UserCheckpoint)),
    tables=(PLAYLISTS.table, ITEMS.table),
    apply=apply,
)
