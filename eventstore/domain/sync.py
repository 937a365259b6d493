"""Sync: merges what a device knows into what the server knows, and returns what the device lacks."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from itertools import chain
from typing import Any, Literal

import msgspec

from eventstore.domain import episodes
from eventstore.domain.episodes import EpisodeIdentified
from eventstore.domain.messages import Command, Event
from eventstore.domain.naming import Episode
from eventstore.domain.topic import Topic
from eventstore.domain.topics import OF_EVENT, TOPICS, User

# the entries of each topic, by its plural name
_LISTS = [(topic.plural, list[topic.register.entry]) for topic in TOPICS]  # type: ignore[name-defined]
_Payload: Any = msgspec.defstruct(
    "_Payload",
    [(name, type_, msgspec.field(default_factory=list)) for name, type_ in _LISTS],
    bases=(Command,),
    frozen=True,
    kw_only=True,
)
_Data: Any = msgspec.defstruct("_Data", _LISTS, frozen=True)


class SyncUserData(_Payload, dict=True):  # type: ignore[call-arg,misc]  # made from the registry
    """What a device knows, as a list of entries for each topic. It is one unit: all of it is recorded in one
    append, or nothing. ``resolved``: the entries as ``episodes.resolve`` returns them."""

    resolved: User | None = None

    @cached_property
    def sent(self) -> User:
        """The entries as a state, in which two entries of one key are merged. Must not be changed."""
        if self.resolved is not None:
            return self.resolved
        merged = {
            topic.name: topic.register.merge_payload(getattr(self, topic.plural), self.user_id)
            for topic in TOPICS
        }
        return User(self.user_id, **merged)

    @cached_property
    def without_guid(self) -> list[Episode]:
        """The episodes of which the entries name only an enclosure."""
        of_topics = (topic.register.without_guid(getattr(self.sent, topic.name)) for topic in TOPICS)
        return list(chain.from_iterable(of_topics))


class SyncData(_Data):  # type: ignore[misc]
    """The state, whole or in part, in the shape in which a device sends its own."""


class SyncConflict(msgspec.Struct, frozen=True):
    """An entry for which the server's value wins, with both values and the rule that decided."""

    type: str
    key: str
    client: Any
    server: Any
    winner: Literal["server"]
    rule: str


def keys(command: SyncUserData) -> dict[str, tuple[str, ...]]:
    """Return the keys of the entries that a sync is decided on, by topic."""
    return {topic.name: tuple(getattr(command.sent, topic.name)) for topic in TOPICS}


def decide(entries: Mapping[str, Mapping[str, Any]], command: SyncUserData) -> list[Event]:
    """Return the events for every difference. A setting that hides something takes effect before what it
    hides is shown."""
    events: list[Event] = []
    for topic in sorted(TOPICS, key=lambda topic: not topic.first):
        sent = getattr(command.sent, topic.name)
        events += topic.register.reconcile(entries[topic.name], sent, command.user_id, command.now)
    return events


def conflicts(user: User, command: SyncUserData) -> list[SyncConflict]:
    """Return the entries that lost, given the state after the merge."""
    sent = episodes.resolve(user, command).sent
    return [
        SyncConflict(topic.kind, lost.key, lost.client, lost.server, "server", lost.rule)
        for topic in TOPICS
        for lost in topic.register.conflicts(
            getattr(user, topic.name), getattr(sent, topic.name), command.now
        )
    ]


def to_entries(
    user: User, since: Iterable[Event] | None = None, device: SyncUserData | None = None
) -> SyncData:
    """Return the current state, whole or what the events ``since`` a device's cursor changed; episodes that
    the ``device`` sent come with the spelling that it sent.

    Where the events are newer than the state, a key that the state lacks is left for the next sync.
    """
    keys = dict.fromkeys(topic.name for topic in TOPICS) if since is None else changed_keys(user, since)
    sent = None if device is None else episodes.resolve(user, device).sent
    return SyncData(*(_to_entries(topic, user, keys[topic.name], sent) for topic in TOPICS))


def _to_entries(topic: Topic, user: User, keys: Iterable[str] | None, sent: User | None) -> list[Any]:
    entries = getattr(user, topic.name)
    spelt = {} if sent is None else topic.register.spelt(entries, getattr(sent, topic.name))
    return topic.register.to_entries(entries, keys, spelt)


def changed_keys(user: User, events: Iterable[Event]) -> dict[str, dict[str, None]]:
    """Return the keys of each topic that events changed, in the order of their first change."""
    keys: dict[str, dict[str, None]] = {topic.name: {} for topic in TOPICS}
    for event in events:
        if isinstance(event, EpisodeIdentified):
            for one in TOPICS:
                held = one.register.keys_of_episode(getattr(user, one.name), event.key)
                keys[one.name] |= dict.fromkeys(held)
            continue
        topic = OF_EVENT.get(type(event))
        if topic is not None and type(event) not in topic.not_state:
            keys[topic.name][topic.register.key.read(event)] = None
    return keys
