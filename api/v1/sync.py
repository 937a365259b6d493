"""Sync: a device sends what it knows and gets what it lacks, from the aggregate itself."""

import base64
import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import ClassVar, Literal
from uuid import UUID

import msgspec
from django.urls import path
from msgspec import Struct
from rest_framework.request import Request
from rest_framework.response import Response

from api import answers
from api.answers import Success
from api.auth import caller_of
from api.clock import now
from api.errors import FieldError, Invalid
from api.fields import Color, Cursor, Description, Feed, Item, Level, Name, Position, SourceId, Time, Title
from api.operations import MIB, operation
from api.views import View
from eventstore import log
from eventstore.dispatcher import Outcome, StreamUnreadable, events_since
from eventstore.domain import sync
from eventstore.domain.checkpoint import EventsRemoved, UserCheckpoint
from eventstore.domain.collections import CollectionEntry, CollectionFeedEntry
from eventstore.domain.messages import Event
from eventstore.domain.playlists import PlaylistEntry, PlaylistItemEntry
from eventstore.domain.plays import PlayEntry
from eventstore.domain.privacy import PrivacyEntry
from eventstore.domain.saved import SavedEpisodeEntry
from eventstore.domain.subscriptions import SubscriptionEntry
from eventstore.domain.sync import SyncConflict, SyncData, SyncUserData

LARGEST = 16 * MIB
MOST_ENTRIES = 50_000
# A cursor further behind than this gets everything, which is then the smaller answer to make.
MOST_EVENTS = 50_000


class SentSubscription(SubscriptionEntry, frozen=True, gc=False):
    """A feed as the device knows it. The later of the two times decides; on equal times it is subscribed."""

    at_least_one: ClassVar = ("subscribed_at", "unsubscribed_at")

    rss_source_feed: Feed
    rss_source_id: SourceId | None = None
    subscribed_at: Time | None = None
    unsubscribed_at: Time | None = None


class SentPlayStatus(PlayEntry, frozen=True, gc=False):
    """An episode as the device knows it. The later time decides; on equal times the further position."""

    rss_source_feed: Feed
    rss_source_item: Item
    position: Position
    played: bool
    updated_at: Time


class SentSavedEpisode(SavedEpisodeEntry, frozen=True, gc=False):
    """An episode that the device saved or unsaved. The later time decides; on equal times it is saved."""

    at_least_one: ClassVar = ("saved_at", "unsaved_at")

    rss_source_feed: Feed
    rss_source_item: Item
    saved_at: Time | None = None
    unsaved_at: Time | None = None


class SentPlaylistItem(PlaylistItemEntry, frozen=True, gc=False):
    """An episode of a playlist. The later of the two times decides; on equal times it is in."""

    at_least_one: ClassVar = ("added_at", "removed_at")

    rss_source_feed: Feed
    rss_source_item: Item
    item_title: Title | None = None
    feed_title: Title | None = None
    position: Position | None = None
    added_at: Time | None = None
    removed_at: Time | None = None


class SentPlaylist(PlaylistEntry, frozen=True):
    """A playlist as the device knows it. Name, description, visibility and order go by `updated_at`, each
    item by its own times; it is deleted where `deleted_at` is later than `updated_at`."""

    id: UUID
    name: Name
    updated_at: Time
    description: Description | None = None
    is_public: bool = False
    deleted_at: Time | None = None
    items: list[SentPlaylistItem] = []  # type: ignore[assignment]  # each is a PlaylistItemEntry


class SentCollectionFeed(CollectionFeedEntry, frozen=True, gc=False):
    """A feed of a collection. The later of the two times decides; on equal times it is in."""

    at_least_one: ClassVar = ("added_at", "removed_at")

    rss_source_feed: Feed
    position: Position | None = None
    added_at: Time | None = None
    removed_at: Time | None = None


class SentCollection(CollectionEntry, frozen=True):
    """A collection as the device knows it; merged as playlists are. `is_default` is the server's to say."""

    id: UUID
    name: Name
    updated_at: Time
    description: Description | None = None
    color: Color | None = None
    is_public: bool = False
    is_default: bool = False
    deleted_at: Time | None = None
    feeds: list[SentCollectionFeed] = []  # type: ignore[assignment]  # each is a CollectionFeedEntry


class SentPrivacySetting(PrivacyEntry, frozen=True, gc=False):
    """A setting for an item, a feed, or with neither for the account; null takes it back. The later time
    decides; on equal times what shows less."""

    privacy: Level | None
    updated_at: Time
    rss_source_feed: Feed | None = None
    rss_source_item: Item | None = None


class SentData(Struct):
    """What somebody knows of every topic."""

    subscriptions: list[SentSubscription] = []
    play_statuses: list[SentPlayStatus] = []
    saved_episodes: list[SentSavedEpisode] = []
    playlists: list[SentPlaylist] = []
    collections: list[SentCollection] = []
    privacy_settings: list[SentPrivacySetting] = []

    def command(self, user_id: UUID, now: datetime) -> SyncUserData:
        """The entries are the domain's own, checked."""
        return SyncUserData(
            user_id=user_id,
            now=now,
            subscriptions=list(self.subscriptions),
            play_statuses=list(self.play_statuses),
            saved_episodes=list(self.saved_episodes),
            playlists=list(self.playlists),
            collections=list(self.collections),
            privacy_settings=list(self.privacy_settings),
        )


class SyncBody(SentData):
    """`cursor`: of the last answer; null or left out for everything. Send all that the device knows, or
    what changed since: the same entry twice does no harm."""

    cursor: Cursor | None = None


