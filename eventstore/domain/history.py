"""The history as its listener reads it: when something happened, and whether what it said still holds.

Told from the state alone, so that a page of a long history costs no fold of all of it: why a value stands is
known for every key that the state still holds.
"""

from datetime import datetime
from typing import NamedTuple

from eventstore.domain import lists, privacy
from eventstore.domain.collections import (
    CollectionCreated,
    CollectionDeleted,
    CollectionReordered,
    CollectionUpdated,
    CollectionVisibilityChanged,
    FeedAddedToCollection,
    FeedRemovedFromCollection,
)
from eventstore.domain.episodes import EpisodeSaved, EpisodeUnsaved
from eventstore.domain.lists import Member, Register
from eventstore.domain.messages import Event
from eventstore.domain.playlists import (
    PlaylistCreated,
    PlaylistDeleted,
    PlaylistItemAdded,
    PlaylistItemRemoved,
    PlaylistReordered,
    PlaylistUpdated,
    PlaylistVisibilityChanged,
)
from eventstore.domain.plays import PlayRecorded, PositionUpdated
from eventstore.domain.privacy import PrivacyChanged
from eventstore.domain.state import User
from eventstore.domain.subscriptions import UserSubscribed, UserUnsubscribed

# every event has at most one of these
TIMES = (
    "subscribed_at",
    "unsubscribed_at",
    "played_at",
    "updated_at",
    "saved_at",
    "unsaved_at",
    "shared_at",
    "changed_at",
    "added_at",
    "removed_at",
    "deleted_at",
    "taken_at",
)
# what a list is called, and its order
REGISTER = ("name", "description", "color", "is_public", "order")


class Standing(NamedTuple):
    """Whether what an event said holds now, and the rule that decided for or against it."""

    stands: bool
    rule: str


def happened_at(event: Event) -> datetime | None:
    """The time that counts for an event: the device's own where it could be believed."""
    return next((getattr(event, name) for name in TIMES if hasattr(event, name)), None)


def standing(user: User, event: Event) -> Standing | None:
    """None where it cannot be told: shares are no state, and what was gone for long is forgotten."""
    decided = _decided(user, event)
    if decided is None:
        return None
    stands, decided_at, tie = decided
    if not stands and getattr(event, "claimed_at", None) is not None:
        return Standing(False, "clock_ahead")
    return Standing(stands, tie if not stands and happened_at(event) == decided_at else "later_wins")


def _decided(user: User, event: Event) -> tuple[bool, datetime | None, str] | None:
    """Whether it stands, the time of what stands, and the name of the rule for equal times."""
    match event:
        case UserSubscribed() | UserUnsubscribed():
            followed = user.subscriptions.get(event.rss_source_feed)
            if followed is None:
                return None
            agrees = followed.active is isinstance(event, UserSubscribed)
            latest = followed.changed_at == happened_at(event)
            return agrees and latest, followed.changed_at, "subscribed_wins_a_tie"
        case PlayRecorded() | PositionUpdated():
            heard = user.plays.get(event.rss_source_item)
            if heard is None:
                return None
            said = (event.position, event.played, event.rss_source_feed, happened_at(event))
            stands = said == (heard.position, heard.played, heard.feed, heard.updated_at)
            return stands, heard.updated_at, "further_position_wins_a_tie"
        case EpisodeSaved() | EpisodeUnsaved():
            liked = user.saved_episodes.get(event.rss_source_item)
            if liked is None:
                return None
            agrees = liked.saved is isinstance(event, EpisodeSaved)
            latest = liked.changed_at == happened_at(event)
            return agrees and latest, liked.changed_at, "saved_wins_a_tie"
        case PrivacyChanged():
            setting = user.privacy.get(privacy.scope_of(event.rss_source_feed, event.rss_source_item))
            if setting is None:
                return None
            stands = (event.level, event.changed_at) == (setting.level, setting.changed_at)
            return stands, setting.changed_at, "more_private_wins_a_tie"
        case PlaylistItemAdded() | PlaylistItemRemoved():
            playlist = user.playlists.get(str(event.playlist_id))
            item = playlist.items.get(event.rss_source_item) if playlist else None
            return _member(item, event, isinstance(event, PlaylistItemAdded))
        case FeedAddedToCollection() | FeedRemovedFromCollection():
            collection = user.collections.get(str(event.collection_id))
            feed = collection.feeds.get(event.rss_source_feed) if collection else None
            return _member(feed, event, isinstance(event, FeedAddedToCollection))
        case PlaylistDeleted():
            return _deletion(user.playlists.get(str(event.playlist_id)), event.deleted_at)
        case CollectionDeleted():
            return _deletion(user.collections.get(str(event.collection_id)), event.deleted_at)
        case PlaylistCreated() | PlaylistUpdated() | PlaylistVisibilityChanged() | PlaylistReordered():
            return _register(user.playlists.get(str(event.playlist_id)), event)
        case (
            CollectionCreated() | CollectionUpdated() | CollectionVisibilityChanged() | CollectionReordered()
        ):
            return _register(user.collections.get(str(event.collection_id)), event)
    return None


def _member(of: Member | None, event: Event, added: bool) -> tuple[bool, datetime | None, str] | None:
    if of is None:
        return None
    decided_at = lists.changed_at(of)
    stands = lists.is_in(of) is added and decided_at == happened_at(event)
    return stands, decided_at, "added_wins_a_tie"


def _deletion(of: Register | None, at: datetime) -> tuple[bool, datetime | None, str] | None:
    if of is None:
        return None
    return not lists.exists(of) and of.deleted_at == at, lists.settled_at(of), "existing_wins_a_tie"


def _register(of: Register | None, event: Event) -> tuple[bool, datetime | None, str] | None:
    """By what it says: a playlist that was only reordered since is still called what it was called."""
    if of is None:
        return None
    said = {name: getattr(event, name) for name in REGISTER if hasattr(event, name)}
    if said.get("order", ()) is None:
        del said["order"]
    stands = lists.exists(of) and all(getattr(of, name) == value for name, value in said.items())
    return stands, lists.settled_at(of), "greater_value_wins_a_tie"
