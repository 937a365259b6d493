"""Events to and from what the store holds: stored names, schema versions, upcasters.

Stored names are for ever (a test pins them). An old shape is upcast when it is read, never rewritten.
"""

from collections.abc import Callable
from typing import Any, cast

import msgspec

from eventstore.domain.collections import (
    CollectionCreated,
    CollectionDeleted,
    CollectionReordered,
    CollectionUpdated,
    CollectionVisibilityChanged,
    FeedAddedToCollection,
    FeedRemovedFromCollection,
)
from eventstore.domain.episodes import EpisodeSaved, EpisodeShared, EpisodeUnsaved
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
from eventstore.domain.retention import (
    EventsRemoved,
    FeedMarked,
    PopularityRecalculated,
    PublicHistoryTrimmed,
    UserCheckpoint,
)
from eventstore.domain.subscriptions import UserSubscribed, UserUnsubscribed
from eventstore.domain.user import UserEvent

Document = dict[str, Any]
Upcaster = Callable[[Document], Document]


class CodecError(Exception):
    """A stored event that cannot be read."""


class UnknownEvent(CodecError):
    """Its type or schema version is newer than this program, or was never ours."""


class UndecodableEvent(CodecError):
    """Its data does not have the shape of its type."""


# stored name -> (class, current schema version)
EVENTS: dict[str, tuple[type[Event], int]] = {
    "UserSubscribed": (UserSubscribed, 1),
    "UserUnsubscribed": (UserUnsubscribed, 1),
    "PlayRecorded": (PlayRecorded, 1),
    "PositionUpdated": (PositionUpdated, 1),
    "EpisodeSaved": (EpisodeSaved, 1),
    "EpisodeUnsaved": (EpisodeUnsaved, 1),
    "EpisodeShared": (EpisodeShared, 1),
    "PlaylistCreated": (PlaylistCreated, 1),
    "PlaylistUpdated": (PlaylistUpdated, 1),
    "PlaylistVisibilityChanged": (PlaylistVisibilityChanged, 1),
    "PlaylistReordered": (PlaylistReordered, 1),
    "PlaylistDeleted": (PlaylistDeleted, 1),
    "PlaylistItemAdded": (PlaylistItemAdded, 1),
    "PlaylistItemRemoved": (PlaylistItemRemoved, 1),
    "CollectionCreated": (CollectionCreated, 1),
    "CollectionUpdated": (CollectionUpdated, 1),
    "CollectionVisibilityChanged": (CollectionVisibilityChanged, 1),
    "CollectionReordered": (CollectionReordered, 1),
    "CollectionDeleted": (CollectionDeleted, 1),
    "FeedAddedToCollection": (FeedAddedToCollection, 1),
    "FeedRemovedFromCollection": (FeedRemovedFromCollection, 1),
    "PrivacyChanged": (PrivacyChanged, 1),
    "UserCheckpoint": (UserCheckpoint, 1),
    "EventsRemoved": (EventsRemoved, 1),
    "PopularityRecalculated": (PopularityRecalculated, 1),
    "PublicHistoryTrimmed": (PublicHistoryTrimmed, 1),
    "FeedMarked": (FeedMarked, 1),
}

# (stored name, schema version) -> what makes it the next version
UPCASTERS: dict[tuple[str, int], Upcaster] = {}

_NAMES: dict[type[Event], str] = {cls: name for name, (cls, _) in EVENTS.items()}
_DECODERS = {cls: msgspec.json.Decoder(cls).decode for cls in _NAMES}


def decode(type_: str, schema: int, data: str | bytes) -> UserEvent:
    """The event in a stored row. Raises ``UnknownEvent`` or ``UndecodableEvent``, without its values."""
    known = EVENTS.get(type_)
    if known is None:
        raise UnknownEvent(f"unknown event type {type_}")
    cls, current = known
    try:
        if schema == current:
            return cast(UserEvent, _DECODERS[cls](data))
        return cast(UserEvent, msgspec.convert(_upcast(type_, schema, current, data), cls))
    except (msgspec.DecodeError, RecursionError) as error:
        # their messages name the place, never the value
        raise UndecodableEvent(f"{type_} v{schema}: {error}") from error
    except CodecError:
        raise
    except Exception as error:
        # an upcaster tripped, and its message may hold the value
        raise UndecodableEvent(f"{type_} v{schema}: {type(error).__name__} in an upcaster") from None


def name_of(event: Event) -> tuple[str, int]:
    """Stored name and current schema version of an event."""
    name = _NAMES[type(event)]
    return name, EVENTS[name][1]


def encode(event: Event) -> bytes:
    """The stored data of an event."""
    return msgspec.json.encode(event)


def _upcast(type_: str, schema: int, current: int, data: str | bytes) -> Document:
    if schema > current:
        raise UnknownEvent(f"{type_} v{schema} is newer than this program (v{current})")
    document: Document = msgspec.json.decode(data)
    for version in range(schema, current):
        upcaster = UPCASTERS.get((type_, version))
        if upcaster is None:
            raise UnknownEvent(f"{type_} v{version} has no upcaster")
        document = upcaster(document)
    return document
