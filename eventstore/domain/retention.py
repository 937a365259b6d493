"""Retention: what stands for the events that were deleted, and what deletes them.

``UserCheckpoint`` holds the whole state, so that everything before it may go. ``EventsRemoved`` is the
deletion event: what it names is gone from the log, and a checkpoint of what remains follows it.
"""

from datetime import UTC, datetime
from typing import Literal, TypeAlias
from uuid import UUID

from eventstore.domain import collections, episodes, playlists, plays, privacy, subscriptions
from eventstore.domain.collections import Collections
from eventstore.domain.episodes import SavedEpisodes
from eventstore.domain.messages import INSTANCE, Command, Event
from eventstore.domain.playlists import Playlists
from eventstore.domain.plays import PlayStatuses
from eventstore.domain.privacy import PrivacySettings
from eventstore.domain.state import User
from eventstore.domain.subscriptions import Subscriptions

LONG_AGO = datetime.min.replace(tzinfo=UTC)
# Who keeps a feed from the public: what the feed says of itself, or whoever runs the instance.
Marker: TypeAlias = Literal["publisher", "operator"]


class TakeCheckpoint(Command, frozen=True, kw_only=True):
    """``before``: what was deleted, unsubscribed or cleared earlier than this is left out."""

    now: datetime
    before: datetime


class UserCheckpoint(Event, frozen=True, kw_only=True):
    """The truth of its user from here on: whatever it does not hold is no more."""

    taken_at: datetime
    subscriptions: Subscriptions = {}
    plays: PlayStatuses = {}
    saved_episodes: SavedEpisodes = {}
    playlists: Playlists = {}
    collections: Collections = {}
    privacy: PrivacySettings = {}


class EventsRemoved(Event, frozen=True, kw_only=True, gc=False):
    """The history of a feed, an item, or with neither of everything, was removed from the log for good.

    Digests (``identifiers.key_of``), so that the event does not keep what it removes.
    """

    feed_key: UUID | None = None
    item_key: UUID | None = None
    removed_at: datetime


class PopularityRecalculated(Event, frozen=True, kw_only=True, gc=False):
    """Absolute figures of a feed, or of one item where that is given; all zero where nothing is left."""

    user_id: UUID = INSTANCE
    rss_source_feed: str
    rss_source_item: str | None = None
    score: int = 0
    score_previous: int = 0
    plays: int = 0
    likes: int = 0
    shares: int = 0
    subscribers: int = 0
    calculated_at: datetime


class PublicHistoryTrimmed(Event, frozen=True, kw_only=True, gc=False):
    """What happened before ``before`` is too old to be shown."""

    user_id: UUID = INSTANCE
    before: datetime


class FeedMarked(Event, frozen=True, kw_only=True, gc=False):
    """From here on nothing of a feed is public; or, not ``blocked``, what listeners' levels let out again.

    Each marker has a mark of its own, and one is enough. A digest (``identifiers.key_of``): it is members'
    feeds above all that publishers mark, and the address of an erased listener's is not to stay in here.
    """

    user_id: UUID = INSTANCE
    feed_key: UUID
    marked_by: Marker
    blocked: bool
    marked_at: datetime


RetentionEvent: TypeAlias = UserCheckpoint | EventsRemoved
InstanceEvent: TypeAlias = PopularityRecalculated | PublicHistoryTrimmed | FeedMarked

# Retention deletes events of these types and of no others. A new type belongs into one of the two sets: where
# it changes the state, ``checkpoint`` must carry what it changed (tests/domain/test_retention.py).
CARRIED: frozenset[type[Event]] = frozenset(
    (
        subscriptions.UserSubscribed,
        subscriptions.UserUnsubscribed,
        plays.PlayRecorded,
        plays.PositionUpdated,
        episodes.EpisodeSaved,
        episodes.EpisodeUnsaved,
        playlists.PlaylistCreated,
        playlists.PlaylistUpdated,
        playlists.PlaylistVisibilityChanged,
        playlists.PlaylistReordered,
        playlists.PlaylistDeleted,
        playlists.PlaylistItemAdded,
        playlists.PlaylistItemRemoved,
        collections.CollectionCreated,
        collections.CollectionUpdated,
        collections.CollectionVisibilityChanged,
        collections.CollectionReordered,
        collections.CollectionDeleted,
        collections.FeedAddedToCollection,
        collections.FeedRemovedFromCollection,
        privacy.PrivacyChanged,
        UserCheckpoint,
    )
)
# No state: what the public saw of a share is as old as the share, and what was removed is gone.
PASSING: frozenset[type[Event]] = frozenset((episodes.EpisodeShared, EventsRemoved))
# Of nobody in particular: superseded by newer ones, not covered by checkpoints.
OF_THE_INSTANCE: frozenset[type[Event]] = frozenset(
    (PopularityRecalculated, PublicHistoryTrimmed, FeedMarked)
)


def checkpoint(user: User, command: TakeCheckpoint) -> UserCheckpoint:
    """The whole state, without what has been gone since before ``command.before``. Shares nothing mutable."""
    return UserCheckpoint(
        user_id=command.user_id,
        taken_at=command.now,
        subscriptions=subscriptions.pruned(user.subscriptions, command.before),
        plays=dict(user.plays),
        saved_episodes=episodes.pruned(user.saved_episodes, command.before),
        playlists=playlists.pruned(user.playlists, command.before),
        collections=collections.pruned(user.collections, command.before),
        privacy=privacy.pruned(user.privacy, command.before),
    )


def restore(user: User, of: UserCheckpoint) -> None:
    """Put a checkpoint in the place of the state. Copies what a fold goes on to change."""
    user.subscriptions = dict(of.subscriptions)
    user.plays = dict(of.plays)
    user.saved_episodes = dict(of.saved_episodes)
    user.playlists = playlists.pruned(of.playlists, LONG_AGO)
    user.collections = collections.pruned(of.collections, LONG_AGO)
    user.privacy = dict(of.privacy)
