"""Feeds and items by name: base64 of a feed's URL, base64 of ``guid,enclosure_url``.

One feed is one key however a client spells it: four base64 spellings, upper-case hosts, default ports
and fragments all lead to the same text (domain.md, "Identifiers").
"""

import binascii
import re
import unicodedata
from contextlib import suppress
from functools import lru_cache
from hashlib import blake2b
from ipaddress import IPv6Address

LONGEST_FEED_URL = 2_048  # bytes
LONGEST_ITEM = 4_096  # bytes, decoded
DEFAULT_PORTS = {"http": "80", "https": "443"}

_URL_SAFE = str.maketrans("-_", "+/")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# ASCII: else the long s of "httpſ" counts as an s
_URL = re.compile(r"(https?)://([^/?#]*)([^#]*)", re.IGNORECASE | re.ASCII | re.DOTALL)
_HOST = re.compile(r"""(\[[0-9a-fA-F:.]+\]|[^\s\[\]:/?#@<>"'`{}|^%,;()&=+$!*\\]+)(?::([0-9]{0,5}))?""")
_ENCLOSURE = re.compile(r".*,(?=https?://)", re.IGNORECASE | re.ASCII | re.DOTALL)


class InvalidIdentifier(ValueError):
    """A feed or item that cannot be one; the text says why."""


def key_of(text: str) -> str:
    """A feed's or an item's digest: 128 bits of BLAKE2b in hexadecimal, as a uuid column takes them.

    No two feeds or items share a key, neither by chance nor on purpose.
    """
    return blake2b(text.encode(), digest_size=16).hexdigest()


@lru_cache(maxsize=8_192)
def normalise_feed(text: str) -> str:
    """The one spelling of an ``rss_source_feed``: standard base64 with padding of the normalised URL.

    Raises ``InvalidIdentifier`` when it is not base64 or holds no absolute http(s) URL.
    """
    return feed_of_url(_decode(text, LONGEST_FEED_URL))


@lru_cache(maxsize=8_192)
def feed_of_url(url: str) -> str:
    """The ``rss_source_feed`` of a feed URL. Raises ``InvalidIdentifier``."""
    normalised = normalise_url(url)
    return _encode(normalised)


def url_of_feed(feed: str) -> str:
    """The URL in a normalised ``rss_source_feed``."""
    return binascii.a2b_base64(feed).decode()


def normalise_item(text: str) -> str:
    """The one spelling of an ``rss_source_item``. Raises ``InvalidIdentifier``."""
    decoded = _decode(text, LONGEST_ITEM)
    _split(decoded)
    return _encode(decoded)


def parts_of_item(item: str) -> tuple[str, str]:
    """GUID and enclosure URL of a normalised ``rss_source_item``; either may be empty."""
    return _split(binascii.a2b_base64(item).decode())


def normalise_url(url: str) -> str:
    """Scheme and host in lower case, no default port, no fragment; nothing else is touched.

    Raises ``InvalidIdentifier`` unless it is an absolute http(s) URL without credentials or control
    characters, in at most 2,048 bytes of UTF-8.
    """
    if _CONTROL.search(url):
        raise InvalidIdentifier("the URL holds control characters")
    parts = _URL.match(url)
    if parts is None:
        raise InvalidIdentifier("not an absolute http or https URL")
    scheme, authority, rest = parts[1].lower(), parts[2], parts[3]
    if "@" in authority:
        raise InvalidIdentifier("a feed URL must not carry credentials")
    host = _HOST.fullmatch(authority)
    if host is None or not _means_itself(host[1]) or int(host[2] or 0) > 65_535:
        raise InvalidIdentifier("the URL names no valid host")
    port = f":{int(host[2])}" if host[2] and str(int(host[2])) != DEFAULT_PORTS[scheme] else ""
    normalised = f"{scheme}://{host[1].lower()}{port}{rest}"
    try:
        size = len(normalised.encode())
    except UnicodeEncodeError as error:
        raise InvalidIdentifier("the URL is not valid Unicode") from error
    if size > LONGEST_FEED_URL:
        raise InvalidIdentifier(f"a feed URL has at most {LONGEST_FEED_URL} bytes")
    return normalised


def _means_itself(host: str) -> bool:
    """Whether others read the same name: not ``[:::]``, and no ``℀`` that turns into ``a/c`` (NFKC)."""
    if host.startswith("["):
        return _is_ipv6(host[1:-1])
    if host.isascii():
        return True
    read = unicodedata.normalize("NFKC", host)
    return ":" not in read and _HOST.fullmatch(read) is not None


def _is_ipv6(text: str) -> bool:
    with suppress(ValueError):
        IPv6Address(text)
        return True
    return False


def _split(decoded: str) -> tuple[str, str]:
    """GUIDs contain commas: the enclosure starts after the last one that http:// or https:// follows."""
    enclosure = _ENCLOSURE.match(decoded)
    if enclosure is not None:
        return decoded[: enclosure.end() - 1], decoded[enclosure.end() :]
    if decoded == ",":
        raise InvalidIdentifier("an item needs a GUID or an enclosure URL")
    if not decoded.endswith(","):
        raise InvalidIdentifier("an item is the base64 of guid,enclosure_url; an enclosure is http or https")
    return decoded[:-1], ""


def _decode(text: str, longest: int) -> str:
    if len(text) > longest * 4 // 3 + 4:
        raise InvalidIdentifier(f"longer than {longest} bytes")
    if "-" in text or "_" in text:
        if "+" in text or "/" in text:
            raise InvalidIdentifier("mixes the two base64 alphabets")
        text = text.translate(_URL_SAFE)
    if "=" not in text:
        text += "=" * (-len(text) % 4)
    try:
        raw = binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
        decoded = raw.decode()
    except (ValueError, UnicodeError) as error:
        reason = "not valid UTF-8 inside" if isinstance(error, UnicodeDecodeError) else "not valid base64"
        raise InvalidIdentifier(reason) from error
    if not raw or len(raw) > longest:
        raise InvalidIdentifier("empty" if not raw else f"longer than {longest} bytes")
    if _CONTROL.search(decoded):
        raise InvalidIdentifier("control characters inside")
    return decoded


def _encode(text: str) -> str:
    return binascii.b2a_base64(text.encode(), newline=False).decode("ascii")
