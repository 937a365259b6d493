"""Playlists: ordered episodes under a name."""

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from msgspec import Struct

from api.episodes import NamedEpisode
from api.fields import (
    EnclosureUrl,
    Feed,
    Guid,
    Item,
    PlaylistKind,
    PlaylistName,
    PlaylistPlace,
    Title,
)
from api.titles import Titles
from api.v1 import lists
from api.v1.lists import Kind, ListChanges, NewList, NewMember, Order, RemoveQuery
from eventstore.domain import playlists
from eventstore.domain.identifiers import shown_item
from eventstore.domain.naming import EpisodeName
from eventstore.domain.user import User
from projections import lists as reads
from projections.lists import PlaylistItemRow


class Playlist(Struct):
    """A playlist without its episodes. `kind`: `queue` for the one that holds what the user plays next, which
    is made when it is first used and cannot be deleted (422 `queue_not_deletable`). `updated_at`: when its
    name, description, visibility or order last changed."""

    id: UUID
    name: str
    description: str | None
    is_public: bool
    kind: PlaylistKind
    updated_at: datetime
    item_count: int


class PlaylistItem(Struct):
    """An episode of a playlist. `item_title` and `feed_title` are what the app sent; the other titles and the
    cover are the feed's own, and null while the feed has not been fetched."""

    rss_source_feed: str
    rss_source_item: str
    guid: str
    enclosure_url: str
    item_title: str | None
    feed_title: str | None
    rss_feed_title: str | None
    rss_item_title: str | None
    cover: str | None
    added_at: datetime


class PlaylistBody(NewList):
    """`id`: chosen by the app; without it the server chooses one. Others see the playlist only if it is
    public."""


class PlaylistChanges(ListChanges):
    """What is left out or null does not change; an empty description removes it."""


class PlaylistItemBody(NewMember, kw_only=True):
    """`added_at` is for what was done offline; `place` applies when the request arrives. To play an episode
    next, add it to the playlist `queue` with the place `first`."""

    needs_episode: ClassVar = True

    rss_source_feed: Feed
    rss_source_item: Item | None = None
    guid: Guid | None = None
    enclosure_url: EnclosureUrl | None = None
    item_title: Title | None = None
    feed_title: Title | None = None
    place: PlaylistPlace | None = None


class PlaylistRemoveQuery(RemoveQuery):
    """`feed`: needed if the playlist has the item of several feeds."""

    feed: Feed | None = None


class OrderedItem(NamedEpisode, kw_only=True):
    """The feed is needed if the playlist has the item of several feeds."""

    rss_source_feed: Feed | None = None


class PlaylistOrder(Order):
    """The episodes in their new order; episodes that are not listed come after these."""

    place: ClassVar = ("items", "rss_source_item")

    items: list[OrderedItem]

    def names(self) -> Sequence[EpisodeName]:
        return [EpisodeName(one.rss_source_feed, one.rss_source_item or "") for one in self.items]


def _show_item(row: PlaylistItemRow, titles: Titles) -> PlaylistItem:
    feed, item, item_title, feed_title, added_at = row
    described = titles.of_episode(feed, item)
    return PlaylistItem(feed, *shown_item(item), item_title, feed_title, *described, added_at)


def _id_of(user_id: UUID, name: str) -> UUID:
    return playlists.queue_id(user_id) if name == "queue" else UUID(name)


def _state(user: User, playlist_id: UUID) -> Playlist:
    of = user.playlists[str(playlist_id)]
    count = sum(map(playlists.ITEMS.is_on, of.members.values()))
    return Playlist(playlist_id, of.name, of.description, of.is_public, of.kind, of.updated_at, count)


paths = lists.paths(
    Kind(
        register=playlists.REGISTER,
        reads=reads.PLAYLISTS,
        shape=Playlist,
        member_shape=PlaylistItem,
        member_name=Item,
        list_name=PlaylistName,
        id_of=_id_of,
        taken=(PlaylistBody, PlaylistChanges, PlaylistItemBody, PlaylistRemoveQuery, PlaylistOrder),
        show_member=_show_item,
        state=_state,
        clear=playlists.ClearPlaylist,
    )
)
