"""Collections: subscribed feeds, grouped under a name and a color.

Name, description, visibility, color and order are one register: the later ``updated_at`` wins. Feeds are
merged one by one, by the later of ``added_at`` and ``removed_at``; on equal times the feed is in. A deletion
is a time like any other. The default collection shows every feed that is subscribed to, holds none of its
own, and cannot be deleted.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TypeAlias
from uuid import UUID, uuid5

import msgspec

from eventstore.domain import times
from eventstore.domain.messages import Command, Event

DEFAULT_NAME = "All Subscriptions"


def default_id(user_id: UUID) -> UUID:
    """The id of a user's default collection: the same whoever works it out."""
    return uuid5(user_id, "default-collection")


class CreateCollection(Command, frozen=True, kw_only=True):
    collection_id: UUID
    name: str
    description: str | None = None
    color: str | None = None
    is_public: bool = False
    now: datetime


class UpdateCollection(Command, frozen=True, kw_only=True):
    """What is None stays as it is; an empty description or color takes it away."""

    collection_id: UUID
    name: str | None = None
    description: str | None = None
    color: str | None = None
    is_public: bool | None = None
    now: datetime


class DeleteCollection(Command, frozen=True, kw_only=True):
    collection_id: UUID
    now: datetime


class AddFeedToCollection(Command, frozen=True, kw_only=True):
    collection_id: UUID
    feed: str
    now: datetime
    at: datetime | None = None


class RemoveFeedFromCollection(Command, frozen=True, kw_only=True):
    collection_id: UUID
    feed: str
    now: datetime
    at: datetime | None = None


class ReorderCollection(Command, frozen=True, kw_only=True):
    collection_id: UUID
    feeds: tuple[str, ...]
    now: datetime


class CollectionCreated(Event, frozen=True, kw_only=True, gc=False):
    """The events of the register carry all of it but the order, so that each stands for itself."""

    collection_id: UUID
    name: str
    description: str | None = None
    color: str | None = None
    is_public: bool = False
    is_default: bool = False
    updated_at: datetime
    claimed_at: datetime | None = None


class CollectionUpdated(Event, frozen=True, kw_only=True, gc=False):
    """``order`` is none where it stays as it was."""

    collection_id: UUID
    name: str
    description: str | None = None
    color: str | None = None
    is_public: bool = False
    order: tuple[str, ...] | None = None
    updated_at: datetime
    claimed_at: datetime | None = None


class CollectionVisibilityChanged(Event, frozen=True, kw_only=True, gc=False):
    collection_id: UUID
    name: str
    description: str | None = None
    color: str | None = None
    is_public: bool
    updated_at: datetime


class CollectionReordered(Event, frozen=True, kw_only=True, gc=False):
    collection_id: UUID
    order: tuple[str, ...]
    updated_at: datetime


class CollectionDeleted(Event, frozen=True, kw_only=True, gc=False):
    collection_id: UUID
    deleted_at: datetime
    claimed_at: datetime | None = None


class FeedAddedToCollection(Event, frozen=True, kw_only=True, gc=False):
    collection_id: UUID
    rss_source_feed: str
    added_at: datetime
    claimed_at: datetime | None = None


class FeedRemovedFromCollection(Event, frozen=True, kw_only=True, gc=False):
    collection_id: UUID
    rss_source_feed: str
    removed_at: datetime
    claimed_at: datetime | None = None


CollectionCommand: TypeAlias = (
    CreateCollection
    | UpdateCollection
    | DeleteCollection
    | AddFeedToCollection
    | RemoveFeedFromCollection
    | ReorderCollection
)
CollectionEvent: TypeAlias = (
    CollectionCreated
    | CollectionUpdated
    | CollectionVisibilityChanged
    | CollectionReordered
    | CollectionDeleted
    | FeedAddedToCollection
    | FeedRemovedFromCollection
)


class CollectionFeed(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    added_at: datetime | None = None
    removed_at: datetime | None = None
    claims: times.Claims = ()


class Collection(msgspec.Struct, omit_defaults=True):
    """Changed in place by the fold. ``created_at`` is the time of its first event."""

    name: str
    created_at: datetime
    updated_at: datetime
    description: str | None = None
    color: str | None = None
    is_public: bool = False
    is_default: bool = False
    deleted_at: datetime | None = None
    order: tuple[str, ...] = ()
    claims: times.Claims = ()
    feeds: dict[str, CollectionFeed] = {}


class CollectionFeedEntry(msgspec.Struct, frozen=True, gc=False):
    rss_source_feed: str
    position: int | None = None
    added_at: datetime | None = None
    removed_at: datetime | None = None


class CollectionEntry(msgspec.Struct, frozen=True):
    """What a device knows of one collection, in a sync. ``is_default`` of a device's own is not believed
    where the id is another: a user has one default collection."""

    id: UUID
    name: str
    updated_at: datetime
    description: str | None = None
    color: str | None = None
    is_public: bool = False
    is_default: bool = False
    deleted_at: datetime | None = None
    feeds: list[CollectionFeedEntry] = []


# by str(collection_id)
Collections: TypeAlias = dict[str, Collection]


def decide(state: Collections, command: CollectionCommand) -> list[Event]:
    raise NotImplementedError


def evolve(state: Collections, event: CollectionEvent) -> None:
    raise NotImplementedError


def reconcile(
    state: Collections, entries: list[CollectionEntry], user_id: UUID, now: datetime
) -> list[Event]:
    """The events of every difference between what a device knows and the state."""
    return []


def lost(
    state: Collections, entries: list[CollectionEntry], user_id: UUID, now: datetime
) -> Iterator[tuple[str, CollectionEntry, CollectionEntry, str]]:
    """Key, client's value, server's value and rule of each entry that lost; ``state`` after the merge."""
    return iter(())


def document(state: Collections, ids: Iterable[str] | None = None) -> list[CollectionEntry]:
    """All entries, or those of ``ids`` that the state knows, as a device would send them."""
    return []


def pruned(state: Collections, before: datetime) -> Collections:
    """A deep copy without what was deleted or removed before that time."""
    return {}


def default(state: Collections, user_id: UUID, now: datetime) -> CollectionCreated | None:
    """What creates the default collection; nothing where there is one."""
    if str(default_id(user_id)) in state:
        return None
    return CollectionCreated(
        user_id=user_id,
        collection_id=default_id(user_id),
        name=DEFAULT_NAME,
        is_default=True,
        updated_at=now,
    )
