"""Plays: how far each episode was heard.

One status per item. Of two statuses the later wins, on equal times the further position; the rest of the
key only makes the order total, so that merging never depends on who comes first.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TypeAlias, assert_never
from uuid import UUID

import msgspec

from eventstore.domain import times
from eventstore.domain.errors import DomainError
from eventstore.domain.messages import Command, Event


class RecordPlay(Command, frozen=True, kw_only=True):
    """``position`` in whole seconds. ``at`` is the client's time, where it gave one; ``now`` the server's."""

    feed: str
    item: str
    position: int
    played: bool
    now: datetime
    at: datetime | None = None


class UpdatePosition(Command, frozen=True, kw_only=True):
    """``feed`` is needed only for an item that was never played before."""

    item: str
    position: int
    now: datetime
    at: datetime | None = None
    feed: str | None = None


class PlayRecorded(Event, frozen=True, kw_only=True, gc=False):
    """``claimed_at``: the client's own time, where it was too far ahead and the server's was taken."""

    rss_source_feed: str
    rss_source_item: str
    position: int
    played: bool
    played_at: datetime
    claimed_at: datetime | None = None


class PositionUpdated(Event, frozen=True, kw_only=True, gc=False):
    """Carries ``played`` as it was, so that folding compares whole statuses."""

    rss_source_feed: str
    rss_source_item: str
    position: int
    played: bool
    updated_at: datetime
    claimed_at: datetime | None = None


PlayCommand: TypeAlias = RecordPlay | UpdatePosition
PlayEvent: TypeAlias = PlayRecorded | PositionUpdated


class PlayStatus(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    feed: str
    position: int
    played: bool
    updated_at: datetime
    claims: times.Claims = ()


class PlayEntry(msgspec.Struct, frozen=True, gc=False):
    """What a device knows of one item, in a sync."""

    rss_source_feed: str
    rss_source_item: str
    position: int
    played: bool
    updated_at: datetime


PlayStatuses: TypeAlias = dict[str, PlayStatus]


def merge(one: PlayStatus, other: PlayStatus) -> PlayStatus:
    """The later; on equal times the further position, then played, then the greater feed."""
    newest = max(one, other, key=_key)
    if not one.claims and not other.claims:
        return newest
    return msgspec.structs.replace(newest, claims=times.remember(one.claims, *other.claims))


def same(one: PlayStatus, other: PlayStatus) -> bool:
    """Whether two statuses say the same, whenever they said it."""
    return (one.position, one.played, one.feed) == (other.position, other.played, other.feed)


def decide(state: PlayStatuses, command: PlayCommand) -> list[Event]:
    """Every play and position is recorded, also one older than the status: only an exact repeat is not.

    Raises ``DomainError`` ``feed_required`` for the position of an unknown item without its feed.
    """
    known = state.get(command.item)
    at, claimed = _time_of(known, command)
    if at is None:
        return []
    match command:
        case RecordPlay():
            status = PlayStatus(command.feed, command.position, command.played, at)
            event: PlayEvent = _played(command, status, claimed)
        case UpdatePosition():
            feed = command.feed or (known.feed if known else None)
            if feed is None:
                raise DomainError("feed_required", "This episode has no earlier play: give rss_source_feed.")
            status = PlayStatus(feed, command.position, known.played if known else False, at)
            event = _moved(command, status, claimed)
        case _:
            assert_never(command)
    new = known is None or _key(status) != _key(known)
    if known is not None and command.at is None and known.updated_at >= command.now and same(status, known):
        return []  # the same action, decided again
    # a replaced time is recorded also where it loses: so that it is known when it comes again
    return [event] if new or claimed is not None else []


def evolve(state: PlayStatuses, event: PlayEvent) -> None:
    match event:
        case PlayRecorded():
            at = event.played_at
        case PositionUpdated():
            at = event.updated_at
        case _:
            assert_never(event)
    claims = times.claim(event.claimed_at)
    status = PlayStatus(event.rss_source_feed, event.position, event.played, at, claims)
    known = state.get(event.rss_source_item)
    state[event.rss_source_item] = status if known is None else merge(known, status)


def reconcile(state: PlayStatuses, entries: list[PlayEntry], user_id: UUID, now: datetime) -> list[Event]:
    """The events of every item of which a device knows something newer than the state."""
    events: list[Event] = []
    for item, sent in together(entries).items():
        known = state.get(item)
        at, claimed = times.believed(sent.updated_at, known.claims if known else (), now)
        if at is None:
            continue
        if claimed is not None:
            sent = msgspec.structs.replace(sent, updated_at=at)
        elif known is not None and _key(sent) <= _key(known):
            continue  # a replaced time is recorded even so: to be known when it comes again
        events.append(
            PlayRecorded(
                user_id=user_id,
                rss_source_feed=sent.feed,
                rss_source_item=item,
                position=sent.position,
                played=sent.played,
                played_at=sent.updated_at,
                claimed_at=claimed,
            )
        )
    return events


def together(entries: list[PlayEntry]) -> PlayStatuses:
    """One status per item of a payload: of two the later wins, by the times they claim."""
    sent: PlayStatuses = {}
    for entry in entries:
        said = PlayStatus(entry.rss_source_feed, entry.position, entry.played, entry.updated_at)
        twin = sent.get(entry.rss_source_item)
        sent[entry.rss_source_item] = said if twin is None else merge(twin, said)
    return sent


def lost(
    state: PlayStatuses, entries: list[PlayEntry], now: datetime
) -> Iterator[tuple[str, PlayEntry, PlayEntry, str]]:
    """Key, client's value, server's value and rule of each entry that lost; ``state`` after the merge."""
    for item, said in together(entries).items():
        stands = state[item]
        if same(said, stands):
            continue
        tie = "further_position_wins_a_tie"
        rule = times.rule(said.updated_at, stands.updated_at, stands.claims, now, tie)
        yield item, _entry(item, said), _entry(item, stands), rule


def document(state: PlayStatuses, items: Iterable[str] | None = None) -> list[PlayEntry]:
    """All entries, or those of ``items`` that the state knows, as a device would send them."""
    return [_entry(item, state[item]) for item in (state if items is None else items) if item in state]


def _entry(item: str, of: PlayStatus) -> PlayEntry:
    return PlayEntry(of.feed, item, of.position, of.played, of.updated_at)


def _time_of(known: PlayStatus | None, command: PlayCommand) -> tuple[datetime | None, datetime | None]:
    """The time that counts (none for a wrong-clock action seen before) and the claim that it replaces."""
    if command.at is None:
        return times.on_top_of(command.now, known.updated_at if known else None), None
    return times.believed(command.at, known.claims if known else (), command.now)


def _played(command: RecordPlay, status: PlayStatus, claimed: datetime | None) -> PlayRecorded:
    return PlayRecorded(
        user_id=command.user_id,
        rss_source_feed=status.feed,
        rss_source_item=command.item,
        position=status.position,
        played=status.played,
        played_at=status.updated_at,
        claimed_at=claimed,
    )


def _moved(command: UpdatePosition, status: PlayStatus, claimed: datetime | None) -> PositionUpdated:
    return PositionUpdated(
        user_id=command.user_id,
        rss_source_feed=status.feed,
        rss_source_item=command.item,
        position=status.position,
        played=status.played,
        updated_at=status.updated_at,
        claimed_at=claimed,
    )


def _key(of: PlayStatus) -> tuple[datetime, int, bool, str]:
    return (of.updated_at, of.position, of.played, of.feed)
