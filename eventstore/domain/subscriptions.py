"""Subscriptions: which feeds a listener follows.

A subscription is two times, of which the later decides; on equal times the feed is subscribed to. Both times
only ever grow, so devices that send theirs in any order, twice or late, end up with the same.
"""

from collections.abc import Mapping, MutableMapping
from datetime import datetime
from typing import Annotated, TypeAlias

import msgspec

from eventstore.domain import times
from eventstore.domain.errors import DomainError
from eventstore.domain.fields import FEED_KEY
from eventstore.domain.messages import Event, Order
from eventstore.domain.registers import OnOff
from eventstore.domain.topic import Topic


class Subscribe(Order, frozen=True, kw_only=True):
    feed: str
    source_id: str | None = None


class Unsubscribe(Order, frozen=True, kw_only=True):
    feed: str


class UserSubscribed(Event, frozen=True, kw_only=True, gc=False):
    """``claimed_at``: the client's own time, where it was too far ahead and was replaced by the server's."""

    rss_source_feed: str
    rss_source_id: str | None = None
    subscribed_at: datetime
    claimed_at: datetime | None = None


class UserUnsubscribed(Event, frozen=True, kw_only=True, gc=False):
    rss_source_feed: str
    unsubscribed_at: datetime
    claimed_at: datetime | None = None


class Subscription(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    source_id: str | None = None
    subscribed_at: datetime | None = None
    unsubscribed_at: datetime | None = None
    skewed: times.Skewed = ()

    @property
    def active(self) -> bool:
        return REGISTER.is_on(self)


class SubscriptionEntry(msgspec.Struct, frozen=True, gc=False):
    """A feed as a device knows it. The later of the two times decides; on equal times the feed is subscribed
    to."""

    rss_source_feed: str
    rss_source_id: str | None = None
    subscribed_at: datetime | None = None
    unsubscribed_at: datetime | None = None


REGISTER = OnOff(
    Subscription,
    SubscriptionEntry,
    key=FEED_KEY,
    names={"source_id": "rss_source_id"},
    on="subscribed_at",
    off="unsubscribed_at",
    with_on=("source_id",),
    events=(UserSubscribed, UserUnsubscribed),
    tie="subscribed_wins_a_tie",
)


def subscribe(entries: Mapping[str, Subscription], command: Subscribe) -> list[Event]:
    known = entries.get(command.feed)
    source_id = command.source_id or None
    if command.at is None:
        if known is not None and known.active and source_id in (None, known.source_id):
            return []
    elif known is not None and command.at == known.subscribed_at:
        return []  # a repeat, whatever the source id
    return REGISTER.write(known, Subscription(source_id), UserSubscribed, command, command.feed)


def unsubscribe(entries: Mapping[str, Subscription], command: Unsubscribe) -> list[Event]:
    """Raises ``DomainError`` ``not_subscribed`` for a feed that was never followed."""
    known = entries.get(command.feed)
    if known is None:
        raise DomainError("not_subscribed", "You are not subscribed to this feed.")
    if command.at is None and not known.active:
        return []
    return REGISTER.write(known, Subscription(), UserUnsubscribed, command, command.feed)


TOPIC = Topic(
    name="subscriptions",
    plural="subscriptions",
    kind="subscription",
    register=REGISTER,
    commands={Subscribe: subscribe, Unsubscribe: unsubscribe},
    keys=lambda command: (command.feed,),
)
Subscriptions: TypeAlias = Annotated[MutableMapping[str, Subscription], TOPIC]
