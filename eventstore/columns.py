"""Many events, or many snapshot entries, as parameters of a statement: columns of text with one value in each
line, which PostgreSQL takes apart (``sql/append_events.sql``)."""

import os
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from eventstore import codec
from eventstore.domain.messages import Event, Origin

# hexadecimal digits of a UUID
LENGTH_OF_ID = 32
# the bits of a random UUID that are not random (RFC 9562)
_AS_VERSION_4 = bytes(byte & 0x0F | 0x40 for byte in range(256))
_AS_VARIANT = bytes(byte & 0x3F | 0x80 for byte in range(256))


class KeptEntry(msgspec.Struct, frozen=True, gc=False):
    """The newest snapshot entry of a topic and key. ``digest``: the digest of the key. ``name``: the key
    itself, or empty where the key is its own digest. ``state``: JSON, or None where the entry was removed.
    ``is_new``: whether there was no such entry before.

    It is not a tuple: the garbage collector tracks tuples, which took a tenth of a second for 50,000 entries.
    """

    topic: str
    digest: str
    name: str
    state: str | None
    is_new: bool = False


class Changes:
    """Snapshot entries to store, in three groups with a column each of topics, keys, names and states:
    ``added``, which are known to be new, ``kept``, which may exist, and ``gone``, which have no states."""

    def __init__(self) -> None:
        self.groups: dict[str, tuple[list[str], list[str], list[str], list[str]]] = {
            group: ([], [], [], []) for group in ("added", "kept", "gone")
        }

    def add(
        self, group: str, topic: str, keys: Sequence[str], names: Sequence[str], states: Sequence[str] = ()
    ) -> None:
        """Add entries of one topic. ``states``: their JSON; one text may hold those of several, in lines."""
        columns = self.groups[group]
        for column, values in zip(columns, ([topic] * len(keys), keys, names, states), strict=True):
            column.extend(values)

    def names(self) -> list[str]:
        """Return the groups that are not empty."""
        return [group for group, (_, keys, *_) in self.groups.items() if keys]

    def parameters(self) -> dict[str, str]:
        """Return the parameters of the groups that are not empty. Names, which may contain any text, are left
        out where none has one."""
        return {
            f"{group}_{name}": text
            for group, (topics, keys, names, states) in self.groups.items()
            if keys
            for name, text in (
                ("topics", " ".join(topics)),
                ("keys", " ".join(keys)),
                ("names", msgspec.json.encode(names if any(names) else []).decode()),
                ("states", "\n".join(states)),
            )
        }


def changes_of(entries: Iterable[KeptEntry]) -> Changes:
    # sorted in the order of the index: thousands then take two thirds of the time
    changes = Changes()
    for one in sorted(entries, key=attrgetter("topic", "digest")):
        group = "gone" if one.state is None else "added" if one.is_new else "kept"
        changes.add(group, one.topic, [one.digest], [one.name], [] if one.state is None else [one.state])
    return changes


def columns_of(
    stream: int, expected: int, events: Sequence[Event], origin: Origin, origins: Sequence[Origin] = ()
) -> dict[str, Any]:
    """Return the parameters of ``append_events.sql``, and ``version``: that of the last event."""
    kinds = list(map(type, events))
    of_kind = dict(zip(kinds, events, strict=True))
    stored = {kind: codec.name_of(one) for kind, one in of_kind.items()}
    return {
        "stream": stream,
        "expected": expected,
        "version": expected + len(events),
        "metadata": msgspec.json.encode(origin).decode(),
        "ids": event_ids(len(events)),
        "types": " ".join([stored[kind][0] for kind in kinds]),
        "schemas": " ".join([str(stored[kind][1]) for kind in kinds]),
        "data": codec.encode_lines(events),
        "origins": codec.encode_lines(origins),
    }


def event_ids(count: int) -> str:
    """Return random ids (version 4) in hexadecimal, with a space between them. PostgreSQL would make a system
    call for each, which was more than half of the cost of an append of thousands of events."""
    drawn = bytearray(os.urandom(16 * count))
    drawn[6::16] = drawn[6::16].translate(_AS_VERSION_4)
    drawn[8::16] = drawn[8::16].translate(_AS_VARIANT)
    return drawn.hex(" ", 16)
