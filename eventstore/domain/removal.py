"""Removal: taking a feed, an item or everything out of a listener's history, as if it had never been.

What remains is folded anew; the events that held something of it are deleted, and a checkpoint of what
remains stands for them. Pure, as the topics are.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple
from uuid import UUID

from eventstore.domain import checkpoint
from eventstore.domain.checkpoint import EventsRemoved, TakeCheckpoint, UserCheckpoint
from eventstore.domain.identifiers import key_of
from eventstore.domain.messages import Command, Event
from eventstore.domain.times import NEVER
from eventstore.domain.topics import OF_EVENT, TOPICS
from eventstore.domain.user import User, evolve


class RemoveEvents(Command, frozen=True, kw_only=True):
    """A feed with all that is known to be of it, an item, an item of one feed, or with neither everything."""

    feed: str | None = None
    item: str | None = None


class Remains(NamedTuple):
    """``gone``: the numbers of the events that held something of it; ``events`` take their place."""

    gone: list[int]
    events: list[Event]


class Scope(NamedTuple):
    """What is removed. ``items``: those that the history knows to be of the feed."""

    feed: str | None
    item: str | None
    items: frozenset[str]

    def covers(self, feed: str | None, item: str | None) -> bool:
        if self.feed is None and self.item is None:
            return True
        if self.item is not None and item != self.item:
            return False
        if self.feed is None or feed is not None:
            return self.feed in (None, feed)
        return item in self.items


def remove(history: Sequence[Event], command: RemoveEvents) -> Remains:
    """What to delete of a history, and what to record instead; nothing where there is nothing of it."""
    scope = Scope(command.feed, command.item, frozenset(_items_of(command.feed, history)))
    user, gone = User(command.user_id), []
    for number, event in enumerate(history):
        left = without(event, scope)
        if left is not event:
            gone.append(number)
        if left is not None:
            evolve(user, left)
    if not gone:
        return Remains([], [])
    # the checkpoint stands for older ones too, whatever they hold
    gone = sorted({*gone, *(n for n, event in enumerate(history) if isinstance(event, UserCheckpoint))})
    removed = EventsRemoved(
        user_id=command.user_id,
        feed_key=_key(command.feed),
        item_key=_key(command.item),
        removed_at=command.now,
    )
    take = TakeCheckpoint(user_id=command.user_id, now=command.now, before=NEVER)
    return Remains(gone, [removed, checkpoint.take(user, take)])


def without(event: Event, scope: Scope) -> Event | None:
    """The event itself where it holds nothing of it; a copy without it; None where nothing else is left."""
    if isinstance(event, UserCheckpoint):
        return _stripped(event, scope)
    topic = OF_EVENT.get(type(event))
    return event if topic is None else topic.strip_event(event, scope.covers)


def _stripped(of: UserCheckpoint, scope: Scope) -> UserCheckpoint:
    if scope.covers(None, None):
        return UserCheckpoint(user_id=of.user_id, taken_at=of.taken_at)
    left = {topic.name: topic.register.strip(getattr(of, topic.name), scope.covers) for topic in TOPICS}
    stripped = UserCheckpoint(user_id=of.user_id, taken_at=of.taken_at, **left)
    return of if stripped == of else stripped


def _items_of(feed: str | None, history: Iterable[Event]) -> Iterator[str]:
    """The items that a history knows to be of a feed."""
    if feed is None:
        return
    for event in history:
        for of_feed, item in _about(event):
            if of_feed == feed and item is not None:
                yield item


def _about(event: Event) -> Iterator[tuple[str | None, str | None]]:
    """Feed and item of everything that an event says."""
    if isinstance(event, UserCheckpoint):
        for topic in TOPICS:
            yield from topic.register.about(getattr(event, topic.name))
    elif (of := OF_EVENT.get(type(event))) is not None:
        carrier = of.carriers[type(event)]
        yield carrier.feed(event), carrier.item(event)


def _key(text: str | None) -> UUID | None:
    return None if text is None else UUID(key_of(text))
