"""Parse what publishers write: dates, durations, numbers, yes and no, URLs, texts. Pure.

Each function accepts any text, and returns None or "" where it is invalid; none raises an error.
"""

import re
import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_tz
from html import unescape
from mimetypes import types_map
from urllib.parse import quote, urljoin, urlsplit
from uuid import UUID

import nh3

LONGEST_URL = 2_000  # bytes
LONGEST_TITLE = 1_000  # characters
LONGEST_DESCRIPTION = 256 * 1024  # bytes
LONGEST_DURATION = 10_000_000  # seconds
_EARLIEST_YEAR = 1990

_CLOCK = re.compile(r"([0-9]{1,30}(?::[0-9]{1,30}){0,2})(?:[.,][0-9]*)?")
_MONTH_NAMES = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"
_MONTHS = {name: f"{number:02}" for number, name in enumerate(_MONTH_NAMES.split(), 1)}
_USUAL = re.compile(
    rf"[A-Z][a-z]{{2,8}}, ([0-9]{{1,2}}) ({'|'.join(_MONTHS)}) ([0-9]{{4}}) "
    r"((?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]) (GMT|[+-][01][0-9][0-5][0-9])",
    re.ASCII,
)
_ZERO = ("GMT", "+0000", "-0000")
_RFC_3339 = re.compile(
    r"([0-9]{4})-?([0-9]{2})-?([0-9]{2})"
    r"(?:[T ]+([0-9]{2}):?([0-9]{2})(?::?([0-9]{2})(?:[.,][0-9]+)?)?)?\s*(Z|[+-][0-9]{2}:?[0-9]{2})?",
    re.ASCII | re.IGNORECASE,
)
# An address with a host, without credentials, and with only characters allowed in URLs. (Ignoring case
# everywhere, naming white space, or backtracking would take twice the time.)
_ADDRESS = r"[hH][tT][tT][pP][sS]?://[^{not_in_host}]++(?:[/?#][^\x00- <>\"\x7f-\x9f]*+)?+"
_NOT_IN_HOST = r"\x00- /?#@\\<>\""
_WEB = re.compile(_ADDRESS.format(not_in_host=_NOT_IN_HOST))
# hosts with brackets, or with letters beyond ASCII, may be invalid
_PLAIN = re.compile(_ADDRESS.format(not_in_host=_NOT_IN_HOST + r"\[\]\x7f-\U0010ffff"))
_UNSAFE = re.compile(r"[\s<>\"\x00-\x1f\x7f-\x9f]")
_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_XML_SPACES = re.compile("[ \t\r\n]+")
_PLAIN_GUID = re.compile("[!-~]*")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_TRUE = frozenset({"yes", "true", "explicit"})
_FALSE = frozenset({"no", "false", "clean"})
_AUDIO = {".m4a": "audio/mp4", ".m4b": "audio/mp4", ".ogg": "audio/ogg", ".oga": "audio/ogg",
          ".flac": "audio/flac", ".aac": "audio/aac", ".m4v": "video/mp4"}  # fmt: skip


def clean(text: str) -> str:
    """Return the text in NFC, without white space around it."""
    text = text.strip()
    if text.isascii() or unicodedata.is_normalized("NFC", text):
        return text
    return unicodedata.normalize("NFC", text)


def legal(text: str) -> str:
    """Keep only the characters that XML 1.0 allows; the output of an XML parser has no others."""
    return _NOT_XML.sub("", text)


