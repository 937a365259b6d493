"""Checkpoints, which replace deleted events, and the event of a removal, which deletes them.

``UserCheckpoint`` holds the whole state, so that everything before it may be deleted. ``EventsRemoved`` is
the deletion event: what it names is gone from the log, and a checkpoint of what remains follows it.
"""

from collections.abc import Mapping, MutableMapping
from datetime import datetime
from typing import Any, Literal, TypeAlias
from uuid import UUID

from eventstore.domain import episodes
from eventstore.domain.episodes import EpisodeIdentified
from eventstore.domain.listening import EpisodeHeard, ListeningImported
from eventstore.domain.messages import INSTANCE, Command, Event
from eventstore.domain.times import NEVER
from eventstore.domain.topics import TOPICS, Topics, User

# Who keeps a feed from the public: the publisher, by what the feed says of itself, or the instance's
# operator.
Marker: TypeAlias = Literal["publisher", "operator"]


class TakeCheckpoint(Command, frozen=True, kw_only=True):
    """Takes a checkpoint. ``before``: what was deleted, unsubscribed or cleared before this time is left out.
    ``listening``: what the history says of listening (tally.py)."""

    before: datetime
    listening: tuple[EpisodeHeard, ...] = ()


class UserCheckpoint(Topics, Event, frozen=True, kw_only=True, omit_defaults=True):
    """The whole state of its user from here on: what it does not hold no longer exists."""

    taken_at: datetime
    listening: tuple[EpisodeHeard, ...] = ()


class EventsRemoved(Event, frozen=True, kw_only=True, gc=False):
    """The history of a feed or an item, or all of it where neither is given, was removed from the log for
    good.

    Feed and item are digests (``identifiers.key_of``), so that the event does not keep what it removes.
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
    plays: int = 0
    likes: int = 0
    shares: int = 0
    subscribers: int = 0


class PublicHistoryTrimmed(Event, frozen=True, kw_only=True, gc=False):
    """What happened before ``before`` is too old to be shown to the public."""

    user_id: UUID = INSTANCE
    before: datetime


class FeedMarked(Event, frozen=True, kw_only=True, gc=False):
    """From here on nothing of a feed is public; or, where not ``blocked``, the listeners' privacy levels
    decide again.

    Each marker has a mark of its own, and one is enough to block. The feed is a digest
    (``identifiers.key_of``): publishers mark mostly members' feeds, and the address of an erased listener's
    feed must not stay in the log.
    """

    user_id: UUID = INSTANCE
    feed_key: UUID
    marked_by: Marker
    blocked: bool
    marked_at: datetime


# The events that belong to no topic, each with the field that says when it happened to its user.
OTHER_EVENTS: dict[type[Event], str | None] = {
    UserCheckpoint: "taken_at",
    EventsRemoved: "removed_at",
    EpisodeIdentified: "identified_at",
    ListeningImported: "imported_at",
    **dict.fromkeys((PopularityRecalculated, PublicHistoryTrimmed, FeedMarked)),
}
# Retention may delete events of these types, because a checkpoint carries what they changed.
IN_CHECKPOINT: frozenset[type[Event]] = frozenset(
    (
        UserCheckpoint,
        EpisodeIdentified,
        ListeningImported,
        *(event for topic in TOPICS for event in topic.register.carriers),
    )
)
# Retention may delete these too, and no others: what the public saw of a share is as old as the share, and
# what was removed is gone.
NOT_STATE: frozenset[type[Event]] = frozenset(
    (EventsRemoved, *(event for topic in TOPICS for event in topic.not_state))
)


def take(user: User, command: TakeCheckpoint) -> UserCheckpoint:
    """Return a checkpoint of the whole state, without what has been gone since before ``command.before``. It
    shares nothing mutable with the state."""
    kept = {topic.name: topic.register.prune(getattr(user, topic.name), command.before) for topic in TOPICS}
    listening = command.listening
    return UserCheckpoint(user_id=command.user_id, taken_at=command.now, listening=listening, **kept)


def restore(user: User, of: UserCheckpoint) -> None:
    """Replace the state with that of a checkpoint. Copies what a fold changes afterwards."""
    for topic in TOPICS:
        _replace(getattr(user, topic.name), topic.register.prune(getattr(of, topic.name), NEVER))
    _replace(user.without_guid, dict.fromkeys(episodes.keys_without_guid(of), True))


def _replace(entries: MutableMapping[str, Any], others: Mapping[str, Any]) -> None:
    """Make ``entries`` equal to ``others``; entries that are equal already are left alone."""
    for key in [key for key in entries if key not in others]:
        del entries[key]
    for key, one in others.items():
        if entries.get(key) != one:
            entries[key] = one
