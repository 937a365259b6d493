"""Playlists: episodes in an order, with a name.

What a playlist is called and its order are one register: the later ``updated_at`` wins. Its items are merged
one by one, by the later of ``added_at`` and ``removed_at``; on equal times the item is in. A deletion is a
time like any other: the playlist exists while ``updated_at`` is not before ``deleted_at``.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TypeAlias, assert_never
from uuid import UUID

import msgspec

from eventstore.domain import lists, times
from eventstore.domain.errors import DomainError
from eventstore.domain.messages import Command, Event


class CreatePlaylist(Command, frozen=True, kw_only=True):
    playlist_id: UUID
    name: str
    description: str | None = None
    is_public: bool = False
    now: datetime


class UpdatePlaylist(Command, frozen=True, kw_only=True):
    """What is None stays as it is; an empty description takes it away."""

    playlist_id: UUID
    name: str | None = None
    description: str | None = None
    is_public: bool | None = None
    now: datetime


class DeletePlaylist(Command, frozen=True, kw_only=True):
    playlist_id: UUID
    now: datetime


class AddToPlaylist(Command, frozen=True, kw_only=True):
    playlist_id: UUID
    feed: str
    item: str
    item_title: str | None = None
    feed_title: str | None = None
    now: datetime
    at: datetime | None = None


class RemoveFromPlaylist(Command, frozen=True, kw_only=True):
    playlist_id: UUID
    item: str
    now: datetime
    at: datetime | None = None


class ReorderPlaylist(Command, frozen=True, kw_only=True):
    playlist_id: UUID
    items: tuple[str, ...]
    now: datetime


class PlaylistCreated(Event, frozen=True, kw_only=True, gc=False):
    """The events of the register carry all of it but the order, so that each stands for itself."""

    playlist_id: UUID
    name: str
    description: str | None = None
    is_public: bool = False
    updated_at: datetime
    claimed_at: datetime | None = None


class PlaylistUpdated(Event, frozen=True, kw_only=True, gc=False):
    """``order`` is none where it stays as it was: what came by a sync gives it."""

    playlist_id: UUID
    name: str
    description: str | None = None
    is_public: bool = False
    order: tuple[str, ...] | None = None
    updated_at: datetime
    claimed_at: datetime | None = None


class PlaylistVisibilityChanged(Event, frozen=True, kw_only=True, gc=False):
    playlist_id: UUID
    name: str
    description: str | None = None
    is_public: bool
    updated_at: datetime


class PlaylistReordered(Event, frozen=True, kw_only=True, gc=False):
    playlist_id: UUID
    order: tuple[str, ...]
    updated_at: datetime


class PlaylistDeleted(Event, frozen=True, kw_only=True, gc=False):
    playlist_id: UUID
    deleted_at: datetime
    claimed_at: datetime | None = None


class PlaylistItemAdded(Event, frozen=True, kw_only=True, gc=False):
    playlist_id: UUID
    rss_source_feed: str
    rss_source_item: str
    item_title: str | None = None
    feed_title: str | None = None
    added_at: datetime
    claimed_at: datetime | None = None


class PlaylistItemRemoved(Event, frozen=True, kw_only=True, gc=False):
    playlist_id: UUID
    rss_source_feed: str
    rss_source_item: str
    removed_at: datetime
    claimed_at: datetime | None = None


PlaylistCommand: TypeAlias = (
    CreatePlaylist | UpdatePlaylist | DeletePlaylist | AddToPlaylist | RemoveFromPlaylist | ReorderPlaylist
)
PlaylistEvent: TypeAlias = (
    PlaylistCreated
    | PlaylistUpdated
    | PlaylistVisibilityChanged
    | PlaylistReordered
    | PlaylistDeleted
    | PlaylistItemAdded
    | PlaylistItemRemoved
)


class PlaylistItem(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    feed: str
    item_title: str | None = None
    feed_title: str | None = None
    added_at: datetime | None = None
    removed_at: datetime | None = None
    claims: times.Claims = ()


class Playlist(msgspec.Struct, omit_defaults=True):
    """Changed in place by the fold."""

    name: str
    updated_at: datetime
    description: str | None = None
    is_public: bool = False
    deleted_at: datetime | None = None
    order: tuple[str, ...] = ()
    claims: times.Claims = ()
    items: dict[str, PlaylistItem] = {}


class PlaylistItemEntry(msgspec.Struct, frozen=True, gc=False):
    rss_source_feed: str
    rss_source_item: str
    item_title: str | None = None
    feed_title: str | None = None
    position: int | None = None
    added_at: datetime | None = None
    removed_at: datetime | None = None


class PlaylistEntry(msgspec.Struct, frozen=True):
    """What a device knows of one playlist, in a sync."""

    id: UUID
    name: str
    updated_at: datetime
    description: str | None = None
    is_public: bool = False
    deleted_at: datetime | None = None
    items: list[PlaylistItemEntry] = []


# by str(playlist_id)
Playlists: TypeAlias = dict[str, Playlist]


def merge(one: Playlist, other: Playlist) -> Playlist:
    """The later register, the later deletion, and of each item what its own times say."""
    newest = max(one, other, key=_key)
    items = dict(one.items)
    for item, of in other.items.items():
        _put(items, item, of)
    return msgspec.structs.replace(
        newest,
        deleted_at=times.later(one.deleted_at, other.deleted_at),
        claims=times.remember(one.claims, *other.claims),
        items=items,
    )


def merge_items(one: PlaylistItem, other: PlaylistItem) -> PlaylistItem:
    """The later of each time; the titles go with the later addition, the feed with the latest of both, the
    greater texts on a tie."""
    titled = max(one, other, key=_titled)
    return PlaylistItem(
        feed=max(one, other, key=_latest).feed,
        item_title=titled.item_title,
        feed_title=titled.feed_title,
        added_at=titled.added_at,
        removed_at=times.later(one.removed_at, other.removed_at),
        claims=times.remember(one.claims, *other.claims) if one.claims or other.claims else (),
    )


def decide(state: Playlists, command: PlaylistCommand) -> list[Event]:
    """Raises ``DomainError``: ``playlist_not_found``, ``playlist_exists`` (another one has this id),
    ``item_not_in_playlist`` (it never was in it)."""
    known = state.get(str(command.playlist_id))
    match command:
        case CreatePlaylist():
            return _create(known, command)
        case DeletePlaylist():
            return _delete(known, command)
        case UpdatePlaylist():
            return _update(_existing(known), command)
        case AddToPlaylist():
            return _add(_existing(known), command)
        case RemoveFromPlaylist():
            return _remove(_existing(known), command)
        case ReorderPlaylist():
            return _reorder(_existing(known), command)
        case _:
            assert_never(command)


def evolve(state: Playlists, event: PlaylistEvent) -> None:
    known = state.setdefault(str(event.playlist_id), _unheard())
    match event:
        case PlaylistCreated():
            # without an order: what it had before it was deleted, or an equal time gave it, is another's
            _write(known, event, ())
            known.claims = times.remember(known.claims, *times.claim(event.claimed_at))
        case PlaylistUpdated():
            _write(known, event, event.order)
            known.claims = times.remember(known.claims, *times.claim(event.claimed_at))
        case PlaylistVisibilityChanged():
            _write(known, event, None)
        case PlaylistReordered():
            _write(known, msgspec.structs.replace(known, updated_at=event.updated_at), event.order)
        case PlaylistDeleted():
            known.deleted_at = times.later(known.deleted_at, event.deleted_at)
            known.claims = times.remember(known.claims, *times.claim(event.claimed_at))
        case PlaylistItemAdded():
            added = PlaylistItem(
                event.rss_source_feed,
                event.item_title,
                event.feed_title,
                added_at=event.added_at,
                claims=times.claim(event.claimed_at),
            )
            _put(known.items, event.rss_source_item, added)
        case PlaylistItemRemoved():
            removed = PlaylistItem(
                event.rss_source_feed, removed_at=event.removed_at, claims=times.claim(event.claimed_at)
            )
            _put(known.items, event.rss_source_item, removed)
        case _:
            assert_never(event)


def reconcile(state: Playlists, entries: list[PlaylistEntry], user_id: UUID, now: datetime) -> list[Event]:
    """The events of every difference between what a device knows and the state."""
    events: list[Event] = []
    for key, sent in together(entries).items():
        known = state.get(key)
        events += _reconciled(UUID(key), known, sent, user_id, now)
        for item, one in sent.items.items():
            at_hand = known.items.get(item) if known else None
            events += _reconciled_item(UUID(key), item, at_hand, one, user_id, now)
    return events


def together(entries: Iterable[PlaylistEntry]) -> Playlists:
    """One playlist per id of a payload: two entries of one id merge, by the times they claim."""
    sent: Playlists = {}
    for entry in entries:
        said = _said(entry)
        twin = sent.get(str(entry.id))
        sent[str(entry.id)] = said if twin is None else merge(twin, said)
    return sent


def lost(
    state: Playlists, entries: list[PlaylistEntry], user_id: UUID, now: datetime
) -> Iterator[tuple[str, PlaylistEntry, PlaylistEntry, str]]:
    """Key, client's value, server's value and rule of each entry that lost; ``state`` after the merge."""
    for key, said in together(entries).items():
        stands = state[key]
        items = ((one, stands.items[item]) for item, one in said.items.items())
        rule = lists.rule(said, stands, _key(said)[1:] == _key(stands)[1:], items, now)
        if rule is not None:
            yield key, _entry(key, said), _entry(key, stands), rule


def document(state: Playlists, ids: Iterable[str] | None = None) -> list[PlaylistEntry]:
    """All entries, or those of ``ids`` that the state knows, as a device would send them. The items that are
    in come first, in their order."""
    return [_entry(key, state[key]) for key in (state if ids is None else ids) if key in state]


def pruned(state: Playlists, before: datetime) -> Playlists:
    """A deep copy without what was deleted or removed before that time."""
    kept: Playlists = {}
    for key, of in state.items():
        if lists.gone(of, before):
            continue
        items, order = lists.without(of.items, of.order, before)
        kept[key] = msgspec.structs.replace(of, order=order, items=items)
    return kept


def _unheard() -> Playlist:
    """Of which nothing was said yet. Only an item or a deletion that comes before its playlist shows it."""
    return Playlist("", lists.NEVER)


def _existing(known: Playlist | None) -> Playlist:
    if known is None or not lists.exists(known):
        raise DomainError("playlist_not_found", "You have no such playlist.")
    return known


def _create(known: Playlist | None, command: CreatePlaylist) -> list[Event]:
    description = command.description or None
    if known is not None and lists.exists(known):
        if (known.name, known.description, known.is_public) == (command.name, description, command.is_public):
            return []
        raise DomainError("playlist_exists", "You have another playlist of this id.")
    created = PlaylistCreated(
        user_id=command.user_id,
        playlist_id=command.playlist_id,
        name=command.name,
        description=description,
        is_public=command.is_public,
        updated_at=command.now if known is None else lists.next_time(known, command.now),
    )
    return [created]


def _update(known: Playlist, command: UpdatePlaylist) -> list[Event]:
    name = known.name if command.name is None else command.name
    description = known.description if command.description is None else command.description or None
    is_public = known.is_public if command.is_public is None else command.is_public
    same = (name, description) == (known.name, known.description)
    if same and is_public == known.is_public:
        return []
    # else it is called and described as before, and merely shown or hidden
    kind = PlaylistVisibilityChanged if same else PlaylistUpdated
    changed = kind(
        user_id=command.user_id,
        playlist_id=command.playlist_id,
        name=name,
        description=description,
        is_public=is_public,
        updated_at=lists.next_time(known, command.now),
    )
    return [changed]


def _delete(known: Playlist | None, command: DeletePlaylist) -> list[Event]:
    if known is not None and not lists.exists(known):
        return []
    at = lists.next_time(_existing(known), command.now)
    return [PlaylistDeleted(user_id=command.user_id, playlist_id=command.playlist_id, deleted_at=at)]


def _add(known: Playlist, command: AddToPlaylist) -> list[Event]:
    item = known.items.get(command.item)
    said = PlaylistItem(command.feed, command.item_title or None, command.feed_title or None)
    if command.at is None and item is not None and lists.is_in(item):
        titles = (said.item_title or item.item_title, said.feed_title or item.feed_title)
        if (said.feed, *titles) == (item.feed, item.item_title, item.feed_title):
            return []
    at, claimed = lists.time_of(item, command.at, command.now)
    if at is None:
        return []
    said = msgspec.structs.replace(said, added_at=at)
    if item is not None and claimed is None and merge_items(item, said) == item:
        return []
    return [_added(command.user_id, command.playlist_id, command.item, said, claimed)]


def _remove(known: Playlist, command: RemoveFromPlaylist) -> list[Event]:
    item = known.items.get(command.item)
    if item is None:
        raise DomainError("item_not_in_playlist", "This episode is not in the playlist.")
    if command.at is None and not lists.is_in(item):
        return []
    at, claimed = lists.time_of(item, command.at, command.now)
    if at is None or (claimed is None and not times.is_later(at, item.removed_at)):
        return []
    said = PlaylistItem(item.feed, removed_at=at)
    return [_removed(command.user_id, command.playlist_id, command.item, said, claimed)]


def _reorder(known: Playlist, command: ReorderPlaylist) -> list[Event]:
    if any(item not in known.items for item in command.items):
        raise DomainError("item_not_in_playlist", "Not all of these episodes are in the playlist.")
    # what was taken out meanwhile has no place any more
    order = tuple(item for item in dict.fromkeys(command.items) if lists.is_in(known.items[item]))
    if order == known.order:
        return []
    at = lists.next_time(known, command.now)
    reordered = PlaylistReordered(
        user_id=command.user_id, playlist_id=command.playlist_id, order=order, updated_at=at
    )
    return [reordered]


def _reconciled(
    playlist_id: UUID, known: Playlist | None, sent: Playlist, user_id: UUID, now: datetime
) -> Iterator[Event]:
    """What a device says of the playlist itself, where it is news."""
    stands = known or _unheard()
    said = lists.news(
        lists.believed(sent.updated_at, sent.deleted_at, stands.claims, now),
        stands,
        lambda at: _key(msgspec.structs.replace(sent, updated_at=at)) > _key(stands),
    )
    if said.came is not None:
        changed = PlaylistUpdated(
            user_id=user_id,
            playlist_id=playlist_id,
            name=sent.name,
            description=sent.description,
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
        yield PlaylistDeleted(
            user_id=user_id, playlist_id=playlist_id, deleted_at=said.went, claimed_at=said.went_claim
        )


def _as_created(of: PlaylistUpdated) -> PlaylistCreated:
    return PlaylistCreated(
        user_id=of.user_id,
        playlist_id=of.playlist_id,
        name=of.name,
        description=of.description,
        is_public=of.is_public,
        updated_at=of.updated_at,
        claimed_at=of.claimed_at,
    )


def _reconciled_item(
    playlist_id: UUID, item: str, known: PlaylistItem | None, sent: PlaylistItem, user_id: UUID, now: datetime
) -> Iterator[Event]:
    stands = known or PlaylistItem(sent.feed)
    said = lists.believed(sent.added_at, sent.removed_at, stands.claims, now)
    added = msgspec.structs.replace(sent, added_at=said.came, removed_at=None)
    removed = PlaylistItem(sent.feed, removed_at=said.went)
    if said.came is not None and (said.came_claim or merge_items(stands, added) != stands):
        yield _added(user_id, playlist_id, item, added, said.came_claim)
    if said.went is not None and (said.went_claim or merge_items(stands, removed) != stands):
        yield _removed(user_id, playlist_id, item, removed, said.went_claim)


def _said(entry: PlaylistEntry) -> Playlist:
    # an item without any time says nothing
    told = [one for one in entry.items if one.added_at is not None or one.removed_at is not None]
    said = Playlist(
        name=entry.name,
        updated_at=entry.updated_at,
        description=entry.description or None,
        is_public=entry.is_public,
        deleted_at=entry.deleted_at,
        order=lists.order_of((one.rss_source_item, one.position) for one in told),
    )
    for one in told:
        item = PlaylistItem(one.rss_source_feed, added_at=one.added_at, removed_at=one.removed_at)
        if one.added_at is not None:
            titles = {"item_title": one.item_title or None, "feed_title": one.feed_title or None}
            item = msgspec.structs.replace(item, **titles)
        _put(said.items, one.rss_source_item, item)
    return said


def _entry(key: str, of: Playlist) -> PlaylistEntry:
    places = {item: place for place, item in enumerate(of.order)}
    here = lists.arranged(of.order, of.items)
    gone = of.items.keys() - set(here)
    return PlaylistEntry(
        id=UUID(key),
        name=of.name,
        updated_at=of.updated_at,
        description=of.description,
        is_public=of.is_public,
        deleted_at=of.deleted_at,
        items=[_item_entry(item, of.items[item], places.get(item)) for item in [*here, *sorted(gone)]],
    )


def _item_entry(item: str, of: PlaylistItem, place: int | None) -> PlaylistItemEntry:
    return PlaylistItemEntry(of.feed, item, of.item_title, of.feed_title, place, of.added_at, of.removed_at)


def _write(
    known: Playlist,
    of: Playlist | PlaylistCreated | PlaylistUpdated | PlaylistVisibilityChanged,
    order: tuple[str, ...] | None,
) -> None:
    """Put a register in the place of the known one, if it is the greater."""
    said = Playlist(
        of.name,
        of.updated_at,
        of.description,
        of.is_public,
        order=known.order if order is None else order,
    )
    if _key(said) > _key(known):
        known.updated_at, known.name, known.description = said.updated_at, said.name, said.description
        known.is_public, known.order = said.is_public, said.order


def _put(items: dict[str, PlaylistItem], item: str, of: PlaylistItem) -> None:
    known = items.get(item)
    items[item] = of if known is None else merge_items(known, of)


def _added(
    user_id: UUID, playlist_id: UUID, item: str, to: PlaylistItem, claimed: datetime | None
) -> PlaylistItemAdded:
    assert to.added_at is not None
    return PlaylistItemAdded(
        user_id=user_id,
        playlist_id=playlist_id,
        rss_source_feed=to.feed,
        rss_source_item=item,
        item_title=to.item_title,
        feed_title=to.feed_title,
        added_at=to.added_at,
        claimed_at=claimed,
    )


def _removed(
    user_id: UUID, playlist_id: UUID, item: str, to: PlaylistItem, claimed: datetime | None
) -> PlaylistItemRemoved:
    assert to.removed_at is not None
    return PlaylistItemRemoved(
        user_id=user_id,
        playlist_id=playlist_id,
        rss_source_feed=to.feed,
        rss_source_item=item,
        removed_at=to.removed_at,
        claimed_at=claimed,
    )


def _key(of: Playlist) -> tuple[datetime, str, str, bool, tuple[str, ...]]:
    return (of.updated_at, of.name, of.description or "", of.is_public, of.order)


def _titled(of: PlaylistItem) -> tuple[bool, datetime | None, str, str]:
    # None sorts first without being compared with a time
    return (of.added_at is not None, of.added_at, of.item_title or "", of.feed_title or "")


def _latest(of: PlaylistItem) -> tuple[bool, datetime | None, str]:
    at = lists.changed_at(of)
    return (at is not None, at, of.feed)
