"""Subscriptions: which feeds a listener follows.

A subscription is two times, and the later one decides; on equal times it is subscribed. Both only ever
grow, so that devices which send theirs in any order, twice or late, end with the same.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TypeAlias, assert_never
from uuid import UUID

import msgspec

from eventstore.domain import lists, times
from eventstore.domain.errors import DomainError
from eventstore.domain.messages import Command, Event


class Subscribe(Command, frozen=True, kw_only=True):
    """``at`` is the client's time, where it gave one; ``now`` the server's clock."""

    feed: str
    now: datetime
    at: datetime | None = None
    source_id: str | None = None


class Unsubscribe(Command, frozen=True, kw_only=True):
    feed: str
    now: datetime
    at: datetime | None = None


class UserSubscribed(Event, frozen=True, kw_only=True, gc=False):
    """``claimed_at``: the client's own time, where it was too far ahead and the server's was taken."""

    rss_source_feed: str
    rss_source_id: str | None = None
    subscribed_at: datetime
    claimed_at: datetime | None = None


class UserUnsubscribed(Event, frozen=True, kw_only=True, gc=False):
    rss_source_feed: str
    unsubscribed_at: datetime
    claimed_at: datetime | None = None


SubscriptionCommand: TypeAlias = Subscribe | Unsubscribe
SubscriptionEvent: TypeAlias = UserSubscribed | UserUnsubscribed


class Subscription(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    source_id: str | None = None
    subscribed_at: datetime | None = None
    unsubscribed_at: datetime | None = None
    claims: times.Claims = ()

    @property
    def active(self) -> bool:
        if self.subscribed_at is None:
            return False
        return self.unsubscribed_at is None or self.subscribed_at >= self.unsubscribed_at

    @property
    def changed_at(self) -> datetime | None:
        """The time that decided."""
        return self.subscribed_at if self.active else self.unsubscribed_at


class SubscriptionEntry(msgspec.Struct, frozen=True, gc=False):
    """What a device knows of one feed, in a sync."""

    rss_source_feed: str
    rss_source_id: str | None = None
    subscribed_at: datetime | None = None
    unsubscribed_at: datetime | None = None


Subscriptions: TypeAlias = dict[str, Subscription]
NONE = Subscription()


def merge(one: Subscription, other: Subscription) -> Subscription:
    """The later of each time; the source id goes with the later subscription, the greater text on a tie."""
    newest = max(one, other, key=_subscribed_key)
    return Subscription(
        source_id=newest.source_id,
        subscribed_at=newest.subscribed_at,
        unsubscribed_at=times.later(one.unsubscribed_at, other.unsubscribed_at),
        claims=times.remember(one.claims, *other.claims) if one.claims or other.claims else (),
    )


def decide(state: Subscriptions, command: SubscriptionCommand) -> list[Event]:
    """Raises ``DomainError`` ``not_subscribed`` when unsubscribing from a feed that was never followed."""
    known = state.get(command.feed)
    match command:
        case Subscribe():
            return _subscribe(known or NONE, command)
        case Unsubscribe():
            if known is None:
                raise DomainError("not_subscribed", "You are not subscribed to this feed.")
            return _unsubscribe(known, command)
        case _:
            assert_never(command)


def evolve(state: Subscriptions, event: SubscriptionEvent) -> None:
    known = state.get(event.rss_source_feed, NONE)
    claims = times.claim(event.claimed_at)
    match event:
        case UserSubscribed():
            change = Subscription(event.rss_source_id, event.subscribed_at, None, claims)
        case UserUnsubscribed():
            change = Subscription(None, None, event.unsubscribed_at, claims)
        case _:
            assert_never(event)
    state[event.rss_source_feed] = merge(known, change)


def reconcile(
    state: Subscriptions, entries: list[SubscriptionEntry], user_id: UUID, now: datetime
) -> list[Event]:
    """The events of every difference between what a device knows and the state."""
    events: list[Event] = []
    for feed, sent in together(entries).items():
        known = state.get(feed, NONE)
        joined, joined_claim, left, left_claim = lists.believed(
            sent.subscribed_at, sent.unsubscribed_at, known.claims, now
        )
        candidate = Subscription(sent.source_id, joined)
        newer = _subscribed_key(candidate) > _subscribed_key(known)
        # a replaced time is recorded also where it loses: so that it is known when it comes again
        if joined is not None and (newer or joined_claim is not None):
            events.append(_subscribed(user_id, feed, candidate, joined_claim))
        if left is not None and (left_claim is not None or times.is_later(left, known.unsubscribed_at)):
            events.append(_unsubscribed(user_id, feed, left, left_claim))
    return events


def together(entries: list[SubscriptionEntry]) -> Subscriptions:
    """One subscription per feed of a payload: two entries of one feed merge, by the times they claim."""
    sent: Subscriptions = {}
    for entry in entries:
        said = Subscription(entry.rss_source_id or None, entry.subscribed_at, entry.unsubscribed_at)
        twin = sent.get(entry.rss_source_feed)
        sent[entry.rss_source_feed] = said if twin is None else merge(twin, said)
    return sent


def lost(
    state: Subscriptions, entries: list[SubscriptionEntry], now: datetime
) -> Iterator[tuple[str, SubscriptionEntry, SubscriptionEntry, str]]:
    """Key, client's value, server's value and rule of each entry that lost; ``state`` after the merge."""
    for feed, said in together(entries).items():
        at = said.changed_at
        if at is None or said.active is state[feed].active:
            continue
        stands = state[feed]
        rule = times.rule(at, stands.changed_at, stands.claims, now, tie="subscribed_wins_a_tie")
        yield feed, _entry(feed, said), _entry(feed, stands), rule


def document(state: Subscriptions, feeds: Iterable[str] | None = None) -> list[SubscriptionEntry]:
    """All entries, or those of ``feeds`` that the state knows, as a device would send them."""
    return [_entry(feed, state[feed]) for feed in (state if feeds is None else feeds) if feed in state]


def pruned(state: Subscriptions, before: datetime) -> Subscriptions:
    """A copy without what was unsubscribed before that time."""
    return {
        feed: one
        for feed, one in state.items()
        if one.active or one.unsubscribed_at is None or one.unsubscribed_at >= before
    }


def _entry(feed: str, of: Subscription) -> SubscriptionEntry:
    return SubscriptionEntry(feed, of.source_id, of.subscribed_at, of.unsubscribed_at)


def _subscribe(known: Subscription, command: Subscribe) -> list[Event]:
    source_id = command.source_id or None
    if command.at is None and known.active and source_id in (None, known.source_id):
        return []
    at, claimed = _time_of(known, command)
    if at is None or (claimed is None and not times.is_later(at, known.subscribed_at)):
        return []
    return [_subscribed(command.user_id, command.feed, Subscription(source_id, at), claimed)]


def _unsubscribe(known: Subscription, command: Unsubscribe) -> list[Event]:
    if command.at is None and not known.active:
        return []
    at, claimed = _time_of(known, command)
    if at is None or (claimed is None and not times.is_later(at, known.unsubscribed_at)):
        return []
    return [_unsubscribed(command.user_id, command.feed, at, claimed)]


def _subscribed(user_id: UUID, feed: str, to: Subscription, claimed: datetime | None) -> UserSubscribed:
    assert to.subscribed_at is not None
    return UserSubscribed(
        user_id=user_id,
        rss_source_feed=feed,
        rss_source_id=to.source_id,
        subscribed_at=to.subscribed_at,
        claimed_at=claimed,
    )


def _unsubscribed(user_id: UUID, feed: str, at: datetime, claimed: datetime | None) -> UserUnsubscribed:
    return UserUnsubscribed(user_id=user_id, rss_source_feed=feed, unsubscribed_at=at, claimed_at=claimed)


def _time_of(known: Subscription, command: SubscriptionCommand) -> tuple[datetime | None, datetime | None]:
    """The time that counts (none for a wrong-clock action seen before) and the claim that it replaces."""
    if command.at is not None:
        return times.believed(command.at, known.claims, command.now)
    return times.on_top_of(command.now, known.subscribed_at, known.unsubscribed_at), None


def _subscribed_key(of: Subscription) -> tuple[bool, datetime | None, str]:
    # None sorts first without being compared with a time
    return (of.subscribed_at is not None, of.subscribed_at, of.source_id or "")
