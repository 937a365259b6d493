"""What a history says of listening: the count that a checkpoint carries and that belongs to no topic.

It is folded only for a checkpoint: a command that records a play neither reads nor writes it.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import TypeAlias

from eventstore.domain.checkpoint import UserCheckpoint
from eventstore.domain.episodes import EpisodeIdentified
from eventstore.domain.identifiers import episode_key
from eventstore.domain.listening import (
    EpisodeHeard,
    ListeningImported,
    Place,
    compress,
    greater,
    place_of,
    recount,
    settled,
)
from eventstore.domain.messages import Event
from eventstore.domain.plays import PlayRecorded, PositionUpdated

# An event and the device that sent it; None where the server itself did, which is not listening.
SentEvent: TypeAlias = tuple[Event, str | None]


class _Episode:
    def __init__(self, feed: str, item: str) -> None:
        self.feed, self.item = feed, item
        self.places: dict[tuple[datetime, str], Place] = {}

    def add(self, places: Iterable[Place]) -> None:
        for place in places:
            known = self.places.get(place.key)
            self.places[place.key] = place if known is None else greater(known, place)


class Tally:
    """What was heard of every episode, according to the events."""

    def __init__(self) -> None:
        self._episodes: dict[str, _Episode] = {}

    def evolve(self, event: Event, device: str | None) -> None:
        match event:
            case PlayRecorded(is_undo=True):
                pass  # nobody heard anything
            case PlayRecorded() | PositionUpdated() if device is not None:
                episode = self._episode(event.rss_source_feed, event.rss_source_item)
                episode.add([place_of(event, device)])
            case UserCheckpoint():
                self._episodes = {}
                self._add_counted(event.listening)
            case ListeningImported():
                self._add_counted(event.listening)
            case EpisodeIdentified():
                known = self._episodes.pop(event.known_key, None)
                if known is not None:
                    self._episode(event.rss_source_feed, event.rss_source_item).add(known.places.values())

    def listening(self, before: datetime) -> tuple[EpisodeHeard, ...]:
        """Return what a checkpoint keeps of it (``listening.compress``)."""
        kept = (
            EpisodeHeard(one.feed, one.item, compress(recount(one.places.values()), before))
            for one in self._episodes.values()
        )
        return tuple(one for one in kept if one.heard)

    def _add_counted(self, listening: Iterable[EpisodeHeard]) -> None:
        for one in listening:
            self._episode(one.rss_source_feed, one.rss_source_item).add(settled(one.heard))

    def _episode(self, feed: str, item: str) -> _Episode:
        return self._episodes.setdefault(episode_key(feed, item), _Episode(feed, item))


def tally(sent: Iterable[SentEvent], before: datetime) -> tuple[EpisodeHeard, ...]:
    """Return what a history says of listening, as a checkpoint keeps it."""
    found = Tally()
    for event, device in sent:
        found.evolve(event, device)
    return found.listening(before)
