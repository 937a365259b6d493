"""Sync: what a device knows, merged into what the server knows, and what the device lacks.

Each topic brings its own merge; here they come together. A new topic adds its entries to ``SyncUserData``
and ``SyncData``, and a line to ``decide``, ``conflicts``, ``document`` and ``_touched``.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from eventstore.domain import collections, episodes, playlists, plays, privacy, subscriptions
from eventstore.domain.collections import CollectionEntry
from eventstore.domain.episodes import EpisodeSaved, EpisodeUnsaved, SavedEpisodeEntry
from eventstore.domain.messages import Command, Event
from eventstore.domain.playlists import PlaylistEntry
from eventstore.domain.plays import PlayEntry, PlayRecorded, PositionUpdated
from eventstore.domain.privacy import PrivacyChanged, PrivacyEntry
from eventstore.domain.state import User
from eventstore.domain.subscriptions import SubscriptionEntry, UserSubscribed, UserUnsubscribed


class SyncUserData(Command, frozen=True, kw_only=True):
    """One unit: all of it is recorded in one append, or nothing."""

    now: datetime
    subscriptions: list[SubscriptionEntry] = []
    play_statuses: list[PlayEntry] = []
    saved_episodes: list[SavedEpisodeEntry] = []
    playlists: list[PlaylistEntry] = []
    collections: list[CollectionEntry] = []
    privacy_settings: list[PrivacyEntry] = []


class SyncData(msgspec.Struct, frozen=True):
    """The state, whole or in part, in the shape in which a device sends its own."""

    subscriptions: list[SubscriptionEntry]
    play_statuses: list[PlayEntry]
    saved_episodes: list[SavedEpisodeEntry]
    playlists: list[PlaylistEntry]
    collections: list[CollectionEntry]
    privacy_settings: list[PrivacyEntry]


Entry: TypeAlias = (
    SubscriptionEntry | PlayEntry | SavedEpisodeEntry | PlaylistEntry | CollectionEntry | PrivacyEntry
)
Kind: TypeAlias = Literal[
    "subscription", "play_status", "saved_episode", "playlist", "collection", "privacy_setting"
]


class SyncConflict(msgspec.Struct, frozen=True):
    """An entry of which the server's value stands, with both values and the rule that decided."""

    type: Kind
    key: str
    client: Entry
    server: Entry
    winner: Literal["server"]
    rule: str


Keys: TypeAlias = dict[str, None]


class Touched(NamedTuple):
    """The keys of each topic that events changed, in the order of their first change; None for all."""

    subscriptions: Keys | None = None
    plays: Keys | None = None
    saved_episodes: Keys | None = None
    playlists: Keys | None = None
    collections: Keys | None = None
    privacy: Keys | None = None


EVERYTHING = Touched()


def decide(user: User, command: SyncUserData) -> list[Event]:
    who, now = command.user_id, command.now
    events = [
        *subscriptions.reconcile(user.subscriptions, command.subscriptions, who, now),
        *plays.reconcile(user.plays, command.play_statuses, who, now),
        *episodes.reconcile(user.saved_episodes, command.saved_episodes, who, now),
        *playlists.reconcile(user.playlists, command.playlists, who, now),
        *collections.reconcile(user.collections, command.collections, who, now),
        *privacy.reconcile(user.privacy, command.privacy_settings, who, now),
    ]
    # a setting that hides counts before what it hides is shown
    return sorted(events, key=lambda event: not isinstance(event, PrivacyChanged))


def conflicts(user: User, command: SyncUserData) -> list[SyncConflict]:
    """The entries that lost, given the state after the merge: merging keeps the greater, so what differs."""
    who, now = command.user_id, command.now

    def told(kind: Kind, found: Iterator[tuple[str, Entry, Entry, str]]) -> Iterator[SyncConflict]:
        return (SyncConflict(kind, key, ours, theirs, "server", rule) for key, ours, theirs, rule in found)

    return [
        *told("subscription", subscriptions.lost(user.subscriptions, command.subscriptions, now)),
        *told("play_status", plays.lost(user.plays, command.play_statuses, now)),
        *told("saved_episode", episodes.lost(user.saved_episodes, command.saved_episodes, now)),
        *told("playlist", playlists.lost(user.playlists, command.playlists, who, now)),
        *told("collection", collections.lost(user.collections, command.collections, who, now)),
        *told("privacy_setting", privacy.lost(user.privacy, command.privacy_settings, now)),
    ]


def document(user: User, since: Iterable[Event] | None = None) -> SyncData:
    """Everything, or what the events ``since`` a device's cursor touched, as it stands now.

    Of events that are newer than the state, a key that the state lacks is left for the next sync.
    """
    keys = EVERYTHING if since is None else _touched(since)
    return SyncData(
        subscriptions=subscriptions.document(user.subscriptions, keys.subscriptions),
        play_statuses=plays.document(user.plays, keys.plays),
        saved_episodes=episodes.document(user.saved_episodes, keys.saved_episodes),
        playlists=playlists.document(user.playlists, keys.playlists),
        collections=collections.document(user.collections, keys.collections),
        privacy_settings=privacy.document(user.privacy, keys.privacy),
    )


def _touched(events: Iterable[Event]) -> Touched:
    keys: dict[str, Keys] = {topic: {} for topic in Touched._fields}
    for event in events:
        match event:
            case UserSubscribed() | UserUnsubscribed():
                keys["subscriptions"][event.rss_source_feed] = None
            case PlayRecorded() | PositionUpdated():
                keys["plays"][event.rss_source_item] = None
            case EpisodeSaved() | EpisodeUnsaved():
                keys["saved_episodes"][event.rss_source_item] = None
            case PrivacyChanged():
                scope = privacy.scope_of(event.rss_source_feed, event.rss_source_item)
                keys["privacy"][scope] = None
            case _ if playlist := getattr(event, "playlist_id", None):
                keys["playlists"][str(playlist)] = None
            case _ if collection := getattr(event, "collection_id", None):
                keys["collections"][str(collection)] = None
    return Touched(**keys)
