"""The messages of a connection: one JSON object each, with a ``type``."""

import re
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
Fault = dict[str, str | None]
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


class Malformed(Exception):
    """A message that cannot be processed; ``id`` is set if the message has a valid one."""

    def __init__(self, code: str, detail: str, attr: str | None = None, id: str | None = None) -> None:
        super().__init__(detail)
        self.fault: Fault = {"code": code, "detail": detail, "attr": attr}
        self.id = id


class Message(Struct, frozen=True):
    """A message from a client. ``fields``: everything in it except ``type`` and ``id``."""

    type: str
    id: str | None
    fields: dict[str, Any]


class Welcome(Struct, frozen=True, tag_field="type", tag="ready"):
    """The answer to ``auth``. ``cursor``: what is pushed comes after it; null if nothing is pushed.
    ``expires_at``: when the token expires, and the connection with it, unless another token is sent
    before."""

    user_id: str
    scopes: list[str]
    device_id: str | None
    expires_at: str | None
    cursor: str | None


class Ack(Struct, frozen=True, tag_field="type", tag="ack"):
    """The result of a command: the status and the body that the same request over HTTP would have."""

    id: str
    status: int
    position: int | None
    answer: Raw


class Error(Struct, frozen=True, omit_defaults=True, tag_field="type", tag="error"):
    """An error. ``errors``: in the format of the API's responses. ``retry_after``: seconds."""

    id: str | None
    status: int
    errors: list[Fault] | Raw
    retry_after: int | None = None


class Changes(Struct, frozen=True, tag_field="type", tag="changes"):
    """What others have changed: entries in the format of a sync, each topic under its plural name."""

    cursor: str
    data: dict[str, list[Raw]]


class Resync(Struct, frozen=True, tag_field="type", tag="resync"):
    """Changes up to ``cursor`` cannot be sent singly: the client has to sync without a cursor to get
    everything."""

    cursor: str


class Pong(Struct, frozen=True, tag_field="type", tag="pong"):
    pass


class Restart(Struct, frozen=True, tag_field="type", tag="restart"):
    """The process is ending: connect again after ``retry_after`` seconds."""

    retry_after: float


def read(text: str) -> Message:
    """Parse a message. Raises ``Malformed``."""
    try:
        found = _decode(text)
        # text that cannot be encoded again was not valid Unicode
        _encode(found)
    except (ValueError, RecursionError):
        raise Malformed("parse_error", "Expected a JSON object.") from None
    id_ = found.pop("id", None)
    if id_ is not None and not (isinstance(id_, str) and _UUID.fullmatch(id_)):
        raise Malformed("invalid", "Expected a UUID.", "id")
    kind = found.pop("type", None)
    if not isinstance(kind, str):
        raise Malformed("required", "This field is required.", "type", id_)
    return Message(kind, id_, found)


def write(message: Struct) -> bytes:
    return _encode(message)


def error(status: int, code: str, detail: str, id: str | None = None, attr: str | None = None) -> Error:
    return Error(id, status, [{"code": code, "detail": detail, "attr": attr}])
