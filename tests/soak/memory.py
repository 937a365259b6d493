"""What a device remembers: an entry per key, in the shape of a sync, and what its screen shows of them."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

Json: TypeAlias = dict[str, Any]


class Shown(NamedTuple):
    """Something on the screen: of which topic, which thing, and what of it can be seen."""

    topic: str
    key: str
    what: object


class Topic(NamedTuple):
    """``shown`` is None where there is nothing to see: unfollowed, unsaved, deleted, taken back."""

    key: Callable[[Json], str]
    shown: Callable[[Json], object]


def is_on(on: str | None, off: str | None) -> bool:
    """The later of two times decides; on equal times it is on."""
    if on is None:
        return False
    return off is None or datetime.fromisoformat(on) >= datetime.fromisoformat(off)


def members(entries: list[Json], name: str) -> list[str]:
    """What is in a list, in its order."""
    inside = [entry for entry in entries if is_on(entry.get("added_at"), entry.get("removed_at"))]
    return [entry[name] for entry in sorted(inside, key=_place)]


def _place(entry: Json) -> tuple[bool, int]:
    position = entry.get("position")
    return position is None, position or 0


def _play(entry: Json) -> object:
    return entry["position"], entry["played"], entry["rss_source_feed"]


def _playlist(entry: Json) -> object:
    if not is_on(entry["updated_at"], entry.get("deleted_at")):
        return None
    register = entry["name"], entry.get("description") or None, entry["is_public"]
    return *register, members(entry["items"], "rss_source_item")


def _collection(entry: Json) -> object:
    if not is_on(entry["updated_at"], entry.get("deleted_at")):
        return None
    register = entry["name"], entry.get("description") or None, entry["is_public"], entry.get("color") or None
    return *register, entry.get("is_default", False), members(entry["feeds"], "rss_source_feed")


def scope(feed: str | None, item: str | None) -> str:
    """What a privacy setting stands for: the item alone where there is one."""
    return f"item {item}" if item else f"feed {feed}" if feed else "account"


TOPICS: Mapping[str, Topic] = {
    "subscriptions": Topic(
        lambda entry: str(entry["rss_source_feed"]),
        lambda entry: is_on(entry["subscribed_at"], entry["unsubscribed_at"]) or None,
    ),
    "play_statuses": Topic(lambda entry: str(entry["rss_source_item"]), _play),
    "saved_episodes": Topic(
        lambda entry: str(entry["rss_source_item"]),
        lambda entry: is_on(entry["saved_at"], entry["unsaved_at"]) or None,
    ),
    "playlists": Topic(lambda entry: str(entry["id"]), _playlist),
    "collections": Topic(lambda entry: str(entry["id"]), _collection),
    "privacy_settings": Topic(
        lambda entry: scope(entry.get("rss_source_feed"), entry.get("rss_source_item")),
        lambda entry: entry["privacy"],
    ),
}


def shown(topic: str, entries: Iterable[Json]) -> Iterable[Shown]:
    """What a screen shows of these, whatever their times."""
    of = TOPICS[topic]
    found = (Shown(topic, of.key(entry), of.shown(entry)) for entry in entries)
    return (one for one in found if one.what is not None)


class Memory:
    """A device's own last action stands in it, until the server says otherwise."""

    def __init__(self) -> None:
        self._entries: dict[str, dict[str, Json]] = {topic: {} for topic in TOPICS}

    def of(self, topic: str) -> dict[str, Json]:
        return self._entries[topic]

    def remember(self, topic: str, *entries: Json) -> None:
        for entry in entries:
            self._entries[topic][TOPICS[topic].key(entry)] = entry

    def everything(self) -> Json:
        return {topic: list(entries.values()) for topic, entries in self._entries.items()}

    def view(self) -> list[Shown]:
        found = (one for topic, entries in self._entries.items() for one in shown(topic, entries.values()))
        return sorted(found, key=lambda one: one[:2])