def date(text: str) -> datetime | None:
    """Parse a date, in RFC 822 as it is written in practice, or in RFC 3339; returns UTC. None where it is
    impossible or before 1990."""
    text = text.strip()
    if not text or len(text) > 100:
        return None
    try:
        moment = _usual(text) or _rfc_3339(text) or _rfc_822(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment and moment.year >= _EARLIEST_YEAR else None


def duration(text: str) -> int | None:
    """Return the seconds of ``s``, ``m:s`` or ``h:m:s``, without decimals; None if invalid or above 10^7."""
    found = _CLOCK.fullmatch(text.strip())
    if found is None:
        return None
    seconds = 0
    for part in found[1].split(":"):
        seconds = seconds * 60 + int(part)
    return seconds if seconds <= LONGEST_DURATION else None


def integer(text: str, most: int = 1_000_000) -> int | None:
    """Parse a whole number from 0 to ``most``; None for anything else."""
    text = text.strip()
    if not text.isascii() or not text.isdigit() or len(text) > 16:
        return None
    number = int(text)
    return number if number <= most else None


def explicit(text: str) -> bool | None:
    word = text.strip().lower()
    return True if word in _TRUE else False if word in _FALSE else None


def one_of(text: str, words: frozenset[str]) -> str:
    """Return the word in lower case if it is one of these, else ""."""
    word = text.strip().lower()
    return word if word in words else ""


def play_time(text: str) -> float | None:
    """Return the seconds of a normal play time such as ``00:01:02.500``."""
    seconds = duration(text)
    _, dot, decimals = text.strip().partition(".")
    return seconds if seconds is None or not dot else round(seconds + float(f"0.{decimals[:3] or 0}"), 3)


def guid(text: str) -> str:
    """Return the GUID with its white space normalised: none around it, one space for each run inside; no
    control characters."""
    plain = text.strip()
    return plain if _PLAIN_GUID.fullmatch(plain) else _CONTROL.sub("", _XML_SPACES.sub(" ", plain))


def text_of_html(html: str) -> str:
    return unescape(nh3.clean(html, tags=set())) if "<" in html or "&" in html else html


def yes(text: str) -> bool:
    return text.strip().lower() == "yes"


def uuid(text: str) -> str:
    """Return a UUID in lower case; "" for anything else."""
    try:
        return str(UUID(text.strip())) if len(text.strip()) == 36 else ""
    except ValueError:
        return ""


# Whether a text is a web URL (``is_web_url``), of which that is certain without parsing it.
is_plain_url = _PLAIN.fullmatch


def is_web_url(text: str) -> bool:
    """Return whether a text is a valid absolute http or https URL, without credentials or white space."""
    try:
        return bool(_WEB.fullmatch(text) and urlsplit(text))
    except ValueError:  # brackets that hold no address, or letters that are none in a host
        return False


def resolve(base: str, text: str) -> str:
    """Resolve a relative URL; characters not allowed in URLs are percent-encoded.

    Returns "" for schemes other than http and https, for credentials, and for invalid URLs.
    """
    if not (url := text.strip()):
        return ""
    try:
        url = _UNSAFE.sub(lambda found: quote(found[0], safe=""), urljoin(base, url))
    except ValueError:
        return ""
    return url if is_web_url(url) else ""


def media_type(declared: str, url: str) -> str:
    """Return an enclosure's media type: as declared, else by its URL's extension; "" if neither is known."""
    if "/" in declared:
        return declared.strip().lower()[:100]
    _, dot, extension = urlsplit(url).path.rpartition(".")
    extension = f"{dot}{extension.lower()}"
    return _AUDIO.get(extension) or types_map.get(extension, "")


def cut_bytes(text: str, most: int) -> str:
    """Return the longest beginning of a text that has at most ``most`` bytes in UTF-8."""
    return text if len(text) * 4 <= most else text.encode()[:most].decode(errors="ignore")


def _usual(text: str) -> datetime | None:
    """Parse the form that nearly all publishers use, in a third of the time that the general parsers take."""
    found = _USUAL.fullmatch(text)
    if found is None:
        return None
    day, name, year, clock, zone = found.groups()
    moment = datetime.fromisoformat(f"{year}-{_MONTHS[name]}-{day:0>2}T{clock}+00:00")
    return moment if zone in _ZERO else moment - _offset(zone)


def _offset(zone: str) -> timedelta:
    """Return the offset of a zone such as ``+0200`` or ``+02:00``."""
    offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
    return offset if zone[0] == "+" else -offset


def _rfc_822(text: str) -> datetime | None:
    parts = parsedate_tz(text)
    if parts is None:
        return None
    year, month, day, hour, minute, second = parts[:6]
    zone = timezone(timedelta(seconds=parts[9])) if parts[9] else UTC
    # accept a leap second, and midnight as 24:00
    midnight = hour == 24
    moment = datetime(year, month, day, 0 if midnight else hour, minute, min(second, 59), tzinfo=zone)
    return (moment + timedelta(days=midnight)).astimezone(UTC)


def _rfc_3339(text: str) -> datetime | None:
    found = _RFC_3339.fullmatch(text.strip())
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    zone = found[7] or "Z"
    moment = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
    return moment if zone in "Zz" else moment - _offset(zone)
