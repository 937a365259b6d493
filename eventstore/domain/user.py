"""The aggregate: everything that one listener's stream says, topic by topic."""

from typing import TypeAlias, assert_never

from eventstore.domain import collections, episodes, playlists, plays, privacy, retention, subscriptions, sync
from eventstore.domain.collections import (
    AddFeedToCollection,
    CollectionCommand,
    CollectionCreated,
    CollectionDeleted,
    CollectionEvent,
    CollectionReordered,
    CollectionUpdated,
    CollectionVisibilityChanged,
    CreateCollection,
    DeleteCollection,
    FeedAddedToCollection,
    FeedRemovedFromCollection,
    RemoveFeedFromCollection,
    ReorderCollection,
    UpdateCollection,
)
from eventstore.domain.episodes import (
    EpisodeCommand,
    EpisodeEvent,
    EpisodeSaved,
    EpisodeShared,
    EpisodeUnsaved,
    SaveEpisode,
    ShareEpisode,
    UnsaveEpisode,
)
from eventstore.domain.errors import DomainError
from eventstore.domain.messages import Event
from eventstore.domain.playlists import (
    AddToPlaylist,
    CreatePlaylist,
    DeletePlaylist,
    PlaylistCommand,
    PlaylistCreated,
    PlaylistDeleted,
    PlaylistEvent,
    PlaylistItemAdded,
    PlaylistItemRemoved,
    PlaylistReordered,
    PlaylistUpdated,
    PlaylistVisibilityChanged,
    RemoveFromPlaylist,
    ReorderPlaylist,
    UpdatePlaylist,
)
from eventstore.domain.plays import (
    PlayCommand,
    PlayEvent,
    PlayRecorded,
    PositionUpdated,
    RecordPlay,
    UpdatePosition,
)
from eventstore.domain.privacy import (
    ChangePrivacy,
    ClearPrivacy,
    PrivacyChanged,
    PrivacyCommand,
    PrivacyEvent,
)
from eventstore.domain.retention import (
    EventsRemoved,
    FeedMarked,
    InstanceEvent,
    PopularityRecalculated,
    PublicHistoryTrimmed,
    RetentionEvent,
    TakeCheckpoint,
    UserCheckpoint,
)
from eventstore.domain.state import User
from eventstore.domain.subscriptions import (
    Subscribe,
    SubscriptionCommand,
    SubscriptionEvent,
    Unsubscribe,
    UserSubscribed,
    UserUnsubscribed,
)
from eventstore.domain.sync import SyncUserData

__all__ = ["User", "UserCommand", "UserEvent", "decide", "evolve"]

UserCommand: TypeAlias = (
    SubscriptionCommand
    | PlayCommand
    | EpisodeCommand
    | PlaylistCommand
    | CollectionCommand
    | PrivacyCommand
    | SyncUserData
    | TakeCheckpoint
)
UserEvent: TypeAlias = (
    SubscriptionEvent
    | PlayEvent
    | EpisodeEvent
    | PlaylistEvent
    | CollectionEvent
    | PrivacyEvent
    | RetentionEvent
    | InstanceEvent
)


def decide(user: User, command: UserCommand) -> list[Event]:
    """The events that a command leads to; none when nothing changes. Pure. Raises ``DomainError``."""
    match command:
        case Subscribe() | Unsubscribe():
            return _with_default(user, command, subscriptions.decide(user.subscriptions, command))
        case RecordPlay() | UpdatePosition():
            return plays.decide(user.plays, command)
        case SaveEpisode() | UnsaveEpisode() | ShareEpisode():
            return episodes.decide(user.saved_episodes, command)
        case (
            CreatePlaylist()
            | UpdatePlaylist()
            | DeletePlaylist()
            | AddToPlaylist()
            | RemoveFromPlaylist()
            | ReorderPlaylist()
        ):
            return playlists.decide(user.playlists, command)
        case AddFeedToCollection():
            subscription = user.subscriptions.get(command.feed)
            if subscription is None or not subscription.active:
                raise DomainError("not_subscribed", "Only feeds that you subscribe to go into a collection.")
            return collections.decide(user.collections, command)
        case (
            CreateCollection()
            | UpdateCollection()
            | DeleteCollection()
            | RemoveFeedFromCollection()
            | ReorderCollection()
        ):
            return collections.decide(user.collections, command)
        case ChangePrivacy() | ClearPrivacy():
            return privacy.decide(user.privacy, command)
        case SyncUserData():
            return _with_default(user, command, sync.decide(user, command))
        case TakeCheckpoint():
            return [retention.checkpoint(user, command)]
        case _:
            assert_never(command)


def evolve(user: User, event: UserEvent) -> None:
    """Fold one event into the state, in place. Judges nothing: what is recorded has happened."""
    match event:
        case PlayRecorded() | PositionUpdated():
            plays.evolve(user.plays, event)
        case UserSubscribed() | UserUnsubscribed():
            subscriptions.evolve(user.subscriptions, event)
        case EpisodeSaved() | EpisodeUnsaved() | EpisodeShared():
            episodes.evolve(user.saved_episodes, event)
        case (
            PlaylistCreated()
            | PlaylistUpdated()
            | PlaylistVisibilityChanged()
            | PlaylistReordered()
            | PlaylistDeleted()
            | PlaylistItemAdded()
            | PlaylistItemRemoved()
        ):
            playlists.evolve(user.playlists, event)
        case (
            CollectionCreated()
            | CollectionUpdated()
            | CollectionVisibilityChanged()
            | CollectionReordered()
            | CollectionDeleted()
            | FeedAddedToCollection()
            | FeedRemovedFromCollection()
        ):
            collections.evolve(user.collections, event)
        case PrivacyChanged():
            privacy.evolve(user.privacy, event)
        case UserCheckpoint():
            retention.restore(user, event)
        case EventsRemoved() | PopularityRecalculated() | PublicHistoryTrimmed() | FeedMarked():
            pass  # a checkpoint follows the first; the others are nobody's
        case _:
            assert_never(event)


def _with_default(
    user: User, command: Subscribe | Unsubscribe | SyncUserData, events: list[Event]
) -> list[Event]:
    """The first subscription also creates the default collection, as an event of its own."""
    if not any(isinstance(event, UserSubscribed) for event in events):
        return events
    created = collections.default(user.collections, command.user_id, command.now)
    made = any(isinstance(event, CollectionCreated) and event.is_default for event in events)
    return events if created is None or made else [*events, created]
