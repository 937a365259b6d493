"""What a topic declares to the registry (topics.py)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from eventstore.domain.fields import FEED, ITEM, Carrier
from eventstore.domain.identifiers import digests_of
from eventstore.domain.messages import Command, Event
from eventstore.domain.register import Covers, Register

Decide = Callable[[Mapping[str, Any], Any], list[Event]]


@dataclass(frozen=True)
class Topic:
    """One kind of thing that a listener's stream is about.

    ``name``: the name of its module in every layer, of its part of the state and of its projector.
    ``plural``: the name of its entries in syncs and exports; ``kind``: the name of one of them in conflicts.

    ``commands``: the function that decides each command, given the entries whose ``keys`` the command names,
    and no others. ``not_state``: events that the fold ignores, each with the field that says when it
    happened. ``first``: whether its events come before those of other topics in a sync.
    """

    name: str
    plural: str
    kind: str
    register: Register[Any]
    commands: Mapping[type[Command], Decide]
    keys: Callable[[Any], tuple[str, ...]]
    not_state: Mapping[type[Event], str] = field(default_factory=dict)
    first: bool = False

    @cached_property
    def carriers(self) -> dict[type[Event], Carrier]:
        """What each event class of the topic says."""
        state = self.register.state
        passing = {
            event: Carrier(event, state, (FEED, ITEM), {}, time) for event, time in self.not_state.items()
        }
        return self.register.carriers | passing

    @property
    def events(self) -> tuple[type[Event], ...]:
        return tuple(self.carriers)

    def happened_at(self, event: Event) -> datetime:
        """Return the time that counts for an event: the device's own where it was accepted."""
        return self.carriers[type(event)].happened_at(event)

    def strip_event(self, event: Event, covers: Covers) -> Event | None:
        """Return the event itself where nothing of it is covered, and None where nothing would be left of
        it."""
        if type(event) not in self.not_state:
            return self.register.strip_event(event, covers)
        carrier = self.carriers[type(event)]
        return None if covers(*digests_of(carrier.feed(event), carrier.item(event))) else event
