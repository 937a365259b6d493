"""Saved episodes ("liked" ones), and the shares of episodes.

Whether an episode is saved follows from two times, of which the later decides; on equal times it is saved.
Shares are not state: each one counts.
"""

from collections.abc import Mapping, MutableMapping
from datetime import datetime
from typing import Annotated, TypeAlias

import msgspec

from eventstore.domain import times
from eventstore.domain.errors import DomainError
from eventstore.domain.fields import EPISODE_KEY, FEED, ITEM, episode_named
from eventstore.domain.identifiers import episode_key
from eventstore.domain.messages import Event, Order
from eventstore.domain.registers import OnOff
from eventstore.domain.topic import Topic


class SaveEpisode(Order, frozen=True, kw_only=True):
    feed: str
    item: str


class UnsaveEpisode(Order, frozen=True, kw_only=True):
    """``feed`` is needed only for an item of which nothing is known, and then only with ``at``."""

    item: str
    feed: str | None = None


class ShareEpisode(Order, frozen=True, kw_only=True):
    feed: str
    item: str


class EpisodeSaved(Event, frozen=True, kw_only=True, gc=False):
    """``claimed_at``: the client's own time, where it was too far ahead and was replaced by the server's."""

    rss_source_feed: str
    rss_source_item: str
    saved_at: datetime
    claimed_at: datetime | None = None


class EpisodeUnsaved(Event, frozen=True, kw_only=True, gc=False):
    rss_source_feed: str
    rss_source_item: str
    unsaved_at: datetime
    claimed_at: datetime | None = None


class EpisodeShared(Event, frozen=True, kw_only=True, gc=False):
    rss_source_feed: str
    rss_source_item: str
    shared_at: datetime


class SavedEpisode(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    feed: str
    item: str
    saved_at: datetime | None = None
    unsaved_at: datetime | None = None
    skewed: times.Skewed = ()

    @property
    def saved(self) -> bool:
        return REGISTER.is_on(self)


class SavedEpisodeEntry(msgspec.Struct, frozen=True, gc=False):
    """An episode that a device saved or unsaved. The later time decides; on equal times it is saved."""

    rss_source_feed: str
    rss_source_item: str
    saved_at: datetime | None = None
    unsaved_at: datetime | None = None
    guid: str | None = None
    enclosure_url: str | None = None


# feed and item belong to the later of both times
REGISTER = OnOff(
    SavedEpisode,
    SavedEpisodeEntry,
    key=EPISODE_KEY,
    names={"feed": FEED, "item": ITEM},
    on="saved_at",
    off="unsaved_at",
    with_latest=("feed", "item"),
    events=(EpisodeSaved, EpisodeUnsaved),
    tie="saved_wins_a_tie",
)


def save(entries: Mapping[str, SavedEpisode], command: SaveEpisode) -> list[Event]:
    key = episode_key(command.feed, command.item)
    known = entries.get(key)
    if command.at is None and known is not None and known.saved and known.item == command.item:
        return []
    return REGISTER.write(known, SavedEpisode(command.feed, command.item), EpisodeSaved, command, key)


def unsave(entries: Mapping[str, SavedEpisode], command: UnsaveEpisode) -> list[Event]:
    """Raises ``DomainError`` ``feed_required`` for an unknown item without its feed."""
    if command.feed is None:
        if command.at is None:
            return []
        raise DomainError("feed_required", "Nothing is known of this episode: give rss_source_feed.")
    key = episode_key(command.feed, command.item)
    known = entries.get(key)
    if command.at is None and (known is None or not known.saved):
        return []
    return REGISTER.write(known, SavedEpisode(command.feed, command.item), EpisodeUnsaved, command, key)


def share(_: Mapping[str, SavedEpisode], command: ShareEpisode) -> list[Event]:
    # a share is not state, so a time that cannot be accepted is simply replaced
    accepted = times.accept_client_time(command.at, (), command.now)
    shared = EpisodeShared(
        user_id=command.user_id,
        rss_source_feed=command.feed,
        rss_source_item=command.item,
        shared_at=accepted.at or command.now,
    )
    return [shared]


TOPIC = Topic(
    name="saved",
    plural="saved_episodes",
    kind="saved_episode",
    register=REGISTER,
    commands={SaveEpisode: save, UnsaveEpisode: unsave, ShareEpisode: share},
    keys=episode_named,
    not_state={EpisodeShared: "shared_at"},
)
Saved: TypeAlias = Annotated[MutableMapping[str, SavedEpisode], TOPIC]
