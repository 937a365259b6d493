"""Held removals: podcasts that a device wants to unfollow, so many at once that the listener is asked first.

An app that was newly set up or has lost its data may send an empty list, which must not empty the account.
The podcasts stay followed until the listener confirms or discards the removal (``unfollowing.py``).
"""

from collections.abc import Mapping, MutableMapping
from datetime import datetime
from typing import Annotated, TypeAlias

import msgspec

from eventstore.domain import times
from eventstore.domain.fields import FEED_KEY
from eventstore.domain.messages import Event, Order
from eventstore.domain.registers import OnOff
from eventstore.domain.topic import Topic


class HoldRemoval(Order, frozen=True, kw_only=True):
    feed: str
    device: str | None = None


class SettleRemoval(Order, frozen=True, kw_only=True):
    """The listener has decided, or the time is up; the subscription itself says what became of the
    removal."""

    feed: str


class RemovalHeld(Event, frozen=True, kw_only=True, gc=False):
    """``device``: the one that wanted to unfollow the podcast."""

    rss_source_feed: str
    device: str | None = None
    held_at: datetime
    claimed_at: datetime | None = None


class RemovalSettled(Event, frozen=True, kw_only=True, gc=False):
    rss_source_feed: str
    settled_at: datetime
    claimed_at: datetime | None = None


class HeldRemoval(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    device: str | None = None
    held_at: datetime | None = None
    settled_at: datetime | None = None
    skewed: times.Skewed = ()

    @property
    def is_held(self) -> bool:
        return REGISTER.is_on(self)


class HeldRemovalEntry(msgspec.Struct, frozen=True, gc=False):
    """A podcast that a device wants to unfollow. The later of the two times decides; on equal times the
    removal is held."""

    rss_source_feed: str
    device: str | None = None
    held_at: datetime | None = None
    settled_at: datetime | None = None


REGISTER = OnOff(
    HeldRemoval,
    HeldRemovalEntry,
    key=FEED_KEY,
    on="held_at",
    off="settled_at",
    with_on=("device",),
    events=(RemovalHeld, RemovalSettled),
    tie="held_wins_a_tie",
)


def hold(entries: Mapping[str, HeldRemoval], command: HoldRemoval) -> list[Event]:
    known = entries.get(command.feed)
    if command.at is None and known is not None and known.is_held and known.device == command.device:
        return []
    return REGISTER.write(known, HeldRemoval(command.device), RemovalHeld, command, command.feed)


def settle(entries: Mapping[str, HeldRemoval], command: SettleRemoval) -> list[Event]:
    known = entries.get(command.feed)
    if command.at is None and (known is None or not known.is_held):
        return []
    return REGISTER.write(known, HeldRemoval(), RemovalSettled, command, command.feed)


TOPIC = Topic(
    name="held_removals",
    plural="held_removals",
    kind="held_removal",
    register=REGISTER,
    commands={HoldRemoval: hold, SettleRemoval: settle},
    keys=lambda command: (command.feed,),
)
HeldRemovals: TypeAlias = Annotated[MutableMapping[str, HeldRemoval], TOPIC]
