"""Episodes: which ones a listener saved ("liked"), and the times that one was shared.

Saved is two times, and the later one decides; on equal times it is saved. Shares are not state: each counts.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TypeAlias, assert_never
from uuid import UUID

import msgspec

from eventstore.domain import lists, times
from eventstore.domain.errors import DomainError
from eventstore.domain.messages import Command, Event


class SaveEpisode(Command, frozen=True, kw_only=True):
    """``at`` is the client's time, where it gave one; ``now`` the server's clock."""

    feed: str
    item: str
    now: datetime
    at: datetime | None = None


class UnsaveEpisode(Command, frozen=True, kw_only=True):
    """``feed`` is needed only for an item of which nothing is known, and then only with ``at``."""

    item: str
    now: datetime
    at: datetime | None = None
    feed: str | None = None


class ShareEpisode(Command, frozen=True, kw_only=True):
    feed: str
    item: str
    now: datetime
    at: datetime | None = None


class EpisodeSaved(Event, frozen=True, kw_only=True, gc=False):
    """``claimed_at``: the client's own time, where it was too far ahead and the server's was taken."""

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


EpisodeCommand: TypeAlias = SaveEpisode | UnsaveEpisode | ShareEpisode
EpisodeEvent: TypeAlias = EpisodeSaved | EpisodeUnsaved | EpisodeShared


class SavedEpisode(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    feed: str
    saved_at: datetime | None = None
    unsaved_at: datetime | None = None
    claims: times.Claims = ()

    @property
    def saved(self) -> bool:
        if self.saved_at is None:
            return False
        return self.unsaved_at is None or self.saved_at >= self.unsaved_at

    @property
    def changed_at(self) -> datetime | None:
        """The time that decided."""
        return self.saved_at if self.saved else self.unsaved_at


class SavedEpisodeEntry(msgspec.Struct, frozen=True, gc=False):
    """What a device knows of one episode, in a sync."""

    rss_source_feed: str
    rss_source_item: str
    saved_at: datetime | None = None
    unsaved_at: datetime | None = None


SavedEpisodes: TypeAlias = dict[str, SavedEpisode]


def merge(one: SavedEpisode, other: SavedEpisode) -> SavedEpisode:
    """The later of each time; the feed goes with the latest of all, the greater text on a tie."""
    return SavedEpisode(
        feed=max(one, other, key=_latest).feed,
        saved_at=times.later(one.saved_at, other.saved_at),
        unsaved_at=times.later(one.unsaved_at, other.unsaved_at),
        claims=times.remember(one.claims, *other.claims) if one.claims or other.claims else (),
    )


def decide(state: SavedEpisodes, command: EpisodeCommand) -> list[Event]:
    """Raises ``DomainError`` ``feed_required`` for the unsaving of an unknown item without its feed."""
    known = state.get(command.item)
    match command:
        case ShareEpisode():
            return [_shared(command)]
        case SaveEpisode():
            if command.at is None and known is not None and known.saved:
                return []
            at, claimed = _time_of(known, command)
            change = SavedEpisode(command.feed, saved_at=at)
        case UnsaveEpisode():
            if command.at is None and (known is None or not known.saved):
                return []
            feed = command.feed or (known.feed if known else None)
            if feed is None:
                raise DomainError("feed_required", "Nothing is known of this episode: give rss_source_feed.")
            at, claimed = _time_of(known, command)
            change = SavedEpisode(feed, unsaved_at=at)
        case _:
            assert_never(command)
    if at is None or not _adds(known, change, claimed):
        return []
    return [_event(command.user_id, command.item, change, claimed)]


def evolve(state: SavedEpisodes, event: EpisodeEvent) -> None:
    match event:
        case EpisodeShared():
            return
        case EpisodeSaved():
            change = SavedEpisode(event.rss_source_feed, saved_at=event.saved_at)
        case EpisodeUnsaved():
            change = SavedEpisode(event.rss_source_feed, unsaved_at=event.unsaved_at)
        case _:
            assert_never(event)
    if event.claimed_at is not None:
        change = msgspec.structs.replace(change, claims=(event.claimed_at,))
    known = state.get(event.rss_source_item)
    state[event.rss_source_item] = change if known is None else merge(known, change)


def reconcile(
    state: SavedEpisodes, entries: list[SavedEpisodeEntry], user_id: UUID, now: datetime
) -> list[Event]:
    """The events of every difference between what a device knows and the state."""
    events: list[Event] = []
    for item, sent in together(entries).items():
        known = state.get(item)
        claims = known.claims if known else ()
        said = lists.believed(sent.saved_at, sent.unsaved_at, claims, now)
        if said.came is not None:
            liked = SavedEpisode(sent.feed, saved_at=said.came)
            if _adds(known, liked, said.came_claim):
                events.append(_event(user_id, item, liked, said.came_claim))
        if said.went is not None:
            unliked = SavedEpisode(sent.feed, unsaved_at=said.went)
            if _adds(known, unliked, said.went_claim):
                events.append(_event(user_id, item, unliked, said.went_claim))
    return events


def together(entries: Iterable[SavedEpisodeEntry]) -> SavedEpisodes:
    """One saved episode per item of a payload: two entries of one item merge, by the times they claim."""
    sent: SavedEpisodes = {}
    for entry in entries:
        said = SavedEpisode(entry.rss_source_feed, entry.saved_at, entry.unsaved_at)
        twin = sent.get(entry.rss_source_item)
        sent[entry.rss_source_item] = said if twin is None else merge(twin, said)
    return sent


def lost(
    state: SavedEpisodes, entries: list[SavedEpisodeEntry], now: datetime
) -> Iterator[tuple[str, SavedEpisodeEntry, SavedEpisodeEntry, str]]:
    """Key, client's value, server's value and rule of each entry that lost; ``state`` after the merge."""
    for item, said in together(entries).items():
        at = said.changed_at
        if at is None or said.saved is state[item].saved:
            continue
        stands = state[item]
        rule = times.rule(at, stands.changed_at, stands.claims, now, tie="saved_wins_a_tie")
        yield item, _entry(item, said), _entry(item, stands), rule


def document(state: SavedEpisodes, items: Iterable[str] | None = None) -> list[SavedEpisodeEntry]:
    """All entries, or those of ``items`` that the state knows, as a device would send them."""
    return [_entry(item, state[item]) for item in (state if items is None else items) if item in state]


def pruned(state: SavedEpisodes, before: datetime) -> SavedEpisodes:
    """A copy without what was unsaved before that time."""
    return {
        item: one
        for item, one in state.items()
        if one.saved or one.unsaved_at is None or one.unsaved_at >= before
    }


def _entry(item: str, of: SavedEpisode) -> SavedEpisodeEntry:
    return SavedEpisodeEntry(of.feed, item, of.saved_at, of.unsaved_at)


def _adds(known: SavedEpisode | None, change: SavedEpisode, claimed: datetime | None) -> bool:
    """Whether a change is worth recording: it says something new, or its time was replaced. The latter also
    where it loses, so that it is known when it comes again."""
    return claimed is not None or known is None or merge(known, change) != known


def _event(
    user_id: UUID, item: str, change: SavedEpisode, claimed: datetime | None
) -> EpisodeSaved | EpisodeUnsaved:
    """The event of a change of one of the two times."""
    if change.saved_at is not None:
        return EpisodeSaved(
            user_id=user_id,
            rss_source_feed=change.feed,
            rss_source_item=item,
            saved_at=change.saved_at,
            claimed_at=claimed,
        )
    assert change.unsaved_at is not None
    return EpisodeUnsaved(
        user_id=user_id,
        rss_source_feed=change.feed,
        rss_source_item=item,
        unsaved_at=change.unsaved_at,
        claimed_at=claimed,
    )


def _shared(command: ShareEpisode) -> EpisodeShared:
    # a share is no state: a time that cannot be believed is merely replaced
    believed = command.at is not None and not times.ahead(command.at, command.now)
    return EpisodeShared(
        user_id=command.user_id,
        rss_source_feed=command.feed,
        rss_source_item=command.item,
        shared_at=command.at if believed and command.at else command.now,
    )


def _time_of(
    known: SavedEpisode | None, command: SaveEpisode | UnsaveEpisode
) -> tuple[datetime | None, datetime | None]:
    """The time that counts (none for a wrong-clock action seen before) and the claim that it replaces."""
    if command.at is not None:
        return times.believed(command.at, known.claims if known else (), command.now)
    if known is None:
        return command.now, None
    return times.on_top_of(command.now, known.saved_at, known.unsaved_at), None


def _latest(of: SavedEpisode) -> tuple[bool, datetime | None, str]:
    at = times.later(of.saved_at, of.unsaved_at)
    # None sorts first without being compared with a time
    return (at is not None, at, of.feed)
