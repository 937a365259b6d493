"""Interpret the head of a server's answer: status, codings, length, time to wait. Pure."""

import zlib
from datetime import UTC
from email.utils import parsedate_to_datetime
from io import BytesIO

from feeds.outcomes import Limits

_PERMITTED_CODINGS = ("gzip", "x-gzip", "identity")
_REDIRECTS = (301, 302, 303, 307, 308)
_CODES = {
    401: "needs_login",
    403: "forbidden",
    404: "not_found",
    407: "needs_login",
    410: "gone",
    429: "paused",
    451: "forbidden",
    503: "paused",
}
_GZIP = b"\x1f\x8b"
_PIECE = 256 * 1024  # bytes unpacked at once


class Head:
    """Status and headers of an answer, added line by line; of several answers (103, 200) the last counts."""

    def __init__(self) -> None:
        self.status = 0
        self.size = 0
        self.complete = False
        self._values: dict[str, list[str]] = {}

    def add(self, line: bytes) -> None:
        """Add one line with its line end. Lines after the body (trailers) count towards ``size`` only."""
        self.size += len(line)
        if self.complete:
            return
        text = line.decode("latin-1")
        if text.startswith("HTTP/"):
            self.status, self._values = _status_of(text), {}
        elif text.isspace():
            self.complete = not 100 <= self.status < 200
        else:
            name, _, value = text.partition(":")
            self._values.setdefault(name.strip().lower(), []).append(value.strip())

    def values(self, name: str) -> list[str]:
        return self._values.get(name, [])

    def value(self, name: str) -> str:
        """Return the last value of that header, or ""."""
        return self._values.get(name, [""])[-1]

    def plain(self) -> dict[str, str]:
        found = {name: values[-1] for name, values in self._values.items()}
        if "link" in found:
            found["link"] = ", ".join(self._values["link"])
        return found

    @property
    def location(self) -> str | None:
        """Return the target of a redirect; None where it names none, or several different ones."""
        found = set(self.values("location"))
        if self.status not in _REDIRECTS or len(found) != 1:
            return None
        raw = found.pop()
        try:
            return raw.encode("latin-1").decode() or None
        except UnicodeDecodeError:
            return raw

    @property
    def is_gzip(self) -> bool:
        return self._codings() in (["gzip"], ["x-gzip"])

    def fault(self, max_body: int) -> tuple[str, str] | None:
        """Return why the body of a 200 is rejected, as an outcome's code and detail; None if acceptable."""
        codings = self._codings()
        if len(codings) > 1 or any(coding not in _PERMITTED_CODINGS for coding in codings):
            return "bad_answer", "a content coding that was not asked for"
        if any(coding not in ("chunked", "identity") for coding in _tokens(self.values("transfer-encoding"))):
            return "bad_answer", "a transfer coding that was not asked for"
        lengths = set(_tokens(self.values("content-length")))
        if len(lengths) > 1 or not all(length.isascii() and length.isdigit() for length in lengths):
            return "bad_answer", "no length that can be believed"
        # check the number of digits first: Python refuses to read numbers of more than 4,300 digits
        if any(len(length) > 18 or int(length) > max_body for length in lengths):
            return "too_large", f"announces more than {max_body} bytes"
        return None

    def announced(self) -> int:
        """Return the announced length of the body in bytes, or 0 where there is none."""
        length = self.value("content-length")
        return int(length) if length.isascii() and length.isdigit() and len(length) <= 18 else 0

    def _codings(self) -> list[str]:
        return _tokens(self.values("content-encoding"))


def code_of(status: int, *, conditional: bool) -> str:
    """Return the outcome's code for a status; ``conditional``: validators were sent."""
    if status == 200:
        return "ok"
    if status == 304:
        return "not_modified" if conditional else "bad_answer"
    if status in _CODES:
        return _CODES[status]
    return "http_error" if 400 <= status < 600 else "bad_answer"


def retry_after(value: str, now: float) -> int | None:
    """Parse a Retry-After header, a number or a date, into seconds to wait; ``now`` in seconds since 1970.
    None where it is neither."""
    if not value:
        return None
    if value.isascii() and value.isdigit():
        return int(value[:12])
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    # a date with the zone "-0000" is parsed without a time zone
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0, round(at.timestamp() - now))


def decoded_at_most(wire: int, max_body: int, limits: Limits) -> int:
    """Return the largest size in bytes to which ``wire`` bytes of gzip may be decompressed."""
    return min(max_body, max(limits.ratio_from, wire * limits.ratio))


def gunzip(wire: bytes, most: int) -> bytes | None:
    """Decompress ``wire``; None where the result would have more than ``most`` bytes.

    Raises ``ValueError`` where it is not gzip, or is cut off.
    """
    body = BytesIO()
    while wire:
        member = zlib.decompressobj(wbits=31)
        while not member.eof:
            try:
                piece = member.decompress(wire, _PIECE)
            except zlib.error:
                raise ValueError("not the gzip that it claims to be") from None
            if not piece and not member.unconsumed_tail and not member.eof:
                raise ValueError("gzip that ends too early")
            body.write(piece)
            if body.tell() > most:
                return None
            wire = member.unconsumed_tail
        # several gzip members may follow each other; anything else after the last one is ignored
        wire = member.unused_data if member.unused_data.startswith(_GZIP) else b""
    return body.getvalue()


def _status_of(line: str) -> int:
    words = line.split()
    code = words[1] if len(words) > 1 else ""
    return int(code) if len(code) == 3 and code.isascii() and code.isdigit() else 0


def _tokens(values: list[str]) -> list[str]:
    """Return the words of comma-separated values, in lower case."""
    return [token for value in values for word in value.split(",") if (token := word.strip().lower())]
