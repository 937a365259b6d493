"""Sync: what a device knows, merged into what the server knows, and what the device lacks.

Each topic brings its own merge; here they come together. A new topic adds its entries to ``SyncUserData``
and ``SyncData``, and a line to ``decide``, ``conflicts`` and ``document``.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from eventstore.domain import plays, subscriptions, times
from eventstore.domain.messages import Command, Event
from eventstore.domain.plays import PlayEntry, PlayRecorded, PlayStatuses, PositionUpdated
from eventstore.domain.subscriptions import (
    SubscriptionEntry,
    Subscriptions,
    UserSubscribed,
    UserUnsubscribed,
)


class SyncUserData(Command, frozen=True, kw_only=True):
    """One unit: all of it is recorded in one append, or nothing."""

    now: datetime
    subscriptions: list[SubscriptionEntry] = []
    play_statuses: list[PlayEntry] = []


class SyncData(msgspec.Struct, frozen=True):
    """The state, whole or in part, in the shape in which a device sends its own."""

    subscriptions: list[SubscriptionEntry]
    play_statuses: list[PlayEntry]


Entry: TypeAlias = SubscriptionEntry | PlayEntry


class SyncConflict(msgspec.Struct, frozen=True):
    """An entry of which the server's value stands, with both values and the rule that decided."""

    type: Literal["subscription", "play_status"]
    key: str
    client: Entry
    server: Entry
    winner: Literal["server"]
    rule: str


def decide(states: tuple[Subscriptions, PlayStatuses], command: SyncUserData) -> list[Event]:
    followed, heard = states
    return [
        *subscriptions.reconcile(followed, command.subscriptions, command.user_id, command.now),
        *plays.reconcile(heard, command.play_statuses, command.user_id, command.now),
    ]


def conflicts(states: tuple[Subscriptions, PlayStatuses], command: SyncUserData) -> list[SyncConflict]:
    """The entries that lost, given the states after the merge: merging keeps the greater, so what differs."""
    followed, heard = states
    found: list[SyncConflict] = []
    for feed, said in subscriptions.together(command.subscriptions).items():
        at = said.changed_at
        if at is None or said.active is followed[feed].active:
            continue
        stands = followed[feed]
        rule = _rule(at, stands.changed_at, stands.claims, command.now, tie="subscribed_wins_a_tie")
        client, server = _subscription(feed, said), _subscription(feed, stands)
        found.append(SyncConflict("subscription", feed, client, server, "server", rule))
    for item, told in plays.together(command.play_statuses).items():
        status = heard[item]
        if plays.same(told, status):
            continue
        tie = "further_position_wins_a_tie"
        rule = _rule(told.updated_at, status.updated_at, status.claims, command.now, tie)
        found.append(
            SyncConflict("play_status", item, _play(item, told), _play(item, status), "server", rule)
        )
    return found


def document(states: tuple[Subscriptions, PlayStatuses], since: Iterable[Event] | None = None) -> SyncData:
    """Everything, or what the events ``since`` a device's cursor touched, as it stands now.

    Of events that are newer than the states, a key that the states lack is left for the next sync.
    """
    followed, heard = states
    feeds: Iterable[str] = followed
    items: Iterable[str] = heard
    if since is not None:
        feeds, items = _touched(since)
    return SyncData(
        subscriptions=[_subscription(feed, followed[feed]) for feed in feeds if feed in followed],
        play_statuses=[_play(item, heard[item]) for item in items if item in heard],
    )


def _rule(at: datetime, stands: datetime | None, claims: times.Claims, now: datetime, tie: str) -> str:
    """Why an entry of time ``at`` lost to what ``stands``."""
    if at in claims or times.ahead(at, now):
        return "clock_ahead"
    return tie if at == stands else "later_wins"


def _touched(events: Iterable[Event]) -> tuple[dict[str, None], dict[str, None]]:
    """The keys that events changed, in the order of their first change."""
    feeds: dict[str, None] = {}
    items: dict[str, None] = {}
    for event in events:
        match event:
            case UserSubscribed() | UserUnsubscribed():
                feeds[event.rss_source_feed] = None
            case PlayRecorded() | PositionUpdated():
                items[event.rss_source_item] = None
    return feeds, items


def _subscription(feed: str, of: subscriptions.Subscription) -> SubscriptionEntry:
    return SubscriptionEntry(feed, of.source_id, of.subscribed_at, of.unsubscribed_at)


def _play(item: str, of: plays.PlayStatus) -> PlayEntry:
    return PlayEntry(of.feed, item, of.position, of.played, of.updated_at)
