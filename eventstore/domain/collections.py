"""Collections: subscribed feeds, grouped under a name and a color.

Name, description, visibility, color and order are one register: the later ``updated_at`` wins. Feeds are
merged one by one, by the later of ``added_at`` and ``removed_at``; on equal times the feed is in the
collection. A deletion is a time like any other. The default collection shows every subscribed feed, holds
none of its own, and cannot be deleted.
"""

from collections.abc import MutableMapping
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, TypeAlias
from uuid import UUID, uuid5

import msgspec

from eventstore.domain import times
from eventstore.domain.errors import DomainError
from eventstore.domain.fields import FEED_KEY
from eventstore.domain.messages import Command, Event, Order
from eventstore.domain.ordered import Commands, Events, ListHeader, OrderedSet, Words
from eventstore.domain.registers import OnOff
from eventstore.domain.topic import Topic

DEFAULT_NAME = "All Subscriptions"


@lru_cache(maxsize=1_024)
def default_id(user_id: UUID) -> UUID:
    """Return the id of a user's default collection, which is derived from the user's id."""
    return uuid5(user_id, "default-collection")


class CreateCollection(Command, frozen=True, kw_only=True):
    collection_id: UUID
    name: str
    description: str | None = None
    color: str | None = None
    is_public: bool = False


class UpdateCollection(Command, frozen=True, kw_only=True):
    """A field that is None stays as it is; an empty description or color removes the old one."""

    collection_id: UUID
    name: str | None = None
    description: str | None = None
    color: str | None = None
    is_public: bool | None = None


class DeleteCollection(Command, frozen=True, kw_only=True):
    collection_id: UUID


class AddFeedToCollection(Order, frozen=True, kw_only=True):
    collection_id: UUID
    feed: str


class RemoveFeedFromCollection(Order, frozen=True, kw_only=True):
    collection_id: UUID
    feed: str


class ReorderCollection(Command, frozen=True, kw_only=True):
    collection_id: UUID
    feeds: tuple[str, ...]


class CollectionCreated(Event, frozen=True, kw_only=True, gc=False):
    collection_id: UUID
    name: str
    description: str | None = None
    color: str | None = None
    is_public: bool = False
    is_default: bool = False
    updated_at: datetime
    claimed_at: datetime | None = None


class CollectionUpdated(Event, frozen=True, kw_only=True, gc=False):
    """``order`` is None where it stays as it was; an update from a sync gives it."""

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


class CollectionFeed(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    added_at: datetime | None = None
    removed_at: datetime | None = None
    skewed: times.Skewed = ()


class Collection(ListHeader, omit_defaults=True):
    color: str | None = None
    is_default: bool = False
    members: dict[str, CollectionFeed] = {}


class CollectionFeedEntry(msgspec.Struct, frozen=True, gc=False):
    """A feed of a collection. The later of the two times decides; on equal times the feed is in it."""

    rss_source_feed: str
    position: int | None = None
    added_at: datetime | None = None
    removed_at: datetime | None = None


class CollectionEntry(msgspec.Struct, frozen=True):
    """A collection as a device knows it; merged as playlists are. Only the server sets `is_default`."""

    id: UUID
    name: str
    updated_at: datetime
    description: str | None = None
    color: str | None = None
    is_public: bool = False
    is_default: bool = False
    deleted_at: datetime | None = None
    feeds: list[CollectionFeedEntry] = []


class _Collections(OrderedSet[Collection, CollectionFeed]):
    """Collections, with rules for the default one, whose contents are the subscriptions."""

    def blank(self, user_id: UUID, key: str) -> Collection:
        return Collection("", times.NEVER, is_default=key == str(default_id(user_id)))

    def exists(self, of: Collection) -> bool:
        return of.is_default or super().exists(of)

    def in_order(self, of: Collection) -> tuple[str, ...]:
        # the contents of the default collection are the subscriptions
        return of.order if of.is_default else super().in_order(of)

    def from_entry(self, entry: Any, user_id: UUID) -> Collection:
        sent = super().from_entry(entry, user_id)
        sent.is_default = entry.id == default_id(user_id)
        if sent.is_default:
            sent.deleted_at, sent.members = None, {}
        return sent

    def to_entry(self, key: str, state: Collection, **more: Any) -> Any:
        if state.is_default:
            # shown as members so that a device sends the order back; the feeds are the subscribed ones
            members = {feed: CollectionFeed(state.updated_at) for feed in state.order}
            state = msgspec.structs.replace(state, members=members)
        return super().to_entry(key, state, **more)

    def delete(self, known: Collection | None, command: DeleteCollection) -> list[Event]:
        if known is not None and known.is_default:
            raise DomainError("default_collection", "The collection of all subscriptions cannot be deleted.")
        return super().delete(known, command)

    def add(self, known: Collection, command: AddFeedToCollection) -> list[Event]:
        # the default collection holds it already
        return [] if known.is_default else super().add(known, command)

    def remove(self, known: Collection, command: RemoveFeedFromCollection) -> list[Event]:
        if known.is_default:
            detail = "The collection of all subscriptions holds a feed for as long as you subscribe to it."
            raise DomainError("default_collection", detail)
        return super().remove(known, command)

    def reorder(self, known: Collection, command: ReorderCollection) -> list[Event]:
        if known.is_default:
            return self.put_in_order(known, tuple(dict.fromkeys(command.feeds)), command)
        return super().reorder(known, command)


FEEDS = OnOff(
    CollectionFeed,
    CollectionFeedEntry,
    key=FEED_KEY,
    on="added_at",
    off="removed_at",
    events=(FeedAddedToCollection, FeedRemovedFromCollection),
    tie="added_wins_a_tie",
    within="collection_id",
)
REGISTER = _Collections(
    Collection,
    CollectionEntry,
    key="collection_id",
    called=("name", "description", "color", "is_public"),
    members=FEEDS,
    plural="feeds",
    commands=Commands(
        CreateCollection,
        UpdateCollection,
        DeleteCollection,
        AddFeedToCollection,
        RemoveFeedFromCollection,
        ReorderCollection,
    ),
    events=Events(
        CollectionCreated,
        CollectionUpdated,
        CollectionVisibilityChanged,
        CollectionReordered,
        CollectionDeleted,
    ),
    words=Words("collection", "feed", "feed"),
)
TOPIC = Topic(
    name="collections",
    plural="collections",
    kind="collection",
    register=REGISTER,
    commands=dict.fromkeys(REGISTER.decisions, REGISTER.decide),
    keys=REGISTER.keys,
)
Collections: TypeAlias = Annotated[MutableMapping[str, Collection], TOPIC]


def default(known: Collection | None, user_id: UUID, now: datetime) -> CollectionCreated | None:
    """Return the event that creates the default collection; None where there is one."""
    if known is not None:
        return None
    return CollectionCreated(
        user_id=user_id,
        collection_id=default_id(user_id),
        name=DEFAULT_NAME,
        is_default=True,
        updated_at=now,
    )