class SubscriptionConflict(Struct, tag_field="type", tag="subscription"):
    """A feed of the request of which the server's value stands, and the rule that decided."""

    key: str
    client: SubscriptionEntry
    server: SubscriptionEntry
    winner: Literal["server"]
    rule: str


class PlayConflict(Struct, tag_field="type", tag="play_status"):
    """An episode of the request of which the server's value stands, and the rule that decided."""

    key: str
    client: PlayEntry
    server: PlayEntry
    winner: Literal["server"]
    rule: str


class SavedEpisodeConflict(Struct, tag_field="type", tag="saved_episode"):
    """As above, for a saved episode."""

    key: str
    client: SavedEpisodeEntry
    server: SavedEpisodeEntry
    winner: Literal["server"]
    rule: str


class PlaylistConflict(Struct, tag_field="type", tag="playlist"):
    """As above, for a playlist; its items are not named one by one."""

    key: str
    client: PlaylistEntry
    server: PlaylistEntry
    winner: Literal["server"]
    rule: str


class CollectionConflict(Struct, tag_field="type", tag="collection"):
    """As above, for a collection."""

    key: str
    client: CollectionEntry
    server: CollectionEntry
    winner: Literal["server"]
    rule: str


class PrivacyConflict(Struct, tag_field="type", tag="privacy_setting"):
    """As above, for a privacy setting; the key is `user`, `feed:` or `item:` and the name."""

    key: str
    client: PrivacyEntry
    server: PrivacyEntry
    winner: Literal["server"]
    rule: str


Conflict = (
    SubscriptionConflict
    | PlayConflict
    | SavedEpisodeConflict
    | PlaylistConflict
    | CollectionConflict
    | PrivacyConflict
)
CONFLICTS: dict[str, Callable[..., Conflict]] = {
    "subscription": SubscriptionConflict,
    "play_status": PlayConflict,
    "saved_episode": SavedEpisodeConflict,
    "playlist": PlaylistConflict,
    "collection": CollectionConflict,
    "privacy_setting": PrivacyConflict,
}


class SyncAnswer(Struct):
    """`data`: everything where `full`, else what has reached the server since the cursor, this device's own
    included. `conflicts`: the entries of the request that lost."""

    status: Success
    cursor: str
    full: bool
    data: SyncData
    conflicts: list[Conflict]


class _Place(Struct, array_like=True):
    """What a cursor holds: how far the user's stream had come, whose it is, and the log's epoch."""

    version: int
    owner: str
    epoch: str = ""


class SyncView(View):
    scopes = {"POST": "user.sync"}

    @operation("Sync", answers={200: SyncAnswer}, largest=LARGEST, most_entries=MOST_ENTRIES)
    def post(self, request: Request, body: SyncBody) -> Response:
        """One unit: all of it is recorded, or nothing. At most 50,000 entries and 16 MiB."""
        caller = caller_of(request)
        since = None if body.cursor is None else _version_of(body.cursor, caller.user_id)
        command = body.command(caller.user_id, now())

        def render(outcome: Outcome) -> Struct:
            news = None if since is None else _news(caller.user_id, since, outcome)
            return SyncAnswer(
                status="success",
                cursor=_cursor(outcome.version, caller.user_id),
                full=news is None,
                data=sync.to_entries(outcome.user, news),
                conflicts=[shown(lost) for lost in sync.conflicts(outcome.user, command)],
            )

        return answers.dispatch_and_answer(request, command, render)


def shown(lost: SyncConflict) -> Conflict:
    return CONFLICTS[lost.type](lost.key, lost.client, lost.server, lost.winner, lost.rule)


def _news(user_id: UUID, since: int, outcome: Outcome) -> list[Event] | None:
    """The events after version ``since`` up to the outcome's; None where the log cannot tell."""
    # the request's own are in hand, recorded or about to be
    stored = outcome.version - len(outcome.events) - since
    if stored == 0:
        return outcome.events
    if not 0 < stored <= MOST_EVENTS:
        return None
    try:
        found = events_since(user_id, since)
    except StreamUnreadable:
        # the state could be folded, so only its past is lost
        return None
    if found is None or len(found) < stored:
        return None
    # another process may have recorded more meanwhile, which the state does not hold
    news = found[:stored] + outcome.events
    # what was removed, or left out of a checkpoint, is told by its absence only
    return None if any(isinstance(event, EventsRemoved | UserCheckpoint) for event in news) else news


def _cursor(version: int, user_id: UUID) -> str:
    place = msgspec.json.encode(_Place(version, _owner(user_id), log.epoch()))
    return base64.urlsafe_b64encode(place).decode().rstrip("=")


def _version_of(cursor: str, user_id: UUID) -> int | None:
    """None for one of before a restore: its version may stand for other events now. Raises ``Invalid`` for
    what this server did not give to this user."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        place = msgspec.json.decode(raw, type=_Place)
    except (ValueError, msgspec.DecodeError):
        place = _Place(-1, "")
    if place.version < 0 or place.owner != _owner(user_id):
        raise Invalid(FieldError("invalid", "Not a cursor that this user was given.", "cursor"))
    return place.version if place.epoch == log.epoch() else None


def _owner(user_id: UUID) -> str:
    # tells one user's cursor from another's; it opens nothing, so a short digest will do
    return hashlib.sha256(user_id.bytes).hexdigest()[:12]


paths = [path("sync", SyncView.as_view())]
