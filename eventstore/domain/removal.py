"""Removal: takes a feed, an item or everything out of a listener's history, as if it had never been there.

What remains is folded again; the events that held something of it are deleted, and a checkpoint of what
remains replaces them. Pure, as the topics are.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from uuid import UUID

from msgspec.structs import replace

from eventstore.domain import checkpoint, episodes
from eventstore.domain.checkpoint import EventsRemoved, TakeCheckpoint, UserCheckpoint
from eventstore.domain.episodes import EpisodeIdentified
from eventstore.domain.identifiers import digests_of, episode_key, feed_key_of
from eventstore.domain.listening import EpisodeHeard, ListeningImported
from eventstore.domain.messages import Command, Event
from eventstore.domain.naming import Episode, choose
from eventstore.domain.tally import Tally
from eventstore.domain.times import NEVER
from eventstore.domain.topics import OF_EVENT, TOPICS
from eventstore.domain.user import User, evolve


class RemoveEvents(Command, frozen=True, kw_only=True):
    """Removes a feed, an item of a feed, or with neither everything. ``feed`` may be left out where only one
    feed is known to have the item."""

    feed: str | None = None
    item: str | None = None


class Removal(NamedTuple):
    """The result of a removal. ``gone``: the numbers of the events that held something of what is removed;
    ``events``: those that take their place."""

    gone: list[int]
    events: list[Event]


class Scope(NamedTuple):
    """What is removed, by digests: everything; a feed, with the episodes that the history knows to belong to
    it; or some episodes, without a feed."""

    feed: str | None = None
    episodes: frozenset[str] | None = None

    def covers(self, feed: str | None, episode: str | None) -> bool:
        if self.feed is None and self.episodes is None:
            return True
        return (feed is not None and feed == self.feed) or episode in (self.episodes or ())


def remove(
    history: Sequence[Event], command: RemoveEvents, devices: Sequence[str | None] | None = None
) -> Removal:
    """Return what to delete of a history, and what to record instead; nothing where the history holds nothing
    of it.

    ``devices``: the device that sent each event (``tally.SentEvent``). Raises ``DomainError``
    ``ambiguous_item`` where several feeds have the item.
    """
    feed, item = _meant(history, command)
    if item is not None and feed is None:
        return Removal([], [])
    scopes = _scopes(history, feed, item)
    user, tally, gone = User(command.user_id), Tally(), []
    recorded = zip(history, scopes, devices or [None] * len(history), strict=True)
    for number, (event, scope, device) in enumerate(recorded):
        left = without(event, scope)
        if left is not event:
            gone.append(number)
        if left is not None:
            evolve(user, left)
            tally.evolve(left, device)
    if not gone:
        return Removal([], [])
    # the new checkpoint replaces older ones too, whatever they hold
    gone = sorted({*gone, *(n for n, event in enumerate(history) if isinstance(event, UserCheckpoint))})
    feed_key, item_key = digests_of(feed, item)
    removed = EventsRemoved(
        user_id=command.user_id,
        feed_key=None if feed_key is None else UUID(feed_key),
        item_key=None if item_key is None else UUID(item_key),
        removed_at=command.now,
    )
    take = TakeCheckpoint(
        user_id=command.user_id, now=command.now, before=NEVER, listening=tally.listening(NEVER)
    )
    return Removal(gone, [removed, checkpoint.take(user, take)])


def without(event: Event, scope: Scope) -> Event | None:
    """Return the event itself where it holds nothing of the scope, else a copy without it, or None where
    nothing else is left."""
    if isinstance(event, UserCheckpoint):
        return _stripped(event, scope)
    if isinstance(event, ListeningImported):
        left = _uncovered(event.listening, scope)
        return event if left == event.listening else replace(event, listening=left) if left else None
    if isinstance(event, EpisodeIdentified):
        return None if scope.covers(*digests_of(event.rss_source_feed, event.rss_source_item)) else event
    topic = OF_EVENT.get(type(event))
    return event if topic is None else topic.strip_event(event, scope.covers)


def _stripped(of: UserCheckpoint, scope: Scope) -> UserCheckpoint:
    if scope.covers(None, None):
        return UserCheckpoint(user_id=of.user_id, taken_at=of.taken_at)
    left = {topic.name: topic.register.strip(getattr(of, topic.name), scope.covers) for topic in TOPICS}
    listening = _uncovered(of.listening, scope)
    stripped = UserCheckpoint(user_id=of.user_id, taken_at=of.taken_at, listening=listening, **left)
    return of if stripped == of else stripped


def _uncovered(listening: Sequence[EpisodeHeard], scope: Scope) -> tuple[EpisodeHeard, ...]:
    named = ((one, digests_of(one.rss_source_feed, one.rss_source_item)) for one in listening)
    return tuple(one for one, digests in named if not scope.covers(*digests))


def _meant(history: Sequence[Event], command: RemoveEvents) -> tuple[str | None, str | None]:
    """Return feed and item of what is to be removed, as they are known at the end of the history."""
    if command.item is None:
        return command.feed, None
    user = User(command.user_id)
    for event in history:
        evolve(user, event)
    found = episodes.find(user, command.feed, command.item)
    if found.feed is None:
        # an episode that was only shared is not part of the state
        found = choose(_shared(history), found)
    return found


def _shared(history: Sequence[Event]) -> Iterator[Episode]:
    for event in history:
        topic = OF_EVENT.get(type(event))
        if topic is not None and type(event) in topic.not_state:
            carrier = topic.carriers[type(event)]
            yield Episode(carrier.feed(event), carrier.item(event))


def _scopes(history: Sequence[Event], feed: str | None, item: str | None) -> list[Scope]:
    """Return what is removed, at each event: before an enclosure was identified, it stood for the same
    episode."""
    if item is None:
        whole = Scope() if feed is None else Scope(feed_key_of(feed), frozenset(_episodes_of(feed, history)))
        return [whole] * len(history)
    assert feed is not None
    keys = frozenset((episode_key(feed, item),))
    scopes = []
    for event in reversed(history):
        scopes.append(Scope(None, keys))
        if isinstance(event, EpisodeIdentified):
            keys = keys | {event.known_key} if event.key in keys else keys - {event.known_key}
    return scopes[::-1]


def _episodes_of(feed: str, history: Sequence[Event]) -> Iterator[str]:
    """Yield the keys of the episodes that a history knows to belong to a feed."""
    for event in history:
        for of_feed, item in _about(event):
            if of_feed == feed and item is not None:
                yield episode_key(feed, item)


def _about(event: Event) -> Iterator[tuple[str | None, str | None]]:
    """Yield feed and item of everything that an event says."""
    if isinstance(event, UserCheckpoint):
        for topic in TOPICS:
            yield from topic.register.about(getattr(event, topic.name))
    if isinstance(event, UserCheckpoint | ListeningImported):
        yield from ((one.rss_source_feed, one.rss_source_item) for one in event.listening)
    elif (of := OF_EVENT.get(type(event))) is not None:
        carrier = of.carriers[type(event)]
        yield carrier.feed(event), carrier.item(event)
