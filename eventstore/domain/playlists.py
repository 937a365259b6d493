"""Playlists: named lists of episodes in an order.

The name, the other header fields and the order of a playlist are one register: the later ``updated_at`` wins.
Its items are merged one by one, by the later of ``added_at`` and ``removed_at``; on equal times the item is
in the playlist. A deletion is a time like any other: the playlist exists while ``updated_at`` is not before
``deleted_at``.

One of the playlists, of kind ``queue``, is what its listener hears next. It is created when something is
first done to it, and cannot be deleted.
"""

from collections.abc import Iterator, Mapping, MutableMapping
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID, uuid5

import msgspec

from eventstore.domain import times
from eventstore.domain.errors import DomainError
from eventstore.domain.fields import EPISODE_KEY, FEED, ITEM
from eventstore.domain.identifiers import episode_key
from eventstore.domain.messages import Command, Event, Order
from eventstore.domain.naming import Episode, EpisodeName, choose
from eventstore.domain.ordered import Commands, Events, ListHeader, OrderedSet, Words
from eventstore.domain.register import replace
from eventstore.domain.registers import OnOff
from eventstore.domain.topic import Topic

QUEUE_NAME = "Up next"
# a list that the listener put together, or the queue of what the listener hears next
Kind = Literal["list", "queue"]
# where an episode is put into a playlist
Place = Literal["first", "last"]


@lru_cache(maxsize=1_024)
def queue_id(user_id: UUID) -> UUID:
    """Return the id of a user's queue, which is derived from the user's id."""
    return uuid5(user_id, "queue")


class CreatePlaylist(Command, frozen=True, kw_only=True):
    playlist_id: UUID
    name: str
    description: str | None = None
    is_public: bool = False


class UpdatePlaylist(Command, frozen=True, kw_only=True):
    """A field that is None stays as it is; an empty description removes the old one."""

    playlist_id: UUID
    name: str | None = None
    description: str | None = None
    is_public: bool | None = None


class DeletePlaylist(Command, frozen=True, kw_only=True):
    playlist_id: UUID


class AddToPlaylist(Order, frozen=True, kw_only=True):
    """``place``: where the episode goes, even if it is in the playlist already; with None, an episode that is
    in it stays where it is. The resulting order has the time at which the command arrives, whatever ``at``
    says."""

    playlist_id: UUID
    feed: str
    item: str
    item_title: str | None = None
    feed_title: str | None = None
    place: Place | None = None


class RemoveFromPlaylist(Order, frozen=True, kw_only=True):
    """``feed`` may be left out where the playlist has the item of only one feed."""

    playlist_id: UUID
    item: str
    feed: str | None = None


class ReorderPlaylist(Command, frozen=True, kw_only=True):
    playlist_id: UUID
    items: tuple[EpisodeName, ...]


class ClearPlaylist(Command, frozen=True, kw_only=True):
    """Removes all episodes from a playlist."""

    playlist_id: UUID


class PlaylistCreated(Event, frozen=True, kw_only=True, gc=False):
    playlist_id: UUID
    name: str
    description: str | None = None
    is_public: bool = False
    kind: Kind = "list"
    updated_at: datetime
    claimed_at: datetime | None = None


class PlaylistUpdated(Event, frozen=True, kw_only=True, gc=False):
    """``order``: the keys of the episodes; None where it stays as it was. An update from a sync gives it."""

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


