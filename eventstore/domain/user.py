"""The aggregate: everything that one listener's stream says, topic by topic."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, groupby
from typing import Any

from eventstore.domain import checkpoint, collections, episodes, sync, upnext
from eventstore.domain.batch import Batch
from eventstore.domain.checkpoint import OTHER_EVENTS, TakeCheckpoint, UserCheckpoint
from eventstore.domain.collections import AddFeedToCollection, CollectionCreated, default_id
from eventstore.domain.episodes import EpisodeIdentified
from eventstore.domain.errors import DomainError
from eventstore.domain.identifiers import ITEM_WITHOUT_GUID
from eventstore.domain.listening import ImportListening, bring
from eventstore.domain.messages import Command, Event
from eventstore.domain.partial import pick
from eventstore.domain.subscriptions import Subscribe, UserSubscribed
from eventstore.domain.sync import SyncUserData
from eventstore.domain.times import NEVER
from eventstore.domain.topics import OF_COMMAND, OF_EVENT, TOPICS, WITHOUT_GUID, Keys, User

__all__ = ["User", "decide", "decide_and_evolve", "decide_in_steps", "evolve", "evolve_all", "keys"]

Entries = Mapping[str, Mapping[str, Any]]


def keys(command: Command) -> Keys:
    """Return the keys of the entries that a command is decided on, by topic."""
    match command:
        case TakeCheckpoint() | ImportListening():
            return {}
        case SyncUserData():
            named = sync.keys(command)
        case Batch():
            return _keys_of_batch(command)
        case _:
            topic = OF_COMMAND[type(command)]
            named = {topic.name: topic.keys(command)}
    named[WITHOUT_GUID] = tuple(episodes.keys_of_enclosures(command))
    match command:
        case Subscribe() | SyncUserData():
            default = str(default_id(command.user_id))
            named["collections"] = (*named.get("collections", ()), default)
        case AddFeedToCollection():
            named["subscriptions"] = (command.feed,)
    for name, more in upnext.keys(command).items():
        named[name] = (*named.get(name, ()), *more)
    return named


def decide(user: User, command: Command, named: Keys | None = None) -> list[Event]:
    """Return the events that a command leads to; none when nothing changes. Pure. Raises ``DomainError``.

    ``named``: the ``keys`` of the command, where the caller has them already.
    """
    if isinstance(command, TakeCheckpoint):
        return [checkpoint.take(user, command)]
    if isinstance(command, ImportListening):
        return bring(command)
    if isinstance(command, Batch):
        return decide_and_evolve(user.copy(), command)
    identified = episodes.identified(user, command)
    if identified:
        # a command names one episode: what is known of others does not matter
        is_sync = isinstance(command, SyncUserData)
        user = user.copy() if is_sync else _excerpt(user, command, identified)
        for event in identified:
            episodes.identify(user, event)
    resolved = episodes.resolve(user, command)
    if named is None or resolved is not command:
        named = keys(resolved)
    return [*identified, *decide_on(_entries(user, named), resolved)]


def decide_and_evolve(user: User, batch: Batch) -> list[Event]:
    """Decide each order of a batch on the result of those before it, and return the events, which are folded
    into the state, in place."""
    return list(chain.from_iterable(decide_in_steps(user, batch, len(batch.orders))))


def decide_in_steps(user: User, batch: Batch, step: int) -> Iterator[list[Event]]:
    """Do the same, and yield the events of each ``step`` orders. All entries that are needed are read before
    the first ones."""
    events: list[Event] = [*episodes.identified(user, batch)]
    for event in events:
        evolve(user, event)
    resolved = episodes.resolve(user, batch)
    if resolved is not batch:
        _entries(user, keys(resolved))  # read at once
    entries = {topic.name: getattr(user, topic.name) for topic in TOPICS}
    for number, order in enumerate(resolved.orders, 1):
        try:
            decided = decide_on(entries, order)
        except DomainError:
            continue
        for event in decided:
            evolve(user, event)
        events += decided
        if number % step == 0:
            yield events
            events = []
    yield events


def decide_on(entries: Entries, command: Command) -> list[Event]:
    """Do what ``decide`` does, on the entries of ``keys(command)`` alone."""
    if isinstance(command, SyncUserData):
        events = _with_default(entries, command, sync.decide(entries, command))
        return [*events, *upnext.leave(entries, command, events)]
    if isinstance(command, AddFeedToCollection):
        _check_subscribed(entries, command)
    topic = OF_COMMAND[type(command)]
    events = topic.commands[type(command)](entries[topic.name], command)
    if isinstance(command, Subscribe):
        return _with_default(entries, command, events)
    left = upnext.leave(entries, command, events)
    return [*events, *left] if left else events


def _keys_of_batch(batch: Batch) -> Keys:
    named: dict[str, dict[str, None]] = {topic.name: {} for topic in TOPICS}
    for order in batch.orders:
        topic = OF_COMMAND[type(order)]
        for key in topic.keys(order):
            named[topic.name][key] = None
        for name, more in upnext.keys(order).items():
            named[name] |= dict.fromkeys(more)
        if isinstance(order, Subscribe):
            named["collections"][str(default_id(batch.user_id))] = None
    named[WITHOUT_GUID] = dict.fromkeys(episodes.keys_of_enclosures(batch))
    return {topic: tuple(keys) for topic, keys in named.items() if keys}


def evolve(user: User, event: Event) -> None:
    """Fold one event into the state, in place. Nothing is judged: what is recorded has happened."""
    topic = OF_EVENT.get(type(event))
    if topic is None:
        _evolve_other(user, event)
    elif type(event) not in topic.not_state:
        topic.register.evolve(getattr(user, topic.name), event)
        carrier = topic.carriers[type(event)]
        item = carrier.item(event)
        # repeats the first test of ``note``, whose calls would take longer
        if item is not None and item.startswith(ITEM_WITHOUT_GUID):
            episodes.note(user, carrier.feed(event) or "", item)


def evolve_all(user: User, events: Iterable[Event]) -> None:
    """Fold events into the state, in place, like ``evolve``: thousands in half of the time."""
    for cls, run in groupby(events, type):
        topic = OF_EVENT.get(cls)
        some = list(run)
        if topic is None or cls in topic.not_state:
            for event in some:
                evolve(user, event)
            continue
        topic.register.evolve_all(getattr(user, topic.name), some)
        carrier = topic.carriers[cls]
        for event, item in zip(some, map(carrier.item, some), strict=True):
            if item is not None and item.startswith(ITEM_WITHOUT_GUID):
                episodes.note(user, carrier.feed(event) or "", item)


def _evolve_other(user: User, event: Event) -> None:
    if isinstance(event, UserCheckpoint):
        checkpoint.restore(user, event)
    elif isinstance(event, EpisodeIdentified):
        episodes.identify(user, event)
    elif type(event) not in OTHER_EVENTS:
        raise TypeError(type(event).__name__)
    # a removal is followed by a checkpoint, listening is counted by tally.py; the others concern no user


def _excerpt(user: User, command: Command, identified: Iterable[EpisodeIdentified]) -> User:
    """Return a copy of what is known of some episodes, and of what the command names."""
    named = keys(command)
    for topic in TOPICS:
        entries = getattr(user, topic.name)
        for event in identified:
            for key in (event.known_key, event.key):
                held = topic.register.keys_of_episode(entries, key)
                named[topic.name] = (*named.get(topic.name, ()), *held)
    picked = _entries(user, named)
    copied = {topic.name: topic.register.prune(picked[topic.name], NEVER) for topic in TOPICS}
    return User(user.user_id, without_guid=dict(picked[WITHOUT_GUID]), **copied)


def _entries(user: User, named: Mapping[str, Iterable[str]]) -> Entries:
    """Return what is known of some keys, and nothing else."""
    return {topic: pick(getattr(user, topic), keys) for topic, keys in named.items()}


def _check_subscribed(entries: Entries, command: AddFeedToCollection) -> None:
    """Raise ``DomainError`` unless the feed is subscribed to: only such feeds go into a collection."""
    subscription = entries["subscriptions"].get(command.feed)
    if subscription is None or not subscription.active:
        raise DomainError("not_subscribed", "Only feeds that you subscribe to go into a collection.")


def _with_default(entries: Entries, command: Subscribe | SyncUserData, events: list[Event]) -> list[Event]:
    """Add the event that creates the default collection, where this is the first subscription."""
    if not any(isinstance(event, UserSubscribed) for event in events):
        return events
    known = entries["collections"].get(str(default_id(command.user_id)))
    created = collections.default(known, command.user_id, command.now)
    made = any(isinstance(event, CollectionCreated) and event.is_default for event in events)
    return events if created is None or made else [*events, created]
