"""Converts events to and from their stored form: stored names, schema versions, upcasters.

Stored names never change (a test pins them). An event of an old schema is upcast when it is read, never
rewritten.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from eventstore.domain.checkpoint import OTHER_EVENTS
from eventstore.domain.messages import Event
from eventstore.domain.topics import OF_EVENT

Document = dict[str, Any]
Upcaster = Callable[[Document], Document]


class CodecError(Exception):
    """A stored event that cannot be read."""


class UnknownEvent(CodecError):
    """The event's type or schema version is newer than this program, or never belonged to it."""


class UndecodableEvent(CodecError):
    """The event's data does not have the shape of its type."""


# current schema versions by stored name, for events that are past version 1
VERSIONS: dict[str, int] = {}
# stored name -> (class, current schema version)
EVENTS: dict[str, tuple[type[Event], int]] = {
    event.__name__: (event, VERSIONS.get(event.__name__, 1)) for event in (*OF_EVENT, *OTHER_EVENTS)
}

# (stored name, schema version) -> the function that converts to the next version
UPCASTERS: dict[tuple[str, int], Upcaster] = {}

_NAMES: dict[type[Event], str] = {cls: name for name, (cls, _) in EVENTS.items()}
_ENCODER = msgspec.json.Encoder()
_DECODERS = {cls: msgspec.json.Decoder(cls).decode for cls in _NAMES}


def decode(type_: str, schema: int, data: str | bytes) -> Event:
    """Decode the event in a stored row. Raises ``UnknownEvent`` or ``UndecodableEvent``, neither with stored
    values."""
    known = EVENTS.get(type_)
    if known is None:
        raise UnknownEvent(f"unknown event type {type_}")
    cls, current = known
    try:
        if schema == current:
            return _DECODERS[cls](data)
        return msgspec.convert(_upcast(type_, schema, current, data), cls)
    except (msgspec.DecodeError, RecursionError) as error:
        # msgspec's messages name the path, never the value
        raise UndecodableEvent(f"{type_} v{schema}: {error}") from error
    except CodecError:
        raise
    except Exception as error:
        # an upcaster failed, and its message may contain the value
        raise UndecodableEvent(f"{type_} v{schema}: {type(error).__name__} in an upcaster") from None


def name_of(event: Event) -> tuple[str, int]:
    """Return the stored name and the current schema version of an event."""
    name = _NAMES[type(event)]
    return name, EVENTS[name][1]


def stored_name(type_: type[Event]) -> str:
    """Return the name by which events of a class are stored."""
    return _NAMES[type_]


def encode(event: Event) -> bytes:
    """Encode an event as its stored data."""
    return msgspec.json.encode(event)


def encode_lines(values: Sequence[msgspec.Struct]) -> str:
    """Encode events, or their metadata, as lines of JSON, which contain no line break themselves."""
    return _ENCODER.encode_lines(values).decode().removesuffix("\n")


def _upcast(type_: str, schema: int, current: int, data: str | bytes) -> Document:
    if schema > current:
        raise UnknownEvent(f"{type_} v{schema} is newer than this program (v{current})")
    document: Document = msgspec.json.decode(data)
    for version in range(schema, current):
        upcaster = UPCASTERS.get((type_, version))
        if upcaster is None:
            raise UnknownEvent(f"{type_} v{version} has no upcaster")
        document = upcaster(document)
    return document
