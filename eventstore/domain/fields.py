"""How a topic declares its state and its events: keys, fields, and which event says which fields."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from types import NoneType
from typing import Any, NamedTuple, get_args
from uuid import UUID

import msgspec

from eventstore.domain import times
from eventstore.domain.identifiers import episode_key, key_of
from eventstore.domain.messages import Event

Values = Callable[[Any], tuple[Any, ...]]
FEED, ITEM, DEVICE = "rss_source_feed", "rss_source_item", "device"
# the field of an event that restores an earlier state
IS_UNDO = "is_undo"


class Key(NamedTuple):
    """Identifies an entry of a topic.

    ``column``: the column of the table, which holds the key's ``digest``. ``read``: reads the key from an
    event or an entry. ``named``: returns the fields of events, entries and tables that the key stands for,
    with their values. ``shown``: what conflicts call an entry, where that is not its key. ``of_episode``:
    returns the key of the entry about an episode.
    """

    column: str
    fields: tuple[str, ...]
    read: Callable[[Any], str]
    named: Callable[[str], dict[str, Any]]
    digest: Callable[[str], str] = key_of
    shown: Callable[[Any], str] | None = None
    of_episode: Callable[[str], str] | None = None


FEED_KEY = Key("feed_key", (FEED,), attrgetter(FEED), lambda key: {FEED: key})
# feed and item are part of the state, which keeps the newest spelling of the item
EPISODE_KEY = Key(
    "item_key",
    (),
    lambda of: episode_key(of.rss_source_feed, of.rss_source_item),
    lambda _: {},
    digest=lambda key: key,
    shown=attrgetter(ITEM),
    of_episode=lambda key: key,
)


def episode_named(command: Any) -> tuple[str, ...]:
    """Return the key of the episode that a command names; none where its feed is not known."""
    return () if command.feed is None else (episode_key(command.feed, command.item),)


class Field(NamedTuple):
    """A field of a state. ``public``: what events, entries and tables call it. ``ranks``: its values from
    least to greatest, where they do not compare directly."""

    name: str
    public: str
    type: Any
    ranks: tuple[Any, ...] | None = None

    @property
    def nullable(self) -> bool:
        return NoneType in get_args(self.type)

    @property
    def is_nullable_text(self) -> bool:
        return bool(self.type == str | None)

    def rank(self, value: Any) -> Any:
        """Return what is compared in place of a value; an absent value is the least."""
        if self.ranks is not None:
            return self.ranks.index(value)
        if self.is_nullable_text:
            return value or ""
        return (value is not None, value) if self.nullable else value


class Group:
    """Fields that belong to the latest of some times: those of the later state count, on equal times the
    greater ones."""

    def __init__(self, times: tuple[str, ...], fields: tuple[Field, ...]) -> None:
        self.times = times
        self.fields = fields
        self.names = tuple(field.name for field in fields)
        self._values = values_of(self.names)
        self.at: Callable[[Any], datetime | None] = attrgetter(times[0]) if len(times) == 1 else self._latest
        # only these fields do not compare directly
        self._ranked = any(field.nullable or field.ranks is not None for field in fields)

    def _latest(self, of: Any) -> datetime | None:
        latest = None
        for name in self.times:
            latest = times.later(latest, getattr(of, name))
        return latest

    def ranks(self, of: Any) -> tuple[Any, ...]:
        values = self._values(of)
        if not self._ranked:
            return values
        return tuple(field.rank(value) for field, value in zip(self.fields, values, strict=True))

    def exceeds(self, one: Any, other: Any) -> bool:
        """Whether ``one`` says something greater than ``other``."""
        at, than = self.at(one), self.at(other)
        if at == than:
            return self._values(one) != self._values(other) and self.ranks(one) > self.ranks(other)
        return than is None or (at is not None and at > than)

    def taken(self, of: Any) -> dict[str, Any]:
        """Return the fields of the group as a state has them, with the time where there is only one."""
        taken = dict(zip(self.names, self._values(of), strict=True))
        return taken if len(self.times) > 1 else {self.times[0]: getattr(of, self.times[0]), **taken}


class Carrier:
    """What an event class says of a state: which of its fields corresponds to which field of the state.

    ``key``: the fields that name what the event is about. ``names``: what the event calls fields of the state
    that it names differently. ``time``: the field that says when it happened.
    """

    def __init__(
        self,
        event: type[Event],
        state: type[msgspec.Struct],
        key: tuple[str, ...],
        names: Mapping[str, str],
        time: str,
    ) -> None:
        inside = {public: name for name, public in names.items()}
        beside = {"user_id", "claimed_at", IS_UNDO, *key}
        if DEVICE not in state.__struct_fields__:
            # which device sent it is a fact of the event, where the state does not hold it
            beside.add(DEVICE)
        carried = [name for name in event.__struct_fields__ if name not in beside]
        self.event = event
        self.names = {inside.get(name, name): name for name in carried}
        self.is_skewable = "claimed_at" in event.__struct_fields__
        self.happened_at: Callable[[Any], datetime] = attrgetter(names.get(time, time))
        self.feed, self.item = reader(event, FEED), reader(event, ITEM)
        # never called for an event that gives only a part of a state
        self.state_of = copier(state, self.names)
        self.states_of = copier_of_all(state, self.names)
        given = ["user_id", *key, *(["claimed_at"] if self.is_skewable else [])]
        is_beside = DEVICE in beside and DEVICE not in key and DEVICE in event.__struct_fields__
        given += [f"{DEVICE}=None"] if is_beside else []
        self._make = copier(event, {public: name for name, public in self.names.items()}, given)
        self._make_all = copier_of_all(
            event, {public: name for name, public in self.names.items()}, given[:1]
        )

    def partial(self, event: Any) -> dict[str, Any]:
        """Return the fields of the state that an event gives."""
        return {name: getattr(event, public) for name, public in self.names.items()}

    def make(
        self, user_id: UUID, key: Mapping[str, Any], state: Any, skewed: datetime | None, **more: Any
    ) -> Event:
        """Return the event of a state. ``more``: the device, where it is a fact of the event alone."""
        if self.is_skewable:
            return self._make(state, user_id=user_id, claimed_at=skewed, **key, **more)  # type: ignore[no-any-return]
        return self._make(state, user_id=user_id, **key, **more)  # type: ignore[no-any-return]

    def make_all(self, states: Iterable[Any], user_id: UUID) -> list[Any]:
        """Return the events of states with the times that they have, where the key is part of the state."""
        return self._make_all(states, user_id)


def copier(
    cls: type[msgspec.Struct], fields: Mapping[str, str], given: Iterable[str] = ()
) -> Callable[..., Any]:
    """Return a function that makes a ``cls`` from another struct and from the keyword arguments ``given``,
    each with its default if it has one; ``fields`` maps fields of ``cls`` to those of the other struct.

    Its source is generated once for each class, as dataclasses does it: a dictionary of arguments for each
    event took four times as long, and a fifth of a second for the 50,000 entries of a sync.
    """
    names = [name.partition("=")[0] for name in given]
    arguments = ", ".join([*_copied(fields), *(f"{name}={name}" for name in names)])
    return eval(f"lambda {', '.join(('of', *given))}: cls({arguments})", {"cls": cls})  # type: ignore[no-any-return]  # noqa: S307


def copier_of_all(
    cls: type[msgspec.Struct], fields: Mapping[str, str], given: Sequence[str] = ()
) -> Callable[..., list[Any]]:
    """Return a function that makes a list of ``cls`` from other structs, and from the arguments ``given``: a
    third of the time of a call for each."""
    arguments = ", ".join([*_copied(fields), *(f"{name}={name}" for name in given)])
    source = f"lambda {', '.join(('states', *given))}: [cls({arguments}) for of in states]"
    return eval(source, {"cls": cls})  # type: ignore[no-any-return]  # noqa: S307


def _copied(fields: Mapping[str, str]) -> list[str]:
    return [f"{to}=of.{name}" for to, name in fields.items()]


def reader(of: type[msgspec.Struct], name: str) -> Callable[[Any], Any]:
    """Return a function that reads a field, or returns None where the class has no such field."""
    return attrgetter(name) if name in of.__struct_fields__ else lambda _: None


def values_of(names: Iterable[str]) -> Values:
    """Return a function that reads several fields as a tuple, even where there is only one field or none."""
    names = tuple(names)
    if not names:
        return lambda _: ()
    if len(names) == 1:
        read = attrgetter(names[0])
        return lambda of: (read(of),)
    return attrgetter(*names)
