"""Removal: taking a feed, an item or everything out of a listener's history, as if it had never been.

What remains is folded anew; the events that held something of it are deleted, and a checkpoint of what
remains stands for them. Pure, as the topics are.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, TypeVar
from uuid import UUID

import msgspec

from eventstore.domain import retention
from eventstore.domain.collections import Collections
from eventstore.domain.identifiers import key_of
from eventstore.domain.messages import Command, Event
from eventstore.domain.playlists import Playlists
from eventstore.domain.retention import EventsRemoved, TakeCheckpoint, UserCheckpoint
from eventstore.domain.user import User, UserEvent, evolve

Value = TypeVar("Value")


class RemoveEvents(Command, frozen=True, kw_only=True):
    """A feed with all that is known to be of it, an item, an item of one feed, or with neither everything."""

    feed: str | None = None
    item: str | None = None
    now: datetime


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


def remove(history: Sequence[UserEvent], command: RemoveEvents) -> Remains:
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
    take = TakeCheckpoint(user_id=command.user_id, now=command.now, before=retention.LONG_AGO)
    return Remains(gone, [removed, retention.checkpoint(user, take)])


def without(event: UserEvent, scope: Scope) -> UserEvent | None:
    """The event itself where it holds nothing of it; a copy without it; None where nothing else is left."""
    match event:
        case UserCheckpoint():
            return _stripped(event, scope)
        case EventsRemoved():
            return event
        case _ if not _everything(scope) and (order := getattr(event, "order", None)):
            of_items = hasattr(event, "playlist_id")
            left = tuple(
                name
                for name in order
                if not (scope.covers(None, name) if of_items else scope.covers(name, None))
            )
            return event if left == order else msgspec.structs.replace(event, order=left)
        case _:
            feed, item = getattr(event, "rss_source_feed", None), getattr(event, "rss_source_item", None)
            return None if scope.covers(feed, item) else event


def _stripped(of: UserCheckpoint, scope: Scope) -> UserCheckpoint:
    if _everything(scope):
        return UserCheckpoint(user_id=of.user_id, taken_at=of.taken_at)
    left = msgspec.structs.replace(
        of,
        subscriptions=_kept(of.subscriptions, lambda feed, _: scope.covers(feed, None)),
        plays=_kept(of.plays, lambda item, one: scope.covers(one.feed, item)),
        saved_episodes=_kept(of.saved_episodes, lambda item, one: scope.covers(one.feed, item)),
        playlists=_playlists(of.playlists, scope),
        collections=_collections(of.collections, scope),
        privacy=_kept(of.privacy, lambda _, one: scope.covers(one.feed, one.item)),
    )
    return of if left == of else left


def _playlists(of: Playlists, scope: Scope) -> Playlists:
    return {
        id_: msgspec.structs.replace(
            one,
            items=_kept(one.items, lambda item, entry: scope.covers(entry.feed, item)),
            order=tuple(item for item in one.order if not scope.covers(None, item)),
        )
        for id_, one in of.items()
    }


def _collections(of: Collections, scope: Scope) -> Collections:
    return {
        id_: msgspec.structs.replace(
            one,
            feeds=_kept(one.feeds, lambda feed, _: scope.covers(feed, None)),
            order=tuple(feed for feed in one.order if not scope.covers(feed, None)),
        )
        for id_, one in of.items()
    }


def _kept(of: Mapping[str, Value], covered: Callable[[str, Value], bool]) -> dict[str, Value]:
    return {key: value for key, value in of.items() if not covered(key, value)}


def _everything(scope: Scope) -> bool:
    return scope.feed is None and scope.item is None


def _items_of(feed: str | None, history: Iterable[UserEvent]) -> Iterator[str]:
    """The items that a history knows to be of a feed."""
    if feed is None:
        return
    for event in history:
        if isinstance(event, UserCheckpoint):
            yield from (item for item, one in event.plays.items() if one.feed == feed)
            yield from (item for item, one in event.saved_episodes.items() if one.feed == feed)
            for playlist in event.playlists.values():
                yield from (item for item, one in playlist.items.items() if one.feed == feed)
            for setting in event.privacy.values():
                if setting.feed == feed and setting.item is not None:
                    yield setting.item
        elif getattr(event, "rss_source_feed", None) == feed:
            item = getattr(event, "rss_source_item", None)
            if item is not None:
                yield item


def _key(text: str | None) -> UUID | None:
    return None if text is None else UUID(key_of(text))
