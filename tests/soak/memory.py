"""What a device remembers: one entry per key, in the shape of a sync, and what its screen shows of them."""

from collections.abc import Iterable
from datetime import datetime
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeAlias

from eventstore.domain.fields import DEVICE, FEED, ITEM
from eventstore.domain.ordered import OrderedSet
from eventstore.domain.registers import LastWriter, OnOff
from eventstore.domain.topic import Topic
from eventstore.domain.topics import TOPICS

Json: TypeAlias = dict[str, Any]
ENTRIES: dict[str, Topic] = {topic.plural: topic for topic in TOPICS}


class Shown(NamedTuple):
    """Something on the screen: its topic, its key, and what can be seen of it."""

    topic: str
    key: str
    what: object


def is_on(on: str | None, off: str | None) -> bool:
    """Whether something is on: the later of the two times decides; if they are equal, it is on."""
    if on is None:
        return False
    return off is None or datetime.fromisoformat(on) >= datetime.fromisoformat(off)


def is_there(entry: Json, register: OnOff[Any]) -> bool:
    return is_on(entry.get(register.on), entry.get(register.off))


def members(entries: list[Json], name: str) -> list[str]:
    """Return the members of a list, in the list's order."""
    inside = [entry for entry in entries if is_on(entry.get("added_at"), entry.get("removed_at"))]
    return [entry[name] for entry in sorted(inside, key=_place)]


def _place(entry: Json) -> tuple[bool, int]:
    position = entry.get("position")
    return position is None, position or 0


def scope(feed: str | None, item: str | None) -> str:
    """Return the key of what a privacy setting applies to."""
    return ENTRIES["privacy_settings"].register.key.read(_named(feed, item))


def _named(feed: str | None, item: str | None) -> SimpleNamespace:
    return SimpleNamespace(rss_source_feed=feed, rss_source_item=item)


def key_of(topic: Topic, entry: Json) -> str:
    """Return an entry's key: a list's id, or else the feed and the item that the entry names."""
    if isinstance(topic.register, OrderedSet):
        return str(entry["id"])
    named = {name: entry.get(name) for name in (FEED, ITEM, DEVICE)}
    return topic.register.key.read(SimpleNamespace(**named))


def seen(topic: Topic, entry: Json) -> object:
    """Return what can be seen of an entry; None if nothing can: unfollowed, unsaved, deleted, taken back."""
    match register := topic.register:
        case OrderedSet():
            if not is_there(entry, register):
                return None
            called = [entry.get(name) or None for name in register.called.names]
            of_items = ITEM in register.members.entry.__struct_fields__
            return *called, members(entry[register.plural], ITEM if of_items else FEED)
        case OnOff():
            return is_there(entry, register) or None
        case LastWriter():
            values = tuple(entry.get(register.entry_fields[name]) for name in register.shown_fields)
            return None if register.cleared and values == (None,) else values
    raise TypeError(type(register).__name__)


def shown(topic: str, entries: Iterable[Json]) -> Iterable[Shown]:
    """Return what a screen shows of these entries, whatever their times."""
    of = ENTRIES[topic]
    found = (Shown(topic, key_of(of, entry), seen(of, entry)) for entry in entries)
    return (one for one in found if one.what is not None)


class Memory:
    """A device's memory. The device's own last action stays in it until the server says otherwise."""

    def __init__(self) -> None:
        self._entries: dict[str, dict[str, Json]] = {plural: {} for plural in ENTRIES}

    def of(self, topic: str) -> dict[str, Json]:
        return self._entries[topic]

    def remember(self, topic: str, *entries: Json) -> None:
        for entry in entries:
            self._entries[topic][key_of(ENTRIES[topic], entry)] = entry

    def everything(self) -> Json:
        return {topic: list(entries.values()) for topic, entries in self._entries.items()}

    def view(self) -> list[Shown]:
        found = (one for topic, entries in self._entries.items() for one in shown(topic, entries.values()))
        return sorted(found, key=lambda one: one[:2])
