"""The history as its listener reads it: when something happened, and whether what it said still holds.

This is answered from the state alone, so that a page of a long history does not require folding all of it:
for every key that the state still holds, it is known what decided its value.
"""

from collections.abc import Iterable
from datetime import datetime

from eventstore.domain.checkpoint import OTHER_EVENTS
from eventstore.domain.messages import Event
from eventstore.domain.register import InEffect
from eventstore.domain.topics import OF_EVENT, Keys, User


def happened_at(event: Event) -> datetime | None:
    """Return the time that counts for an event: the device's own where it was accepted. None for the
    instance's events."""
    topic = OF_EVENT.get(type(event))
    if topic is not None:
        return topic.happened_at(event)
    name = OTHER_EVENTS[type(event)]
    return None if name is None else getattr(event, name)


def keys(events: Iterable[Event]) -> Keys:
    """Return the keys of the entries that ``in_effect`` needs, by topic."""
    named: dict[str, dict[str, None]] = {}
    for event in events:
        topic = OF_EVENT.get(type(event))
        if topic is not None and type(event) not in topic.not_state:
            named.setdefault(topic.name, {})[topic.register.key.read(event)] = None
    return {topic: tuple(keys) for topic, keys in named.items()}


def in_effect(user: User, event: Event) -> InEffect | None:
    """Return whether an event holds, and why. None where that cannot be determined: shares are not state, and
    what has been gone for long is forgotten."""
    topic = OF_EVENT.get(type(event))
    if topic is None or type(event) in topic.not_state:
        return None
    return topic.register.in_effect(getattr(user, topic.name), event)
