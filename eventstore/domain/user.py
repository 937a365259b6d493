"""The aggregate: everything that one listener's stream says, topic by topic."""

from collections.abc import Iterable, Mapping
from typing import Any

from eventstore.domain import checkpoint, collections, episodes, sync
from eventstore.domain.checkpoint import OTHER_EVENTS, TakeCheckpoint, UserCheckpoint
from eventstore.domain.collections import AddFeedToCollection, CollectionCreated, default_id
from eventstore.domain.episodes import EpisodeIdentified
from eventstore.domain.errors import DomainError
from eventstore.domain.messages import Command, Event
from eventstore.domain.subscriptions import Subscribe, UserSubscribed
from eventstore.domain.sync import SyncUserData
from eventstore.domain.topics import OF_COMMAND, OF_EVENT, User

__all__ = ["User", "decide", "evolve", "keys"]

Keys = dict[str, tuple[str, ...]]
Entries = Mapping[str, Mapping[str, Any]]


def keys(command: Command) -> Keys:
    """The entries on which a command is decided: their keys, by topic."""
    match command:
        case SyncUserData():
            named = sync.keys(command)
        case _:
            topic = OF_COMMAND[type(command)]
            named = {topic.name: topic.keys(command)}
    match command:
        case Subscribe() | SyncUserData():
            default = str(default_id(command.user_id))
            named["collections"] = (*named.get("collections", ()), default)
        case AddFeedToCollection():
            named["subscriptions"] = (command.feed,)
    return named


def decide(user: User, command: Command) -> list[Event]:
    """The events that a command leads to; none when nothing changes. Pure. Raises ``DomainError``."""
    if isinstance(command, TakeCheckpoint):
        return [checkpoint.take(user, command)]
    identified = episodes.identified(user, command)
    if identified:
        user = user.copy()
        for event in identified:
            episodes.identify(user, event)
    command = episodes.resolve(user, command)
    return [*identified, *decide_on(_entries(user, keys(command)), command)]


def decide_on(entries: Entries, command: Command) -> list[Event]:
    """As ``decide``, on the entries of ``keys(command)`` alone."""
    match command:
        case SyncUserData():
            return _with_default(entries, command, sync.decide(entries, command))
        case AddFeedToCollection():
            _check_subscribed(entries, command)
    topic = OF_COMMAND[type(command)]
    events = topic.commands[type(command)](entries[topic.name], command)
    return _with_default(entries, command, events) if isinstance(command, Subscribe) else events


def evolve(user: User, event: Event) -> None:
    """Fold one event into the state, in place. Judges nothing: what is recorded has happened."""
    topic = OF_EVENT.get(type(event))
    if topic is None:
        _evolve_other(user, event)
    elif type(event) not in topic.not_state:
        topic.register.evolve(getattr(user, topic.name), event)


def _evolve_other(user: User, event: Event) -> None:
    if isinstance(event, UserCheckpoint):
        checkpoint.restore(user, event)
    elif isinstance(event, EpisodeIdentified):
        episodes.identify(user, event)
    elif type(event) not in OTHER_EVENTS:
        raise TypeError(type(event).__name__)
    # a checkpoint follows a removal; the others are nobody's


def _entries(user: User, named: Mapping[str, Iterable[str]]) -> Entries:
    """The one place that knows where entries come from: today the fold of the whole stream."""
    return {
        topic: {key: known[key] for key in names if key in known}
        for topic, names in named.items()
        for known in (getattr(user, topic),)
    }


def _check_subscribed(entries: Entries, command: AddFeedToCollection) -> None:
    """Only subscribed feeds go into a collection."""
    subscription = entries["subscriptions"].get(command.feed)
    if subscription is None or not subscription.active:
        raise DomainError("not_subscribed", "Only feeds that you subscribe to go into a collection.")


def _with_default(entries: Entries, command: Subscribe | SyncUserData, events: list[Event]) -> list[Event]:
    """The first subscription also creates the default collection, as an event of its own."""
    if not any(isinstance(event, UserSubscribed) for event in events):
        return events
    known = entries["collections"].get(str(default_id(command.user_id)))
    created = collections.default(known, command.user_id, command.now)
    made = any(isinstance(event, CollectionCreated) and event.is_default for event in events)
    return events if created is None or made else [*events, created]
