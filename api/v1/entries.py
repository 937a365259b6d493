"""The entries of syncs and exports, made from the registry of topics: what devices know of each topic.

An entry that is sent is the domain's own, with every field checked according to its name.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import reduce
from operator import or_
from types import NoneType
from typing import Any, Literal, get_args
from uuid import UUID

import msgspec
from msgspec import Struct, defstruct

from api.episodes import show_episodes
from api.errors import FieldError
from api.fields import (
    ActionKind,
    AppName,
    Caption,
    Color,
    Description,
    DeviceId,
    DeviceKind,
    EnclosureUrl,
    Feed,
    Guid,
    Item,
    Level,
    Name,
    PlaylistKind,
    Position,
    Seconds,
    SettingsText,
    SourceId,
    Speed,
    Time,
    Title,
)
from eventstore.domain.fields import ITEM
from eventstore.domain.sync import SyncConflict, SyncData, SyncUserData
from eventstore.domain.topic import Topic
from eventstore.domain.topics import TOPICS

# What a field may hold, by its name. Numbers and texts that are not listed here are refused at startup: they
# would have no bounds.
KINDS: dict[str, Any] = {
    "rss_source_feed": Feed,
    "rss_source_item": Item,
    "guid": Guid,
    "enclosure_url": EnclosureUrl,
    "rss_source_id": SourceId,
    "position": Position,
    "speed": Speed,
    "name": Name,
    "description": Description,
    "color": Color,
    "item_title": Title,
    "feed_title": Title,
    "privacy": Level,
    "started": Seconds,
    "total": Seconds,
    "device": DeviceId,
    "caption": Caption,
    "type": DeviceKind,
    "app": AppName,
    "action": ActionKind,
    "settings": SettingsText,
    "kind": PlaylistKind,
}
# types whose values need no further bounds
PLAIN = (bool, UUID)


def _sent(entry: type[Struct], name: str) -> type[Struct]:
    """Return an entry type as a device may send it. An entry without a required time needs at least one of
    its optional times: without any it would say nothing. An item may be given by its GUID and enclosure URL
    instead."""
    fields = msgspec.structs.fields(entry)
    times = {field.name: field.required for field in fields if _bare(field.type) is datetime}
    rules: dict[str, Any] = {} if any(times.values()) else {"at_least_one": tuple(times)}
    required = {field.name: field.required for field in fields}
    if ITEM in required:
        rules |= {"needs_episode": True} if required[ITEM] else {"errors": _errors_of_optional}
    return defstruct(
        name,
        [(field.name, _checked(field), _default(field)) for field in fields],
        bases=(entry,),
        namespace={"__doc__": entry.__doc__, **rules},
        frozen=True,
        kw_only=True,
        gc=entry.__struct_config__.gc,
    )


def _checked(field: msgspec.structs.FieldInfo) -> Any:
    bare = _bare(field.type)
    if getattr(bare, "__origin__", None) is list:
        (member,) = get_args(bare)
        return list[_sent(member, f"Sent{_noun(member)}")]  # type: ignore[misc]
    kind = Time if bare is datetime else KINDS.get(field.name, bare if bare in PLAIN else None)
    if kind is None:
        raise TypeError(f"{field.name}: say in KINDS what it may hold")
    return kind | None if NoneType in get_args(field.type) or field.name == ITEM else kind


def _errors_of_optional(entry: Any) -> Iterator[FieldError]:
    """Yield an error for an episode without a feed."""
    if entry.rss_source_item is not None and entry.rss_source_feed is None:
        yield FieldError("required", "Give the feed of the episode.", "rss_source_feed")


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.name == ITEM:
        return None
    if field.default_factory is not msgspec.NODEFAULT:
        return msgspec.field(default_factory=field.default_factory)
    return field.default if field.default is not msgspec.NODEFAULT else msgspec.field()


def _bare(type_: Any) -> Any:
    """Return a type without ``| None``."""
    members = [member for member in get_args(type_) if member is not NoneType]
    return members[0] if NoneType in get_args(type_) and len(members) == 1 else type_


def _noun(entry: type[Struct]) -> str:
    return entry.__name__.removesuffix("Entry")


def _conflict(topic: Topic) -> type[Struct]:
    entry = topic.register.entry
    return defstruct(
        f"{_noun(entry)}Conflict",
        [
            ("key", str),
            ("client", entry),
            ("server", entry),
            ("winner", Literal["server"]),
            ("rule", str),
        ],
        tag_field="type",
        tag=topic.kind,
        namespace={"__doc__": "An entry for which the server's value was kept, and the rule that decided."},
    )


def lists_of_entries() -> list[tuple[str, Any]]:
    """Return the fields for everything the server knows: the entries of each topic, under the topic's
    plural."""
    return [(topic.plural, list[topic.register.entry]) for topic in TOPICS]  # type: ignore[name-defined]


_SENT = [
    (topic.plural, _sent(topic.register.entry, "Sent" + topic.kind.title().replace("_", "")))
    for topic in TOPICS
]
# Lists of what a device or an export knows of every topic; request bodies add their own fields.
SentData: Any = defstruct(
    "SentData",
    [(plural, list[sent], msgspec.field(default_factory=list)) for plural, sent in _SENT],  # type: ignore[valid-type]
)
_CONFLICTS: dict[str, Callable[..., Struct]] = {topic.kind: _conflict(topic) for topic in TOPICS}
Conflict: Any = reduce(or_, _CONFLICTS.values())


def command_of(sent: Any, user_id: UUID, now: datetime) -> SyncUserData:
    """Return the sync command for a ``SentData``."""
    lists = {topic.plural: getattr(sent, topic.plural) for topic in TOPICS}
    return SyncUserData(user_id=user_id, now=now, **lists)


def show(data: SyncData) -> SyncData:
    """Prepare what the server knows for an answer: give, in place, every episode all three of its names."""
    for topic in TOPICS:
        show_episodes(getattr(data, topic.plural))
    return data


def shown(conflict: SyncConflict) -> Struct:
    """Return a conflict as answers show it."""
    show_episodes([conflict.client])
    show_episodes([conflict.server])
    return _CONFLICTS[conflict.type](
        conflict.key, conflict.client, conflict.server, conflict.winner, conflict.rule
    )
