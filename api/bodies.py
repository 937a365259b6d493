"""Request bodies: bytes to checked, normalised structs, with every fault named.

JSON alone, decoded by msgspec in one go (10,000 play statuses in 25 ms); only when that fails they are gone
over field by field. Unknown fields are ignored; of two fields of one name the last counts.
"""

import re
from typing import Generic, TypeVar

import msgspec
from django.conf import settings
from django.http import HttpRequest
from msgspec import Struct
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.request import Request

from api.errors import Invalid, Malformed, TooLarge
from api.faults import (
    Fault,
    across,
    capped,
    count,
    fault_of,
    faults_of,
    fields_of,
    lists_of,
    normalise,
)

KIB, MIB = 1024, 1024 * 1024
# One play or subscription is a few hundred bytes; the longest feed and item together are 8 KB.
SMALL = 256 * KIB
JSON = re.compile(r'application/json(?:\s*;\s*charset\s*=\s*"?utf-8"?)?\s*', re.IGNORECASE)
# An escaped U+0000, which PostgreSQL cannot store, but not its letters after an escaped backslash.
NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
# A refused body is decoded into Python's own objects, at up to 100 bytes for each value: this many commas
# keep that below 100 MB. 50,000 good entries have a quarter of it.
MOST_VALUES = 1_000_000

T = TypeVar("T", bound=Struct)


class Body(Generic[T]):
    """A kind of request body: its struct, and how many bytes and entries it may have."""

    def __init__(self, struct: type[T], largest: int = SMALL, most_entries: int | None = None) -> None:
        self.struct = struct
        self.largest = largest
        self.most_entries = most_entries
        self._decode = msgspec.json.Decoder(struct).decode

    def read(self, request: Request) -> T:
        """Raises ``Invalid``, ``Malformed``, ``TooLarge``, ``UnsupportedMediaType``."""
        return self.decode(_bytes(request._request, self.largest))

    def read_if_any(self, request: Request) -> T:
        """As ``read``; without a body the struct of nothing but defaults."""
        meta = request._request.META
        empty = meta.get("CONTENT_LENGTH") in (None, "", "0") and "HTTP_TRANSFER_ENCODING" not in meta
        return self.struct() if empty else self.read(request)

    def decode(self, raw: bytes) -> T:
        """The body in ``raw``; raises as ``read`` does."""
        _check_text(raw)
        try:
            body = self._decode(raw)
            self._count(count(body))
            normalise(body)
        except RecursionError:
            raise Malformed("The body is nested too deeply.") from None
        except msgspec.ValidationError as error:
            raise Invalid(self._faults(raw) or [fault_of(error)]) from None
        except msgspec.DecodeError as error:
            raise Malformed(f"{error}.") from None
        except ValueError as error:  # of a normaliser
            raise Invalid(self._faults(raw) or [Fault("invalid", f"{error}.", None)]) from None
        if faults := capped(across(body)):
            raise Invalid(faults)
        return body

    def _faults(self, raw: bytes) -> list[Fault]:
        """Every fault; none where the body cannot be taken apart (integers of 5,000 digits)."""
        try:
            data = self._known_fields(raw)
        except (msgspec.DecodeError, RecursionError):
            return []
        if isinstance(data, dict):
            lists = (data.get(name) for name, _ in lists_of(self.struct))
            self._count(sum(len(entries) for entries in lists if isinstance(entries, list)))
        return capped(faults_of(self.struct, data))

    def _known_fields(self, raw: bytes) -> object:
        """The body without what it may hold beside the struct's fields, which nobody looks at."""
        try:
            members = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        except msgspec.ValidationError:
            return msgspec.json.decode(raw)  # no object: refused for that
        known = {field.name: members[field.name] for field in fields_of(self.struct) if field.name in members}
        if sum(bytes(value).count(b",") for value in known.values()) > MOST_VALUES:
            raise TooLarge(f"The body holds more than {MOST_VALUES:,} values.", "too_many_entries")
        return {name: msgspec.json.decode(value) for name, value in known.items()}

    def _count(self, entries: int) -> None:
        if self.most_entries is not None and entries > self.most_entries:
            detail = f"At most {self.most_entries:,} entries go into one request; this one has {entries:,}."
            raise TooLarge(detail, "too_many_entries")


def _check_text(raw: bytes) -> None:
    """What msgspec does not look into where it skips a field."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise Malformed("The body is not UTF-8.") from None
    if "\\u0000" in text and NUL.search(raw):
        raise Malformed("The body holds the character U+0000.")


def _bytes(request: HttpRequest, largest: int) -> bytes:
    """The raw body, refused before it is read where it says that it is too large."""
    media_type = request.META.get("CONTENT_TYPE", "")
    if not JSON.fullmatch(media_type) or request.META.get("HTTP_CONTENT_ENCODING", "identity") != "identity":
        raise UnsupportedMediaType(media_type, "Send application/json, in UTF-8 and not compressed.")
    length = request.META.get("CONTENT_LENGTH") or ""
    if not length and "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower():
        # Django reads nothing where no length is given
        raw = request.META["wsgi.input"].read(largest + 1)
        _check_size(len(raw), largest)
        return bytes(raw)
    if length and not re.fullmatch("[0-9]{1,20}", length):
        raise Malformed("Content-Length is not a number.")
    size = int(length or 0)
    _check_size(size, largest)
    # Django's own limit is that of ordinary requests
    return request.body if size <= settings.DATA_UPLOAD_MAX_MEMORY_SIZE else request.read()


def _check_size(size: int, largest: int) -> None:
    if size > largest:
        limit = f"{largest // MIB} MiB" if largest >= MIB else f"{largest // KIB} KiB"
        raise TooLarge(f"The body may have {limit} at most.")
