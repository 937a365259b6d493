"""Playlists: episodes in an order, with a name.

What a playlist is called and its order are one register: the later ``updated_at`` wins. Its items are merged
one by one, by the later of ``added_at`` and ``removed_at``; on equal times the item is in. A deletion is a
time like any other: the playlist exists while ``updated_at`` is not before ``deleted_at``.
"""

from collections.abc import Iterator, MutableMapping
from datetime import datetime
from typing import Annotated, Any, TypeAlias
from uuid import UUID

import msgspec

from eventstore.domain import times
from eventstore.domain.fields import EPISODE_KEY, FEED, ITEM
from eventstore.domain.identifiers import episode_key
from eventstore.domain.messages import Command, Event, Order
from eventstore.domain.naming import Episode, EpisodeName, choose
from eventstore.domain.ordered import Commands, Events, ListHeader, OrderedSet, Words
from eventstore.domain.registers import OnOff
from eventstore.domain.topic import Topic


class CreatePlaylist(Command, frozen=True, kw_only=True):
    playlist_id: UUID
    name: str
    description: str | None = None
    is_public: bool = False


class UpdatePlaylist(Command, frozen=True, kw_only=True):
    """What is None stays as it is; an empty description takes it away."""

    playlist_id: UUID
    name: str | None = None
    description: str | None = None
    is_public: bool | None = None


class DeletePlaylist(Command, frozen=True, kw_only=True):
    playlist_id: UUID


class AddToPlaylist(Order, frozen=True, kw_only=True):
    playlist_id: UUID
    feed: str
    item: str
    item_title: str | None = None
    feed_title: str | None = None


class RemoveFromPlaylist(Order, frozen=True, kw_only=True):
    """``feed`` may be left out where the playlist has the item of one feed alone."""

    playlist_id: UUID
    item: str
    feed: str | None = None


class ReorderPlaylist(Command, frozen=True, kw_only=True):
    playlist_id: UUID
    items: tuple[EpisodeName, ...]


class PlaylistCreated(Event, frozen=True, kw_only=True, gc=False):
    playlist_id: UUID
    name: str
    description: str | None = None
    is_public: bool = False
    updated_at: datetime
    claimed_at: datetime | None = None


class PlaylistUpdated(Event, frozen=True, kw_only=True, gc=False):
    """``order``: the keys of the episodes; none where it stays as it was. What came by a sync gives it."""

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


class PlaylistItem(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    feed: str
    item: str
    item_title: str | None = None
    feed_title: str | None = None
    added_at: datetime | None = None
    removed_at: datetime | None = None
    skewed: times.Skewed = ()


class Playlist(ListHeader, omit_defaults=True):
    members: dict[str, PlaylistItem] = {}


class PlaylistItemEntry(msgspec.Struct, frozen=True, gc=False):
    """An episode of a playlist. The later of the two times decides; on equal times it is in."""

    rss_source_feed: str
    rss_source_item: str
    item_title: str | None = None
    feed_title: str | None = None
    position: int | None = None
    added_at: datetime | None = None
    removed_at: datetime | None = None
    guid: str | None = None
    enclosure_url: str | None = None


class PlaylistEntry(msgspec.Struct, frozen=True):
    """A playlist as a device knows it. Name, description, visibility and order go by `updated_at`, each
    item by its own times; it is deleted where `deleted_at` is later than `updated_at`."""

    id: UUID
    name: str
    updated_at: datetime
    description: str | None = None
    is_public: bool = False
    deleted_at: datetime | None = None
    items: list[PlaylistItemEntry] = []


class _Playlists(OrderedSet[Playlist, PlaylistItem]):
    """A playlist's own episodes are meant where a command leaves the feed out."""

    def member_named(self, of: Playlist, command: Any) -> str:
        return self._key(of, EpisodeName(command.feed, command.item))

    def members_named(self, of: Playlist, command: Any) -> Iterator[str]:
        return (self._key(of, name) for name in command.items)

    def _key(self, of: Playlist, name: EpisodeName) -> str:
        found = choose((Episode(one.feed, one.item) for one in of.members.values()), name)
        return "" if found.feed is None else episode_key(found.feed, found.item)


# the titles go with the later addition, the newest item is that of the latest of both times
ITEMS = OnOff(
    PlaylistItem,
    PlaylistItemEntry,
    key=EPISODE_KEY,
    names={"feed": FEED, "item": ITEM},
    on="added_at",
    off="removed_at",
    with_on=("item_title", "feed_title"),
    with_latest=("feed", "item"),
    events=(PlaylistItemAdded, PlaylistItemRemoved),
    tie="added_wins_a_tie",
    within="playlist_id",
)
REGISTER = _Playlists(
    Playlist,
    PlaylistEntry,
    key="playlist_id",
    called=("name", "description", "is_public"),
    members=ITEMS,
    plural="items",
    commands=Commands(
        CreatePlaylist, UpdatePlaylist, DeletePlaylist, AddToPlaylist, RemoveFromPlaylist, ReorderPlaylist
    ),
    events=Events(
        PlaylistCreated, PlaylistUpdated, PlaylistVisibilityChanged, PlaylistReordered, PlaylistDeleted
    ),
    words=Words("playlist", "item", "episode"),
)
TOPIC = Topic(
    name="playlists",
    plural="playlists",
    kind="playlist",
    register=REGISTER,
    commands=dict.fromkeys(REGISTER.decisions, REGISTER.decide),
    keys=REGISTER.keys,
)
Playlists: TypeAlias = Annotated[MutableMapping[str, Playlist], TOPIC]
