"""Actions as they are sent to apps: with every field that apps need, and no number that they misread."""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import zip_longest
from typing import Any, Final
from uuid import UUID

import msgspec

from api.gpodder.addresses import Spellings
from api.gpodder.objects import without_offset
from eventstore.changes import Change
from eventstore.dispatcher import state_of
from eventstore.domain.checkpoint import UserCheckpoint
from eventstore.domain.episode_actions import EpisodeAction, EpisodeActionRecorded
from eventstore.domain.identifiers import episode_key, parts_of_item
from eventstore.domain.plays import PlayRecorded, PlayStatus, PositionUpdated
from feeds.files import files

# Seconds that are assumed to be left of an episode of unknown length: otherwise apps take it for finished.
UNKNOWN_REST: Final = 600
# In an answer of at most this many actions, files are named as the device names them; a device that gets more
# has just begun.
MOST_COMPARED: Final = 1_000
_BEYOND_ASCII: Final = re.compile("[^\x00-\x7f]")


class Action(msgspec.Struct, omit_defaults=True, gc=False):
    podcast: str
    episode: str
    action: str
    timestamp: datetime
    guid: str | None = None
    device: str | None = None
    started: Any = None
    position: Any = None
    total: Any = None


class Writer:
    """Turns changes into actions. ``device``, ``feeds``: only actions of these; "" is every device, None
    every feed."""

    def __init__(
        self,
        spellings: Spellings,
        *,
        in_words: bool = False,
        device: str = "",
        feeds: Collection[str] | None = None,
    ) -> None:
        self._spellings = spellings
        self._url = lru_cache(maxsize=10_000)(spellings.url)
        self._in_words, self.device, self._feeds = in_words, device, feeds

    def of_changes(self, changes: Sequence[Change]) -> Iterator[Action]:
        """Yield the actions; where a live player moved the position several times in a row, only the last."""
        is_all = self._feeds is None and not self.device
        wanted = changes if is_all else [change for change in changes if self._is_asked_for(change)]
        lengths = _lengths([change.event for change in wanted])
        self._spellings.look_up({change.event.rss_source_feed for change in wanted})  # type: ignore[attr-defined]
        if len(wanted) <= MOST_COMPARED:
            others = [change for change in wanted if _device_of(change) != self._spellings.device]
            self._spellings.look_into(change.event.rss_source_feed for change in others)  # type: ignore[attr-defined]
        for change, following in zip_longest(wanted, wanted[1:]):
            event = change.event
            if type(event) is not PositionUpdated or not _is_passed(event, following):
                yield self._of_event(event, _device_of(change), lengths)

    def of_checkpoint(self, of: UserCheckpoint) -> Iterator[Action]:
        """Yield the newest action of each kind of each episode."""
        return self.of_known(of.user_id, [*of.plays.values(), *of.episode_actions.values()])

    def of_known(self, user_id: UUID, known: Sequence[PlayStatus | EpisodeAction]) -> Iterator[Action]:
        """Yield what is known of episodes as the actions that it came from: one for each, in this order."""
        events = [
            _play(user_id, one) if isinstance(one, PlayStatus) else _other(user_id, one) for one in known
        ]
        return self.of_changes([Change(0, event, None) for event in events])

    def of_state(self, user_id: UUID) -> Iterator[Action]:
        """Yield the newest play of each episode, or else its newest other action: what the stored state has
        of it."""
        user = state_of(user_id).user
        plays = dict(user.plays.items())
        others = [one for key, one in user.episode_actions.items() if key not in plays]
        return self.of_known(user_id, [*plays.values(), *others])

    def of_winners(self, user_id: UUID, changes: Sequence[Change]) -> Iterator[Action]:
        """Yield the current play of each episode whose last play among these changes arrived late and does
        not count.

        Apps use the newest play of an answer, and few check whether they know a newer one.
        """
        last: dict[str, Any] = {}
        for change in changes:
            if isinstance(change.event, EpisodeActionRecorded) or not self._is_asked_for(change):
                continue
            key = episode_key(change.event.rss_source_feed, change.event.rss_source_item)  # type: ignore[attr-defined]
            if key not in last or without_offset(_at(change.event)) >= without_offset(_at(last[key])):
                last[key] = change.event
        if self.device or not last:
            return iter(())
        stream = state_of(user_id)
        stream.fetch({"plays": tuple(last)})
        counting = [(event, stream.user.plays.get(key)) for key, event in last.items()]
        events = [
            _play(user_id, known) for event, known in counting if known and not _is_current(known, event)
        ]
        return self.of_changes([Change(0, event, None) for event in events])

    def _is_asked_for(self, change: Change) -> bool:
        event: Any = change.event
        if self._feeds is not None and event.rss_source_feed not in self._feeds:
            return False
        return not self.device or self.device == _device_of(change)

    def _of_event(self, event: Any, device: str | None, lengths: dict[tuple[str, str], int]) -> Action:
        feed = event.rss_source_feed
        guid, url = parts_of_item(event.rss_source_item)
        if own := self._spellings.files:
            url = own.get((feed, guid), url)
        if type(event) is EpisodeActionRecorded:
            at = without_offset(event.acted_at)
            return Action(self._url(feed), url or guid, event.action, at, guid or None, device)
        if type(event) is PlayRecorded and event.total:
            numbers = event.started or 0, event.position, event.total
        else:
            numbers = _numbers(event, lengths.get((feed, event.rss_source_item)))
        started, position, total = map(_in_words, numbers) if self._in_words else numbers
        at = without_offset(_at(event))
        return Action(
            self._url(feed), url or guid, "play", at, guid or None, device, started, position, total
        )