class PlaylistItem(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    feed: str
    item: str
    item_title: str | None = None
    feed_title: str | None = None
    added_at: datetime | None = None
    removed_at: datetime | None = None
    skewed: times.Skewed = ()


class Playlist(ListHeader, omit_defaults=True):
    kind: Kind = "list"
    members: dict[str, PlaylistItem] = {}


class PlaylistItemEntry(msgspec.Struct, frozen=True, gc=False):
    """An episode of a playlist. The later of the two times decides; on equal times the episode is in it."""

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
    """A playlist as a device knows it. Name, description, visibility and order go by `updated_at`, each item
    by its own times; it is deleted where `deleted_at` is later than `updated_at`. Only the server sets
    `kind`."""

    id: UUID
    name: str
    updated_at: datetime
    description: str | None = None
    is_public: bool = False
    kind: Kind = "list"
    deleted_at: datetime | None = None
    items: list[PlaylistItemEntry] = []


class _Playlists(OrderedSet[Playlist, PlaylistItem]):
    """Playlists, with rules for the queue. A command that leaves the feed out means one of the playlist's own
    episodes."""

    def __init__(self, *args: Any, **declared: Any) -> None:
        super().__init__(*args, **declared)
        self.decisions[ClearPlaylist] = lambda known, command: self.clear(self.existing(known), command)

    def blank(self, user_id: UUID, key: str) -> Playlist:
        return Playlist("", times.NEVER, kind="queue" if key == str(queue_id(user_id)) else "list")

    def exists(self, of: Playlist) -> bool:
        return of.kind == "queue" or super().exists(of)

    def from_entry(self, entry: Any, user_id: UUID) -> Playlist:
        sent = super().from_entry(entry, user_id)
        sent.kind = "queue" if entry.id == queue_id(user_id) else "list"
        if sent.kind == "queue":
            sent.deleted_at = None
        return sent

    def decide(self, entries: Mapping[str, Playlist], command: Any) -> list[Event]:
        """Decide as all ordered sets do; what is first done to the queue also creates it, as an event of its
        own. Raises ``DomainError`` ``queue_not_deletable``, too."""
        key = self.key.read(command)
        known = entries.get(key)
        if key != str(queue_id(command.user_id)) or (known is not None and self.is_on(known)):
            return super().decide(entries, command)
        if isinstance(command, CreatePlaylist | DeletePlaylist):
            return super().decide(entries, command)
        made = PlaylistCreated(
            user_id=command.user_id,
            playlist_id=command.playlist_id,
            name=QUEUE_NAME,
            kind="queue",
            updated_at=command.now,
        )
        with_queue = self.prune({} if known is None else {key: known}, times.NEVER)
        self.evolve(with_queue, made)
        return [made, *super().decide(with_queue, command)]

    def delete(self, known: Playlist | None, command: DeletePlaylist) -> list[Event]:
        if command.playlist_id == queue_id(command.user_id):
            detail = "What comes next is a list that stays: take out what is in it instead."
            raise DomainError("queue_not_deletable", detail)
        return super().delete(known, command)

    def add(self, known: Playlist, command: AddToPlaylist) -> list[Event]:
        events = super().add(known, command)
        if command.place is None:
            return events
        key = self.member_named(known, command)
        after = replace(known, members=dict(known.members))
        for event in events:
            self.members.evolve(after.members, event)
        arranged = self.arranged(after)
        if key not in arranged:  # it was removed at a later time than that of the addition
            return events
        others = [name for name in arranged if name != key]
        order = [key, *others] if command.place == "first" else [*others, key]
        return events if order == arranged else [*events, *self.put_in_order(after, tuple(order), command)]

    def clear(self, known: Playlist, command: ClearPlaylist) -> list[Event]:
        inside = self.arranged(known)
        added = (known.members[key].added_at for key in inside)
        at, within = times.after_all(command.now, *added), command.playlist_id
        removed = self.members.carriers[PlaylistItemRemoved]
        return [
            removed.make(
                command.user_id,
                {**self.members.key.named(key), "playlist_id": within},
                replace(known.members[key], added_at=None, removed_at=at),
                None,
            )
            for key in inside
        ]

    def member_named(self, of: Playlist, command: Any) -> str:
        return self._key(of, EpisodeName(command.feed, command.item))

    def members_named(self, of: Playlist, command: Any) -> Iterator[str]:
        return (self._key(of, name) for name in command.items)

    def _key(self, of: Playlist, name: EpisodeName) -> str:
        found = choose((Episode(one.feed, one.item) for one in of.members.values()), name)
        return "" if found.feed is None else episode_key(found.feed, found.item)


# the titles belong to the time of addition, feed and item to the later of both times
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
