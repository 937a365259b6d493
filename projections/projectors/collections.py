"""Collections, and the feeds that are or were in them.

The default collection has no events for its feeds: it holds what is subscribed to, so its rows are written
from the subscriptions' events.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Cursor

from eventstore.domain import collections, subscriptions
from eventstore.domain.collections import (
    Collection,
    CollectionCreated,
    CollectionDeleted,
    CollectionReordered,
    Collections,
    CollectionUpdated,
    CollectionVisibilityChanged,
    FeedAddedToCollection,
    FeedRemovedFromCollection,
    default_id,
)
from eventstore.domain.identifiers import key_of
from eventstore.domain.lists import heard_of
from eventstore.domain.retention import LONG_AGO, UserCheckpoint
from eventstore.domain.subscriptions import Subscriptions, UserSubscribed, UserUnsubscribed
from projections.projectors.registers import Named, Registers
from projections.projectors.rows import Rows
from projections.projectors.shape import Fact, Projector, Tables

COLLECTIONS = Registers(
    "users.collections",
    {
        "user_id": "uuid",
        "collection_id": "uuid",
        "name": "text",
        "description": "text",
        "color": "text",
        "is_public": "boolean",
        "is_default": "boolean",
        "updated_at": "timestamptz",
        "deleted_at": "timestamptz",
        "feed_order": "text[]",
    },
)
REGISTER = (
    CollectionCreated,
    CollectionUpdated,
    CollectionVisibilityChanged,
    CollectionReordered,
    CollectionDeleted,
)
FEEDS = Rows(
    "users.collection_feeds",
    {
        "user_id": "uuid",
        "collection_id": "uuid",
        "feed_key": "uuid",
        "rss_source_feed": "text",
        "added_at": "timestamptz",
        "removed_at": "timestamptz",
    },
    keys=3,
    # the rule of eventstore.domain.collections.merge_feeds, in SQL: no matter which row comes first
    merge="""
    added_at = greatest(kept.added_at, EXCLUDED.added_at),
    removed_at = greatest(kept.removed_at, EXCLUDED.removed_at)
""",
)


class Row(msgspec.Struct, gc=False):
    user_id: UUID
    collection_id: UUID
    name: str
    description: str | None
    color: str | None
    is_public: bool
    is_default: bool
    updated_at: datetime
    deleted_at: datetime | None
    feed_order: tuple[str, ...]


class FeedRow(msgspec.Struct, gc=False):
    user_id: UUID
    collection_id: str
    feed_key: str
    rss_source_feed: str
    added_at: datetime | None
    removed_at: datetime | None


def apply(facts: Sequence[Fact], cursor: Cursor[Any], tables: Tables) -> None:
    users = _known(facts, cursor, tables)
    followed: dict[UUID, Subscriptions] = {}
    written: set[Named] = set()
    replaced: set[UUID] = set()
    for _, event in facts:
        match event:
            case UserCheckpoint():
                users[event.user_id] = collections.pruned(event.collections, LONG_AGO)
                followed[event.user_id] = dict(event.subscriptions)
                replaced.add(event.user_id)
                written = {named for named in written if named[0] != event.user_id}
                written |= {
                    (event.user_id, UUID(key)) for key, of in event.collections.items() if heard_of(of)
                }
            case UserSubscribed() | UserUnsubscribed():
                subscriptions.evolve(followed.setdefault(event.user_id, {}), event)
            case FeedAddedToCollection() | FeedRemovedFromCollection():
                collections.evolve(users.setdefault(event.user_id, {}), event)
            case (
                CollectionCreated()
                | CollectionUpdated()
                | CollectionVisibilityChanged()
                | CollectionReordered()
                | CollectionDeleted()
            ):
                collections.evolve(users.setdefault(event.user_id, {}), event)
                written.add((event.user_id, event.collection_id))
    COLLECTIONS.put(cursor, tables, [_row(*named, users) for named in written], replaced)
    FEEDS.put(cursor, tables, [*_feeds(users), *_defaults(followed)], replaced)


def _known(facts: Sequence[Fact], cursor: Cursor[Any], tables: Tables) -> dict[UUID, Collections]:
    """What the rows hold of the collections that the events change; without their feeds."""
    named = {(event.user_id, event.collection_id) for _, event in facts if isinstance(event, REGISTER)}
    users: dict[UUID, Collections] = {}
    for user_id, key, *fields, order in COLLECTIONS.known(cursor, tables, named):
        name, description, color, is_public, is_default, updated_at, deleted_at = fields
        of = Collection(name, updated_at, description, color, is_public, is_default, deleted_at, tuple(order))
        users.setdefault(user_id, {})[str(key)] = of
    return users


def _row(user_id: UUID, collection_id: UUID, users: dict[UUID, Collections]) -> Row:
    of = users[user_id][str(collection_id)]
    return Row(
        user_id,
        collection_id,
        of.name,
        of.description,
        of.color,
        of.is_public,
        of.is_default,
        of.updated_at,
        of.deleted_at,
        of.order,
    )


def _feeds(users: dict[UUID, Collections]) -> Iterator[FeedRow]:
    for user_id, of_user in users.items():
        for collection_id, of in of_user.items():
            for feed, one in of.feeds.items():
                yield FeedRow(user_id, collection_id, key_of(feed), feed, one.added_at, one.removed_at)


def _defaults(followed: dict[UUID, Subscriptions]) -> Iterator[FeedRow]:
    for user_id, feeds in followed.items():
        default = str(default_id(user_id))
        for feed, one in feeds.items():
            yield FeedRow(user_id, default, key_of(feed), feed, one.subscribed_at, one.unsubscribed_at)


projector = Projector(
    name="collections",
    handles=frozenset(
        (
            *REGISTER,
            FeedAddedToCollection,
            FeedRemovedFromCollection,
            UserSubscribed,
            UserUnsubscribed,
            UserCheckpoint,
        )
    ),
    tables=(COLLECTIONS.table, FEEDS.table),
    apply=apply,
)