def newest(actions: Iterable[Action]) -> list[Action]:
    """Return the newest play of each episode, or else its newest other action."""
    found: dict[tuple[str, str], Action] = {}
    for action in actions:
        name = action.podcast, action.guid or action.episode
        known = found.get(name)
        if known is None or _counts_more(action, known):
            found[name] = action
    return list(found.values())


def ascii_json(found: Any) -> bytes:
    """Return JSON in ASCII."""
    raw = msgspec.json.encode(found)
    return raw if raw.isascii() else _BEYOND_ASCII.sub(_escaped, raw.decode()).encode()


def _counts_more(action: Action, known: Action) -> bool:
    return (action.action == "play", action.timestamp) >= (known.action == "play", known.timestamp)


def _in_words(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _escaped(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1]


def _play(user_id: UUID, status: PlayStatus) -> PlayRecorded:
    """Return what is known of an episode, as the play that it came from."""
    return PlayRecorded(
        user_id=user_id,
        rss_source_feed=status.feed,
        rss_source_item=status.item,
        position=status.position,
        played=status.played,
        started=status.started,
        total=status.total,
        played_at=status.updated_at,
    )


def _other(user_id: UUID, known: EpisodeAction) -> EpisodeActionRecorded:
    return EpisodeActionRecorded(
        user_id=user_id,
        rss_source_feed=known.feed,
        rss_source_item=known.item,
        action=known.action,
        device=known.device,
        acted_at=known.acted_at,
    )


def _at(event: Any) -> datetime:
    found: datetime = event.updated_at if type(event) is PositionUpdated else event.played_at
    return found


def _is_current(known: PlayStatus, event: Any) -> bool:
    at = _at(event)
    is_same_time = known.updated_at == at or without_offset(known.updated_at) == without_offset(at)
    return is_same_time and known.position == event.position


def _device_of(change: Change) -> str | None:
    named = getattr(change.event, "device", None)
    return (change.device if named is None else named) or None


def _is_passed(event: PositionUpdated, following: Change | None) -> bool:
    """Whether the next change moves the position of the same episode again."""
    after = None if following is None else following.event
    return (
        isinstance(after, PositionUpdated)
        and event.rss_source_item == after.rss_source_item
        and event.rss_source_feed == after.rss_source_feed
    )


def _numbers(event: Any, length: int | None) -> tuple[int, int, int]:
    """Return started, position and total, always all three: apps take an episode for finished if one is
    missing."""
    position: int = event.position
    reported = getattr(event, "total", None)
    total = reported or length
    if reported is None and isinstance(event, PlayRecorded) and event.played and event.device is None:
        # marked as played through our own API or pages
        total = total or max(position, 1)
        return total, total, total
    if not total or (total <= position and reported is None):
        total = position + UNKNOWN_REST
    started = getattr(event, "started", None)
    return (0 if started is None else started), position, total


def _lengths(events: Sequence[Any]) -> dict[tuple[str, str], int]:
    """Return how long played episodes are according to their feeds, for those whose length no app has
    reported."""
    wanted = {
        (event.rss_source_feed, event.rss_source_item)
        for event in events
        if not getattr(event, "total", None) and type(event) is not EpisodeActionRecorded
    }
    known = files(wanted) if wanted else {}
    return {name: file.duration for name, file in known.items() if file.duration}
