"""Collections: subscribed feeds, grouped under a name and a color.

Name, description, visibility, color and order are one register: the later ``updated_at`` wins. Feeds are
merged one by one, by the later of ``added_at`` and ``removed_at``; on equal times the feed is in. A deletion
is a time like any other. The default collection shows every feed that is subscribed to, holds none of its
own, and cannot be deleted.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TypeAlias, assert_never
from uuid import UUID, uuid5

import msgspec

from eventstore.domain import lists, times
from eventstore.domain.errors import DomainError
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
    """``order`` is none where it stays as it was: what came by a sync gives it."""

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
    """Changed in place by the fold."""

    name: str
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


def merge(one: Collection, other: Collection) -> Collection:
    """The later register, the later deletion, and of each feed what its own times say."""
    newest = max(one, other, key=_key)
    feeds = dict(one.feeds)
    for feed, of in other.feeds.items():
        _put(feeds, feed, of)
    return msgspec.structs.replace(
        newest,
        is_default=one.is_default or other.is_default,
        deleted_at=times.later(one.deleted_at, other.deleted_at),
        claims=times.remember(one.claims, *other.claims),
        feeds=feeds,
    )


def merge_feeds(one: CollectionFeed, other: CollectionFeed) -> CollectionFeed:
    """The later of each time."""
    return CollectionFeed(
        added_at=times.later(one.added_at, other.added_at),
        removed_at=times.later(one.removed_at, other.removed_at),
        claims=times.remember(one.claims, *other.claims) if one.claims or other.claims else (),
    )


def decide(state: Collections, command: CollectionCommand) -> list[Event]:
    """Raises ``DomainError``: ``collection_not_found``, ``collection_exists`` (another one has this id),
    ``default_collection`` (it holds what is subscribed to), ``feed_not_in_collection`` (it never was in it).
    """
    known = state.get(str(command.collection_id))
    match command:
        case CreateCollection():
            return _create(known, command)
        case DeleteCollection():
            return _delete(known, command)
        case UpdateCollection():
            return _update(_existing(known), command)
        case AddFeedToCollection():
            return _add(_existing(known), command)
        case RemoveFeedFromCollection():
            return _remove(_existing(known), command)
        case ReorderCollection():
            return _reorder(_existing(known), command)
        case _:
            assert_never(command)


def evolve(state: Collections, event: CollectionEvent) -> None:
    known = state.get(str(event.collection_id))
    if known is None:
        known = _unheard(event.user_id, event.collection_id)
        state[str(event.collection_id)] = known
    match event:
        case CollectionCreated():
            # without an order: what it had before it was deleted, or an equal time gave it, is another's
            _write(known, event, ())
            known.claims = times.remember(known.claims, *times.claim(event.claimed_at))
        case CollectionUpdated():
            _write(known, event, event.order)
            known.claims = times.remember(known.claims, *times.claim(event.claimed_at))
        case CollectionVisibilityChanged():
            _write(known, event, None)
        case CollectionReordered():
            _write(known, msgspec.structs.replace(known, updated_at=event.updated_at), event.order)
        case CollectionDeleted():
            known.deleted_at = times.later(known.deleted_at, event.deleted_at)
            known.claims = times.remember(known.claims, *times.claim(event.claimed_at))
        case FeedAddedToCollection():
            added = CollectionFeed(added_at=event.added_at, claims=times.claim(event.claimed_at))
            _put(known.feeds, event.rss_source_feed, added)
        case FeedRemovedFromCollection():
            removed = CollectionFeed(removed_at=event.removed_at, claims=times.claim(event.claimed_at))
            _put(known.feeds, event.rss_source_feed, removed)
        case _:
            assert_never(event)


def reconcile(
    state: Collections, entries: list[CollectionEntry], user_id: UUID, now: datetime
) -> list[Event]:
    """The events of every difference between what a device knows and the state."""
    events: list[Event] = []
    for key, sent in together(entries, user_id).items():
        known = state.get(key)
        events += _reconciled(UUID(key), known, sent, user_id, now)
        for feed, one in sent.feeds.items():
            at_hand = known.feeds.get(feed) if known else None
            events += _reconciled_feed(UUID(key), feed, at_hand, one, user_id, now)
    return events


def together(entries: Iterable[CollectionEntry], user_id: UUID) -> Collections:
    """One collection per id of a payload: two entries of one id merge, by the times they claim."""
    sent: Collections = {}
    for entry in entries:
        said = _said(entry, user_id)
        twin = sent.get(str(entry.id))
        sent[str(entry.id)] = said if twin is None else merge(twin, said)
    return sent


def lost(
    state: Collections, entries: list[CollectionEntry], user_id: UUID, now: datetime
) -> Iterator[tuple[str, CollectionEntry, CollectionEntry, str]]:
    """Key, client's value, server's value and rule of each entry that lost; ``state`` after the merge."""
    for key, said in together(entries, user_id).items():
        stands = state[key]
        feeds = ((one, stands.feeds[feed]) for feed, one in said.feeds.items())
        rule = lists.rule(said, stands, _key(said)[1:] == _key(stands)[1:], feeds, now)
        if rule is not None:
            yield key, _entry(key, said), _entry(key, stands), rule


def document(state: Collections, ids: Iterable[str] | None = None) -> list[CollectionEntry]:
    """All entries, or those of ``ids`` that the state knows, as a device would send them. The feeds that are
    in come first, in their order; of the default collection those that were given a place."""
    return [_entry(key, state[key]) for key in (state if ids is None else ids) if key in state]


def pruned(state: Collections, before: datetime) -> Collections:
    """A deep copy without what was deleted or removed before that time."""
    kept: Collections = {}
    for key, of in state.items():
        if lists.gone(of, before):
            continue
        feeds, order = lists.without(of.feeds, of.order, before)
        kept[key] = msgspec.structs.replace(of, order=order, feeds=feeds)
    return kept


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


def _unheard(user_id: UUID, collection_id: UUID) -> Collection:
    """Of which nothing was said yet. Only a feed or a deletion that comes before its collection shows it."""
    return Collection("", lists.NEVER, is_default=collection_id == default_id(user_id))


def _existing(known: Collection | None) -> Collection:
    if known is None or not lists.exists(known):
        raise DomainError("collection_not_found", "You have no such collection.")
    return known


def _create(known: Collection | None, command: CreateCollection) -> list[Event]:
    description, color = command.description or None, command.color or None
    said = (command.name, description, color, command.is_public)
    if known is not None and lists.exists(known):
        if (known.name, known.description, known.color, known.is_public) == said:
            return []
        raise DomainError("collection_exists", "You have another collection of this id.")
    created = CollectionCreated(
        user_id=command.user_id,
        collection_id=command.collection_id,
        name=command.name,
        description=description,
        color=color,
        is_public=command.is_public,
        is_default=command.collection_id == default_id(command.user_id),
        updated_at=command.now if known is None else lists.next_time(known, command.now),
    )
    return [created]


def _update(known: Collection, command: UpdateCollection) -> list[Event]:
    name = known.name if command.name is None else command.name
    description = known.description if command.description is None else command.description or None
    color = known.color if command.color is None else command.color or None
    is_public = known.is_public if command.is_public is None else command.is_public
    same = (name, description, color) == (known.name, known.description, known.color)
    if same and is_public == known.is_public:
        return []
    # else it is called and described as before, and merely shown or hidden
    kind = CollectionVisibilityChanged if same else CollectionUpdated
    changed = kind(
        user_id=command.user_id,
        collection_id=command.collection_id,
        name=name,
        description=description,
        color=color,
        is_public=is_public,
        updated_at=lists.next_time(known, command.now),
    )
    return [changed]


def _delete(known: Collection | None, command: DeleteCollection) -> list[Event]:
    if known is not None and known.is_default:
        raise DomainError("default_collection", "The collection of all subscriptions cannot be deleted.")
    if known is not None and not lists.exists(known):
        return []
    at = lists.next_time(_existing(known), command.now)
    return [CollectionDeleted(user_id=command.user_id, collection_id=command.collection_id, deleted_at=at)]


def _add(known: Collection, command: AddFeedToCollection) -> list[Event]:
    if known.is_default:
        return []  # it is in it already
    feed = known.feeds.get(command.feed)
    if command.at is None and feed is not None and lists.is_in(feed):
        return []
    at, claimed = lists.time_of(feed, command.at, command.now)
    if at is None or (claimed is None and feed is not None and not times.is_later(at, feed.added_at)):
        return []
    return [_added(command.user_id, command.collection_id, command.feed, at, claimed)]


def _remove(known: Collection, command: RemoveFeedFromCollection) -> list[Event]:
    if known.is_default:
        detail = "The collection of all subscriptions holds a feed for as long as you subscribe to it."
        raise DomainError("default_collection", detail)
    feed = known.feeds.get(command.feed)
    if feed is None:
        raise DomainError("feed_not_in_collection", "This feed is not in the collection.")
    if command.at is None and not lists.is_in(feed):
        return []
    at, claimed = lists.time_of(feed, command.at, command.now)
    if at is None or (claimed is None and not times.is_later(at, feed.removed_at)):
        return []
    return [_removed(command.user_id, command.collection_id, command.feed, at, claimed)]


def _reorder(known: Collection, command: ReorderCollection) -> list[Event]:
    order = tuple(dict.fromkeys(command.feeds))
    if not known.is_default:
        if any(feed not in known.feeds for feed in order):
            raise DomainError("feed_not_in_collection", "Not all of these feeds are in the collection.")
        # what was taken out meanwhile has no place any more
        order = tuple(feed for feed in order if lists.is_in(known.feeds[feed]))
    if order == known.order:
        return []
    at = lists.next_time(known, command.now)
    reordered = CollectionReordered(
        user_id=command.user_id, collection_id=command.collection_id, order=order, updated_at=at
    )
    return [reordered]


def _reconciled(
    collection_id: UUID, known: Collection | None, sent: Collection, user_id: UUID, now: datetime
) -> Iterator[Event]:
    """What a device says of the collection itself, where it is news."""
    stands = known or _unheard(user_id, collection_id)
    said = lists.news(
        lists.believed(sent.updated_at, sent.deleted_at, stands.claims, now),
        stands,
        lambda at: _key(msgspec.structs.replace(sent, updated_at=at)) > _key(stands),
    )
    if said.came is not None:
        changed = CollectionUpdated(
            user_id=user_id,
            collection_id=collection_id,
            name=sent.name,
            description=sent.description,
            color=sent.color,
            is_public=sent.is_public,
            order=sent.order,
            updated_at=said.came,
            claimed_at=said.came_claim,
        )
        if known is None:
            yield _as_created(changed)
        if known is not None or sent.order:
            yield changed
    if said.went is not None:
        yield CollectionDeleted(
            user_id=user_id, collection_id=collection_id, deleted_at=said.went, claimed_at=said.went_claim
        )


def _as_created(of: CollectionUpdated) -> CollectionCreated:
    return CollectionCreated(
        user_id=of.user_id,
        collection_id=of.collection_id,
        name=of.name,
        description=of.description,
        color=of.color,
        is_public=of.is_public,
        is_default=of.collection_id == default_id(of.user_id),
        updated_at=of.updated_at,
        claimed_at=of.claimed_at,
    )


def _reconciled_feed(
    collection_id: UUID,
    feed: str,
    known: CollectionFeed | None,
    sent: CollectionFeed,
    user_id: UUID,
    now: datetime,
) -> Iterator[Event]:
    stands = known or CollectionFeed()
    said = lists.believed(sent.added_at, sent.removed_at, stands.claims, now)
    if said.came is not None and (said.came_claim or times.is_later(said.came, stands.added_at)):
        yield _added(user_id, collection_id, feed, said.came, said.came_claim)
    if said.went is not None and (said.went_claim or times.is_later(said.went, stands.removed_at)):
        yield _removed(user_id, collection_id, feed, said.went, said.went_claim)


def _said(entry: CollectionEntry, user_id: UUID) -> Collection:
    is_default = entry.id == default_id(user_id)
    # a feed without any time says nothing
    told = [one for one in entry.feeds if one.added_at is not None or one.removed_at is not None]
    said = Collection(
        name=entry.name,
        updated_at=entry.updated_at,
        description=entry.description or None,
        color=entry.color or None,
        is_public=entry.is_public,
        is_default=is_default,
        # the default collection is never deleted, and what is in it the subscriptions say
        deleted_at=None if is_default else entry.deleted_at,
        order=lists.order_of((one.rss_source_feed, one.position) for one in told),
    )
    if not is_default:
        for one in told:
            _put(said.feeds, one.rss_source_feed, CollectionFeed(one.added_at, one.removed_at))
    return said


def _entry(key: str, of: Collection) -> CollectionEntry:
    feeds = of.feeds
    if of.is_default:
        # so that a device gives back the order; its feeds are those that it subscribes to
        feeds = {feed: CollectionFeed(of.updated_at) for feed in of.order}
    places = {feed: place for place, feed in enumerate(of.order)}
    here = lists.arranged(of.order, feeds)
    shown = [*here, *sorted(feeds.keys() - set(here))]
    return CollectionEntry(
        id=UUID(key),
        name=of.name,
        updated_at=of.updated_at,
        description=of.description,
        color=of.color,
        is_public=of.is_public,
        is_default=of.is_default,
        deleted_at=of.deleted_at,
        feeds=[
            CollectionFeedEntry(feed, places.get(feed), feeds[feed].added_at, feeds[feed].removed_at)
            for feed in shown
        ],
    )


def _write(
    known: Collection,
    of: Collection | CollectionCreated | CollectionUpdated | CollectionVisibilityChanged,
    order: tuple[str, ...] | None,
) -> None:
    """Put a register in the place of the known one, if it is the greater."""
    said = Collection(
        of.name,
        of.updated_at,
        of.description,
        of.color,
        of.is_public,
        order=known.order if order is None else order,
    )
    if _key(said) > _key(known):
        known.updated_at, known.name, known.description = said.updated_at, said.name, said.description
        known.color, known.is_public, known.order = said.color, said.is_public, said.order


def _put(feeds: dict[str, CollectionFeed], feed: str, of: CollectionFeed) -> None:
    known = feeds.get(feed)
    feeds[feed] = of if known is None else merge_feeds(known, of)


def _added(
    user_id: UUID, collection_id: UUID, feed: str, at: datetime, claimed: datetime | None
) -> FeedAddedToCollection:
    return FeedAddedToCollection(
        user_id=user_id, collection_id=collection_id, rss_source_feed=feed, added_at=at, claimed_at=claimed
    )


def _removed(
    user_id: UUID, collection_id: UUID, feed: str, at: datetime, claimed: datetime | None
) -> FeedRemovedFromCollection:
    return FeedRemovedFromCollection(
        user_id=user_id, collection_id=collection_id, rss_source_feed=feed, removed_at=at, claimed_at=claimed
    )


def _key(of: Collection) -> tuple[datetime, str, str, str, bool, tuple[str, ...]]:
    return (of.updated_at, of.name, of.description or "", of.color or "", of.is_public, of.order)
