"""Playlists: episodes in an order, with a name.

What a playlist is called and its order are one register: the later ``updated_at`` wins. Its items are merged
one by one, by the later of ``added_at`` and ``removed_at``; on equal times the item is in. A deletion is a
time like any other: the playlist exists while ``updated_at`` is not before ``deleted_at``.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

import msgspec

from eventstore.domain import times
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
    """``order`` is none where it stays as it was."""

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
    """Changed in place by the fold. ``created_at`` is the time of its first event."""

    name: str
    created_at: datetime
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


def decide(state: Playlists, command: PlaylistCommand) -> list[Event]:
    raise NotImplementedError


def evolve(state: Playlists, event: PlaylistEvent) -> None:
    raise NotImplementedError


def reconcile(state: Playlists, entries: list[PlaylistEntry], user_id: UUID, now: datetime) -> list[Event]:
    """The events of every difference between what a device knows and the state."""
    return []


def lost(
    state: Playlists, entries: list[PlaylistEntry], user_id: UUID, now: datetime
) -> Iterator[tuple[str, PlaylistEntry, PlaylistEntry, str]]:
    """Key, client's value, server's value and rule of each entry that lost; ``state`` after the merge."""
    return iter(())


def document(state: Playlists, ids: Iterable[str] | None = None) -> list[PlaylistEntry]:
    """All entries, or those of ``ids`` that the state knows, as a device would send them."""
    return []


def pruned(state: Playlists, before: datetime) -> Playlists:
    """A deep copy without what was deleted or removed before that time."""
    return {}
