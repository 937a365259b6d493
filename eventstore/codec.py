"""Events to and from what the store holds: stored names, schema versions, upcasters.

Stored names are for ever (a test pins them). An old shape is upcast when it is read, never rewritten; a
field that this version does not know is carried along when an event is written again.
"""

from collections.abc import Callable
from typing import Any, cast

import msgspec

from eventstore.domain.messages import Event
from eventstore.domain.plays import PlayRecorded, PositionUpdated
from eventstore.domain.subscriptions import UserSubscribed, UserUnsubscribed
from eventstore.domain.user import UserEvent

Document = dict[str, Any]
Upcaster = Callable[[Document], Document]


class CodecError(Exception):
    """A stored event that cannot be read."""


class UnknownEvent(CodecError):
    """Its type or schema version is newer than this program, or was never ours."""


class UndecodableEvent(CodecError):
    """Its data does not have the shape of its type."""


# stored name -> (class, current schema version)
EVENTS: dict[str, tuple[type[Event], int]] = {
    "UserSubscribed": (UserSubscribed, 1),
    "UserUnsubscribed": (UserUnsubscribed, 1),
    "PlayRecorded": (PlayRecorded, 1),
    "PositionUpdated": (PositionUpdated, 1),
}

# (stored name, schema version) -> what makes it the next version
UPCASTERS: dict[tuple[str, int], Upcaster] = {}

_NAMES: dict[type[Event], tuple[str, int]] = {cls: (name, schema) for name, (cls, schema) in EVENTS.items()}
_DECODERS = {(name, schema): msgspec.json.Decoder(cls).decode for name, (cls, schema) in EVENTS.items()}


def decode(type_: str, schema: int, data: str | bytes) -> UserEvent:
    """The event in a stored row. Raises ``UnknownEvent`` or ``UndecodableEvent``."""
    decoder = _DECODERS.get((type_, schema))
    try:
        if decoder is not None:
            return cast(UserEvent, decoder(data))
        return _upcast(type_, schema, msgspec.json.decode(data))
    except (msgspec.DecodeError, ValueError, TypeError, KeyError) as error:
        # the message of a decoding error names the place, never the value
        raise UndecodableEvent(f"{type_} v{schema}: {error}") from error


def name_of(event: Event) -> tuple[str, int]:
    """Stored name and current schema version of an event."""
    return _NAMES[type(event)]


def encode(event: Event, original: str | bytes | None = None) -> bytes:
    """The stored data of an event; fields of ``original`` that its class does not know are kept."""
    if original is None:
        return msgspec.json.encode(event)
    known = {field.encode_name for field in msgspec.structs.fields(event)}
    unknown = {key: value for key, value in msgspec.json.decode(original).items() if key not in known}
    return msgspec.json.encode({**unknown, **msgspec.to_builtins(event)})


def _upcast(type_: str, schema: int, document: Document) -> UserEvent:
    if type_ not in EVENTS:
        raise UnknownEvent(f"unknown event type {type_}")
    cls, current = EVENTS[type_]
    for version in range(schema, current):
        upcaster = UPCASTERS.get((type_, version))
        if upcaster is None:
            raise UnknownEvent(f"{type_} v{version} has no upcaster")
        document = upcaster(document)
    if schema > current:
        raise UnknownEvent(f"{type_} v{schema} is newer than this program (v{current})")
    return cast(UserEvent, msgspec.convert(document, cls))
