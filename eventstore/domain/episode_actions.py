"""What apps did with episodes besides playing them: downloaded, deleted, marked as new.

An action says nothing of how far an episode was heard. The newest action of an episode is its state, but
other devices are told of every action.
"""

from collections.abc import Mapping, MutableMapping
from datetime import datetime
from typing import Annotated, Literal, TypeAlias

import msgspec

from eventstore.domain import times
from eventstore.domain.fields import EPISODE_KEY, FEED, ITEM, episode_named
from eventstore.domain.identifiers import episode_key
from eventstore.domain.messages import Event, Order
from eventstore.domain.registers import LastWriter
from eventstore.domain.topic import Topic

Action: TypeAlias = Literal["download", "delete", "new", "flattr"]


class RecordEpisodeAction(Order, frozen=True, kw_only=True):
    feed: str
    item: str
    action: Action
    device: str | None = None


class EpisodeActionRecorded(Event, frozen=True, kw_only=True, gc=False):
    """``claimed_at``: the client's own time, where it was too far ahead and was replaced by the server's."""

    rss_source_feed: str
    rss_source_item: str
    action: Action
    device: str | None = None
    acted_at: datetime
    claimed_at: datetime | None = None


class EpisodeAction(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    feed: str
    item: str
    action: Action
    acted_at: datetime
    device: str | None = None
    skewed: times.Skewed = ()
    facts: times.Facts = ()


class EpisodeActionEntry(msgspec.Struct, frozen=True, gc=False):
    """The newest thing that a device did with an episode besides playing it. The later time decides."""

    rss_source_feed: str
    rss_source_item: str
    action: Action
    acted_at: datetime
    device: str | None = None
    guid: str | None = None
    enclosure_url: str | None = None


REGISTER = LastWriter(
    EpisodeAction,
    EpisodeActionEntry,
    key=EPISODE_KEY,
    names={"feed": FEED, "item": ITEM},
    time="acted_at",
    by=("action", "item", "device"),
    shown=("action",),
    distinguishing=("action",),
    events={EpisodeActionRecorded: {}},
    tie="greater_action_wins_a_tie",
)


def decide(entries: Mapping[str, EpisodeAction], command: RecordEpisodeAction) -> list[Event]:
    """Record every action, even one that is older than the newest; only a repeat is not recorded."""
    key = episode_key(command.feed, command.item)
    known = entries.get(key)
    accepted = REGISTER.accept(known, command)
    if accepted.at is None:
        accepted = REGISTER.accept_other(known, command, (command.action,))
    if accepted.at is None:
        return []
    incoming = EpisodeAction(command.feed, command.item, command.action, accepted.at, command.device)
    if accepted.skewed is None and REGISTER.is_repeat(known, incoming):
        return []
    return REGISTER.record(EpisodeActionRecorded, command, key, incoming, accepted.skewed)


TOPIC = Topic(
    name="episode_actions",
    plural="episode_actions",
    kind="episode_action",
    register=REGISTER,
    commands={RecordEpisodeAction: decide},
    keys=episode_named,
)
EpisodeActions: TypeAlias = Annotated[MutableMapping[str, EpisodeAction], TOPIC]
