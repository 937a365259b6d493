"""Request bodies, from bytes to checked and normalised structs. They are JSON; unknown fields are ignored,
and of two fields with the same name the last counts."""

import re
from collections.abc import Mapping
from typing import IO, Any, TypeVar, cast

import msgspec
from django.conf import settings
from django.http import HttpRequest
from msgspec import Struct
from rest_framework.exceptions import ParseError, UnsupportedMediaType
from rest_framework.parsers import BaseParser

from api.errors import ApiError, Invalid
from api.fields import leap_second
from api.operations import KIB, MIB, Operation, RawBody, operation_of
from api.validation import (
    check_across,
    count_entries,
    field_error,
    fields_of,
    leave_out,
    lists_of,
    normalise,
    validate,
)

JSON = re.compile(r'application/json(?:\s*;\s*charset\s*=\s*"?utf-8"?)?\s*', re.IGNORECASE)
# An escaped U+0000, which PostgreSQL cannot store; the same letters after an escaped backslash do not match.
NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
# A refused body is decoded into plain Python objects, at up to 100 bytes for each value: a limit of this many
# commas keeps that below 100 MB. 50,000 valid entries have a quarter of it.
MOST_VALUES = 1_000_000

T = TypeVar("T", bound=Struct)


class BodyParser(BaseParser):
    """REST framework's only parser: ``request.data`` is the struct that the view's method takes, or None."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the parsed body. Raises ``Invalid``, ``ParseError``, ``ApiError`` (413),
        ``UnsupportedMediaType``."""
        assert parser_context is not None
        view, request = parser_context["view"], cast(HttpRequest, stream)
        operation = operation_of(view, request.method)
        if operation is None or operation.body is None:
            return None
        if operation.bodiless and _is_empty(request):
            return operation.body()
        if issubclass(operation.body, RawBody):
            return _raw_body(operation.body, request, operation)
        _check_is_json(request)
        return decode(operation.body, read_body(request, operation.largest), operation.most_entries)


def _raw_body(struct: type[RawBody], request: HttpRequest, operation: Operation) -> RawBody:
    content_type = request.META.get("CONTENT_TYPE", "")
    if content_type.partition(";")[0].strip().lower() not in struct.media_types or _is_encoded(request.META):
        raise UnsupportedMediaType(content_type, f"Send {' or '.join(struct.media_types)}, not compressed.")
    return struct(read_body(request, operation.largest), content_type)


def decode(struct: type[T], raw: bytes, most_entries: int | None = None) -> T:
    """Return the struct in ``raw``; raises what ``BodyParser.parse`` raises.

    If the struct has a field ``refused``, that lists the entries that were left out for their addresses.
    """
    _check_text(raw)
    try:
        body = msgspec.json.decode(raw, type=struct)
        _check_count(count_entries(body), most_entries)
        normalise(struct, [body])
    except RecursionError:
        raise ParseError("The body is nested too deeply.") from None
    except ValueError as error:  # from msgspec, or from a normaliser
        if isinstance(error, msgspec.DecodeError) and not isinstance(error, msgspec.ValidationError):
            raise ParseError(f"{error}.") from None
        return _look_again(struct, raw, most_entries, error)
    check_across(body)
    return body


def _look_again(struct: type[T], raw: bytes, most_entries: int | None, error: ValueError) -> T:
    """Return the struct without the entries that can be left out. Raises ``Invalid`` with every error."""
    try:
        data = _known_fields(struct, raw)
    except (msgspec.DecodeError, RecursionError):
        # it cannot be decoded into Python objects (for example, integers of 5,000 digits)
        raise Invalid(field_error(error)) from None
    if isinstance(data, dict):
        lists = (data.get(name) for name, _ in lists_of(struct))
        _check_count(sum(len(entries) for entries in lists if isinstance(entries, list)), most_entries)
    if not hasattr(struct, "refused"):
        return validate(struct, data)
    refused = list(leave_out(struct, data))
    try:
        body = validate(struct, data)
    except Invalid:
        # reports the places as they were sent
        return validate(struct, _known_fields(struct, raw))
    body.refused = refused  # type: ignore[attr-defined]
    return body


def _known_fields(struct: type[Struct], raw: bytes) -> object:
    """Return the body's fields that the struct has; others are ignored."""
    try:
        members = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        return msgspec.json.decode(raw)  # not an object: refused later for that reason
    known = {field.name: bytes(members[field.name]) for field in fields_of(struct) if field.name in members}
    if sum(value.count(b",") for value in known.values()) > MOST_VALUES:
        raise ApiError(413, "too_many_entries", f"The body holds more than {MOST_VALUES:,} values.")
    return {name: msgspec.json.decode(leap_second(value.decode())) for name, value in known.items()}


def _check_count(entries: int, most: int | None) -> None:
    if most is not None and entries > most:
        detail = f"At most {most:,} entries go into one request; this one has {entries:,}."
        raise ApiError(413, "too_many_entries", detail)


def _check_text(raw: bytes) -> None:
    """Check what msgspec does not check in the fields that it skips."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise ParseError("The body is not UTF-8.") from None
    if "\\u0000" in text and NUL.search(raw):
        raise ParseError("The body holds the character U+0000.")


def _is_empty(request: HttpRequest) -> bool:
    return (
        request.META.get("CONTENT_LENGTH") in (None, "", "0") and "HTTP_TRANSFER_ENCODING" not in request.META
    )


def is_json(meta: Mapping[str, Any]) -> bool:
    """Whether a body is declared as plain JSON. ``meta``: the request's headers, as WSGI has them."""
    return bool(JSON.fullmatch(meta.get("CONTENT_TYPE", ""))) and not _is_encoded(meta)


def _check_is_json(request: HttpRequest) -> None:
    if not is_json(request.META):
        media_type = request.META.get("CONTENT_TYPE", "")
        raise UnsupportedMediaType(media_type, "Send application/json, in UTF-8 and not compressed.")


def _is_encoded(meta: Mapping[str, Any]) -> bool:
    return bool(meta.get("HTTP_CONTENT_ENCODING", "identity") != "identity")


def read_body(request: HttpRequest, largest: int) -> bytes:
    """Return the raw body; a body that declares itself too large is refused before it is read. Raises
    ``ParseError`` and ``ApiError`` 413."""
    length = request.META.get("CONTENT_LENGTH") or ""
    if not length and "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower():
        # Django reads nothing if no Content-Length is given
        raw = request.META["wsgi.input"].read(largest + 1)
        check_size(len(raw), largest)
        return bytes(raw)
    if length and not re.fullmatch("[0-9]{1,20}", length):
        raise ParseError("Content-Length is not a number.")
    size = int(length or 0)
    check_size(size, largest)
    # Django's own limit is meant for ordinary requests
    return request.body if size <= settings.DATA_UPLOAD_MAX_MEMORY_SIZE else request.read()


def check_size(size: int, largest: int) -> None:
    """Raise ``ApiError`` 413 if a body of ``size`` bytes is too large."""
    if size > largest:
        limit = f"{largest // MIB} MiB" if largest >= MIB else f"{largest // KIB} KiB"
        raise ApiError(413, "too_large", f"The body may have {limit} at most.")
