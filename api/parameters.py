"""What requests carry besides their body: the query string, Balados-Position and Idempotency-Key."""

import hashlib
import re
from typing import TypeVar
from uuid import UUID

import msgspec
from django.http import QueryDict
from msgspec import Struct
from rest_framework.request import Request

from api.errors import FieldError, Invalid
from api.validation import fields_of, validate
from eventstore.dispatcher import CommandId

POSITION = "Balados-Position"
IDEMPOTENCY_KEY = "Idempotency-Key"
LAST_POSITION = 2**63 - 1
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)

T = TypeVar("T", bound=Struct)


def read_query(struct: type[T], parameters: QueryDict) -> T:
    """Read the query string into a ``struct``; unknown parameters are ignored. Raises ``Invalid``."""
    data: dict[str, object] = {}
    for field in fields_of(struct):
        text = parameters.get(field.name)
        if text is not None:
            data[field.name] = field.parse(text) if field.parse else text
    return validate(struct, data)


def wanted_position(request: Request) -> int:
    """Return the position that a read must reflect; 0 if none was sent. Raises ``Invalid``."""
    return read_position(request._request.META.get("HTTP_BALADOS_POSITION"))


def read_position(text: str | None) -> int:
    """Read the header Balados-Position; 0 for None. Raises ``Invalid``."""
    if text is None:
        return 0
    if not re.fullmatch("[0-9]{1,19}", text) or int(text) > LAST_POSITION:
        raise Invalid(FieldError("invalid", "Expected a position that this server gave.", POSITION))
    return int(text)


def command_id(request: Request) -> CommandId | None:
    """Return the request's idempotency key, with a digest of what it identifies: method, path and normalised
    body.

    Raises ``Invalid`` if the key is not a UUID. Returns None without a key.
    """
    text = request._request.META.get("HTTP_IDEMPOTENCY_KEY")
    if text is None:
        return None
    if not _UUID.fullmatch(text):
        raise Invalid(FieldError("invalid", "Expected a UUID.", IDEMPOTENCY_KEY))
    digest = hashlib.sha256(f"{request.method} {request._request.get_full_path()}\n".encode())
    if request.data is not None:
        digest.update(msgspec.json.encode(request.data))
    return CommandId(UUID(text), digest.digest())
