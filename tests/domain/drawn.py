"""Hypothesis strategies for every topic, derived from the types that its events and entries declare."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from types import NoneType
from typing import Any, Literal, get_args, get_origin
from uuid import UUID

import msgspec
from hypothesis import strategies as st

from eventstore.domain.fields import DEVICE, FEED, ITEM
from eventstore.domain.identifiers import episode_key, item_of
from eventstore.domain.messages import Event
from eventstore.domain.ordered import OrderedSet
from eventstore.domain.privacy import PrivacyChanged
from eventstore.domain.register import Register
from eventstore.domain.registers import OnOff
from eventstore.domain.topic import Topic
from eventstore.domain.topics import TOPICS
from tests.domain.scenarios import ALICE, FEEDS, ITEMS, MONDAY, NOON

LISTS = [UUID("111a0000-0000-4000-8000-000000000000"), UUID("222b0000-0000-4000-8000-000000000000")]
# few values of each type, so that keys and times often coincide
VALUES: dict[Any, Sequence[Any]] = {
    str: ["B", "a", "é"],
    int: [0, 1, 2],
    float: [0.5, 1.0, 2.0],
    bool: [False, True],
    UUID: LISTS,
}
# spellings of one item, and its enclosure without the GUID
SPELLINGS = [
    MONDAY,
    item_of("monday", "https://example.org/1.mp3"),
    item_of("monday", "https://example.org/2"),
]
FILE = item_of("", "https://example.org/1.mp3")
EPISODES = [*ITEMS, *SPELLINGS[1:], FILE]
NAMED: dict[str, Sequence[Any]] = {
    "user_id": [ALICE],
    FEED: FEEDS,
    # devices that sync name episodes by GUID here; the item with only an enclosure is for events
    ITEM: EPISODES[:-1],
    "known_item": [FILE],
    DEVICE: ["phone", "desk"],
    "settings": ['{"a":1}', '{"b":"é"}'],
    "guid": [None],
    "enclosure_url": [None],
}
Times = st.SearchStrategy[datetime]
PAST: Times = st.integers(0, 5).map(lambda minutes: NOON - timedelta(minutes=minutes))
AHEAD: Times = st.integers(1, 3).map(lambda days: NOON + timedelta(days=days))


# Strategies are cached: tests ask for them in each example, and making one takes longer than drawing from it.
@cache
def of_type(type_: Any, times: Times) -> st.SearchStrategy[Any]:
    """Values of a field of this type."""
    if NoneType in get_args(type_):
        (other,) = (one for one in get_args(type_) if one is not NoneType)
        return st.none() | of_type(other, times)
    if type_ is datetime:
        return times
    if get_origin(type_) is Literal:
        return st.sampled_from(get_args(type_))
    if get_origin(type_) is tuple:
        return st.lists(st.integers(0, 5), max_size=3, unique=True).map(lambda drawn: tuple(sorted(drawn)))
    if get_origin(type_) is list:
        return st.lists(structs(get_args(type_)[0], times), max_size=3)
    return st.sampled_from(VALUES[type_])


def structs(cls: Any, times: Times, **given: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Structs of a class, with values chosen by the names and the types of its fields."""

    def value(field: Any) -> st.SearchStrategy[Any]:
        if field.name in given:
            return given[field.name]
        nullable = NoneType in get_args(field.type)
        if field.name in NAMED:
            named = st.sampled_from(NAMED[field.name])
            return st.none() | named if nullable else named
        return of_type(field.type, times)

    return st.fixed_dictionaries({field.name: value(field) for field in msgspec.structs.fields(cls)}).map(
        lambda values: cls(**values)
    )


_KEPT: dict[tuple[Any, ...], st.SearchStrategy[Event]] = {}


def events(
    topic: Topic, *, only: Iterable[type[Event]] = (), **given: st.SearchStrategy[Any]
) -> st.SearchStrategy[Event]:
    """Events of a topic, including those that do not change its state."""
    chosen = tuple(only)
    key = (topic.name, *chosen, *given.items())
    if key not in _KEPT:
        _KEPT[key] = _events(topic, chosen, given)
    return _KEPT[key]


def _events(
    topic: Topic, only: Iterable[type[Event]], given: Mapping[str, st.SearchStrategy[Any]]
) -> st.SearchStrategy[Event]:
    given = {"claimed_at": st.none() | AHEAD, "order": orders(topic), **given}
    item = st.sampled_from(EPISODES)
    items: dict[type[Event], st.SearchStrategy[Any]] = {PrivacyChanged: st.none() | item}
    return st.one_of(
        [structs(event, PAST, **{ITEM: items.get(event, item), **given}) for event in only or topic.events]
    )


def orders(topic: Topic) -> st.SearchStrategy[Any]:
    """Orders of a list's members; for other topics None."""
    if not isinstance(topic.register, OrderedSet):
        return st.none()
    return st.lists(st.sampled_from(member_keys(topic.register)), unique=True).map(tuple)


def member_keys(register: OrderedSet[Any, Any]) -> list[str]:
    if register.members.key.of_episode is None:
        return FEEDS
    return [episode_key(feed, item) for feed in FEEDS for item in EPISODES]


def entries(topic: Topic, times: Times = PAST) -> st.SearchStrategy[Any]:
    """Entries of a device, without those that say nothing."""
    return _entries(topic.register, times)


@cache
def _entries(register: Register[Any], times: Times) -> st.SearchStrategy[Any]:
    return structs(register.entry, times).filter(says_something(register))


def says_something(register: Register[Any]) -> Callable[[Any], bool]:
    if not isinstance(register, OnOff):
        return lambda _: True
    return lambda entry: getattr(entry, register.on) is not None or getattr(entry, register.off) is not None


@cache
def states(register: Register[Any], times: Times = PAST) -> st.SearchStrategy[Any]:
    """States of a register as folding produces them: a time comes with the values that belong to it."""
    skewed = st.lists(AHEAD, max_size=3).map(lambda drawn: tuple(sorted(set(drawn))))
    given: dict[str, st.SearchStrategy[Any]] = {"skewed": skewed}
    for name, field in register.fields.items():
        if field.public in NAMED:
            named = st.sampled_from(NAMED[field.public])
            given[name] = st.none() | named if field.nullable else named
        elif field.ranks is not None:
            given[name] = st.sampled_from(field.ranks)
    if "item" in register.fields:
        given["item"] = st.sampled_from(SPELLINGS)
    # all states are about one thing, so values that follow from its key are the same in all of them
    given |= {name: st.just(value) for name, value in FROM_KEY.items() if name in register.fields}
    if isinstance(register, OrderedSet):
        names = member_keys(register)
        given["order"] = st.lists(st.sampled_from(names), unique=True).map(tuple)
        given["members"] = st.dictionaries(
            st.sampled_from(names), states(register.members, times), max_size=1
        )
    drawn = structs(register.state, times, **given)
    return drawn.map(lambda of: as_folded(register, of))


# fields of a state that are determined by its key and have no time
FROM_KEY: dict[str, Any] = {"is_default": False, "kind": "list", "feed": FEEDS[0]}


def as_folded(register: Register[Any], of: Any) -> Any:
    for group in register.groups:
        if group.at(of) is None:
            blank = {name: None for name in group.names if register.fields[name].nullable}
            of = msgspec.structs.replace(of, **blank)
    return of


REGISTERS: dict[str, Register[Any]] = {topic.name: topic.register for topic in TOPICS} | {
    f"{topic.name}' {topic.register.plural}": topic.register.members
    for topic in TOPICS
    if isinstance(topic.register, OrderedSet)
}
