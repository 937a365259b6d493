"""Identifiers of feeds and items: base64 of a feed's URL, base64 of ``guid,enclosure_url``.

A feed has one key however a client spells it, and so has an item: four base64 spellings, white space, the
case of hosts, default ports, fragments and needless percent-encoding all lead to the same text.
"""

import binascii
import re
from contextlib import suppress
from functools import lru_cache
from hashlib import blake2b
from ipaddress import IPv6Address
from urllib.parse import quote, unquote

import idna

LONGEST_FEED_URL = 2_048  # bytes
LONGEST_ITEM = 4_096  # bytes, decoded
DEFAULT_PORTS = {"http": "80", "https": "443"}
UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

COMMA = ord(",")
ITEM_WITHOUT_GUID = ("L", "C")
_URL_SAFE = str.maketrans("-_", "+/")
# control characters, the line and the paragraph separator, halves of surrogate pairs
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_XML_SPACES = re.compile("[ \t\r\n]+")
# ASCII: otherwise the long s of "httpſ" would match an s
_PODCAST_SCHEME = re.compile("(?:feed|itpc|itms|pcast|podcast):(?://)?", re.IGNORECASE | re.ASCII)
_SCHEME = re.compile("[a-z][a-z0-9+.-]*://", re.IGNORECASE | re.ASCII)
_URL = re.compile(r"(https?)://([^/?]*)([^?]*)(.*)", re.IGNORECASE | re.ASCII)
_AUTHORITY = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\[\]:]+)(?::([0-9]{0,5}))?")
_HOST = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
# An escaped byte, or a character that is not allowed in a path or a query (RFC 3986).
_TO_RESPELL = re.compile(r"%([0-9A-Fa-f]{2})|[^A-Za-z0-9\-._~!$&'()*+,;=:@/?]")
# Most URLs and items are in their normal form already. Possessive quantifiers scan a long one only once.
_ESCAPE = r"%(?!2[DE]|3[0-9]|[46][1-9A-F]|[57][0-9A]|5F|7E)[0-9A-F]{2}"
_NORMAL_URL = (
    r"https?://[a-z0-9_-]++(?:\.[a-z0-9_-]++)*+/"
    rf"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]++|{_ESCAPE})*+"
    rf"(?:\?(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]++|{_ESCAPE})++)?+"
)
_NORMAL = re.compile(_NORMAL_URL)
_NORMAL_ITEM = re.compile(rf"[!-+\--~]*+,{_NORMAL_URL}(?<!,)")
# the same on bytes
_NORMAL_RAW_ITEM = re.compile(_NORMAL_ITEM.pattern.encode())
_ENCLOSURE = re.compile(r",(?=https?://)", re.IGNORECASE | re.ASCII)
_ENCLOSURE_AFTER_SPACE = re.compile(r",(?=\s*[a-z][a-z0-9+.-]*://)", re.IGNORECASE | re.ASCII)


class InvalidIdentifier(ValueError):
    """A feed or item that is not valid; ``code`` is for programs, the message says why."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


# Faults of the URL itself: whoever sends it cannot correct it, because its publisher wrote it.
CODES_OF_ADDRESSES = frozenset({"control_characters", "credentials", "invalid_host", "scheme", "too_long"})


def key_of(text: str) -> str:
    """Return the digest of a feed or an item: 128 bits of BLAKE2b in hexadecimal, as a uuid column takes
    them.

    No two feeds or items share a key, neither by chance nor on purpose.
    """
    return _digest(text.encode())


def _digest(text: bytes) -> str:
    return blake2b(text, digest_size=16).hexdigest()


@lru_cache(maxsize=8_192)
def normalise_feed(text: str) -> str:
    """Return the canonical spelling of an ``rss_source_feed``: standard base64 with padding of the normalised
    URL.

    Raises ``InvalidIdentifier`` when it is not base64 or holds no absolute http(s) URL.
    """
    return feed_of_url(_decode(text, LONGEST_FEED_URL))


@lru_cache(maxsize=8_192)
def feed_of_url(url: str) -> str:
    """Return the ``rss_source_feed`` of a feed URL. Raises ``InvalidIdentifier``."""
    return _encode(normalise_url(url))


def url_of_feed(feed: str) -> str:
    """Return the URL in a normalised ``rss_source_feed``."""
    return binascii.a2b_base64(feed).decode()


def normalise_item(text: str) -> str:
    """Return the canonical spelling of an ``rss_source_item``. Raises ``InvalidIdentifier``."""
    if len(text) < LONGEST_ITEM:
        # nearly all items are in their canonical spelling, which takes half as long to see
        with suppress(ValueError):
            raw = binascii.a2b_base64(text, strict_mode=True)
            if _NORMAL_RAW_ITEM.fullmatch(raw):
                # before padding, several characters may stand for the same bits
                return binascii.b2a_base64(raw, newline=False).decode() if text[-1] == "=" else text
    decoded = _decode(text, LONGEST_ITEM)
    return _encode(decoded) if _NORMAL_ITEM.fullmatch(decoded) else item_of(*_split(decoded))


def item_of(guid: str, enclosure_url: str) -> str:
    """Return the ``rss_source_item`` of a GUID and an enclosure URL, either of which may be empty.

    Where a comma between them would not be recognised as the separator, a line break, which neither can
    contain, separates them instead (``shown_item`` has the comma). Raises ``InvalidIdentifier``, also where
    both are empty.
    """
    return item_of_normal(normalise_guid(guid), normalise_enclosure(enclosure_url))


def item_of_normal(guid: str, enclosure_url: str) -> str:
    """Return the ``rss_source_item`` of parts that are normalised already."""
    if not guid and not enclosure_url:
        raise InvalidIdentifier("no_episode", "an item needs a GUID or an enclosure URL")
    text = _within(f"{guid},{enclosure_url}", LONGEST_ITEM)
    is_plain = enclosure_url and "," not in guid and not enclosure_url.endswith(",")
    is_plain = is_plain or _split(text) == (guid, enclosure_url)
    return _encode(text if is_plain else f"{guid}\n{enclosure_url}")


def parts_of_item(item: str) -> tuple[str, str]:
    """Return GUID and enclosure URL of a normalised ``rss_source_item``; either may be empty."""
    return _parts_of_text(binascii.a2b_base64(item).decode())


def shown_item(item: str) -> tuple[str, str, str]:
    """Return what every response gives of an item: ``rss_source_item`` as apps know it, GUID and enclosure
    URL."""
    text = binascii.a2b_base64(item).decode()
    guid, enclosure_url = _parts_of_text(text)
    # only items with a line break, which are rare, are spelt differently
    return _encode(f"{guid},{enclosure_url}") if "\n" in text else item, guid, enclosure_url


def shown_item_or_none(item: str | None) -> tuple[str | None, str | None, str | None]:
    """Return the same for an item that may be missing."""
    return (None, None, None) if item is None else shown_item(item)


@lru_cache(maxsize=8_192)
def feed_key_of(feed: str) -> str:
    """Return the digest of a normalised ``rss_source_feed``."""
    return key_of(feed)


@lru_cache(maxsize=32_768)
def episode_key(feed: str, item: str) -> str:
    """Return the key of an episode, the same wherever it is named: the digest of its feed and of its name in
    that feed.

    A GUID is unique in its feed at best. The same GUID with another enclosure URL is the same episode.
    """
    return _digest(feed.encode() + b"\n" + _name_in(item))


def guid_key_of(item: str) -> str:
    """Return the digest of what names an episode in its feed, without the feed."""
    return _digest(_name_in(item))


@lru_cache(maxsize=8_192)
def enclosure_key(feed: str, item: str) -> str | None:
    """Return the key that an episode had while only its enclosure was known; None where it has no GUID or no
    enclosure."""
    guid, enclosure_url = parts_of_item(item)
    return key_of(f"{feed}\n\n{enclosure_url}") if guid and enclosure_url else None


def enclosure_only(item: str) -> str:
    """Return the item of the same enclosure without its GUID."""
    return item_of("", parts_of_item(item)[1])


def digests_of(feed: str | None, item: str | None) -> tuple[str | None, str | None]:
    """Return the digests of a feed and an item, as far as these are known."""
    return feed and feed_key_of(feed), item and episode_key(feed or "", item)


def has_guid(item: str) -> bool:
    # the base64 of a text that starts with a comma or a line break starts with one of these, which a GUID may
    # start with, too
    return not item.startswith(ITEM_WITHOUT_GUID) or bool(parts_of_item(item)[0])


def normalise_guid(guid: str) -> str:
    """Return a GUID as its publisher wrote it, except for white space: none around it, and one space for each
    run inside.

    Raises ``InvalidIdentifier`` for other control characters.
    """
    is_plain = guid.isascii() and guid.isprintable() and " " not in guid
    return _within(guid if is_plain else _checked(_XML_SPACES.sub(" ", guid.strip())), LONGEST_ITEM)


def normalise_enclosure(url: str) -> str:
    """Return the normal form of an enclosure's URL; an empty one stays empty. Raises
    ``InvalidIdentifier``."""
    return url and normalise_url(url, LONGEST_ITEM)


def normalise_url(url: str, longest: int = LONGEST_FEED_URL) -> str:
    """Return the normal form of an absolute http(s) URL, in ASCII; a URL in its normal form stays as it is.

    Dropped: white space around it, the default port, the fragment, an empty query, the dot after the host.
    Scheme and host become lower case, an international host its ASCII form, an IPv6 address its short form;
    an empty path becomes ``/``. Characters that are not allowed in a URL are percent-encoded, unreserved
    characters are not, and everything else that is encoded stays so. ``feed:`` and the other podcast schemes
    mean http.

    Raises ``InvalidIdentifier`` with one of ``CODES_OF_ADDRESSES``, also where the normal form has more than
    ``longest`` bytes.
    """
    url = _within(url.strip(), longest)
    if _NORMAL.fullmatch(url):
        return url
    parts = _URL.fullmatch(_with_web_scheme(_checked(url)).partition("#")[0])
    if parts is None:
        raise InvalidIdentifier("scheme", "not an absolute http or https URL")
    scheme, path, query = parts[1].lower(), parts[3] or "/", parts[4].removesuffix("?") and parts[4]
    tail = _TO_RESPELL.sub(_respell, path + query)
    return _within(f"{scheme}://{_normalise_authority(parts[2], scheme)}{tail}", longest)


def is_normal_url(url: str) -> bool:
    """Whether a URL, which is not too long, is in its normal form."""
    return _NORMAL.fullmatch(url) is not None


def _parts_of_text(text: str) -> tuple[str, str]:
    if "\n" in text:
        guid, _, enclosure_url = text.partition("\n")
        return guid, enclosure_url
    # nearly all items end with a URL in its normal form, which is found faster than one of any form
    guid, found, rest = text.partition(",http")
    if found and rest.startswith(("://", "s://")) and rest[-1] != ",":
        return guid, "http" + rest
    return _split(text)


def _name_in(item: str) -> bytes:
    """Return what names an episode: its GUID, or a line break, which starts no GUID, and the enclosure
    URL."""
    raw = binascii.a2b_base64(item)
    # as in ``_parts_of_text``
    guid_of, found, rest = raw.partition(b",http")
    if guid_of and found and rest.startswith((b"://", b"s://")) and rest[-1] != COMMA and b"\n" not in raw:
        return guid_of
    guid, enclosure_url = parts_of_item(item)
    return (guid or f"\n{enclosure_url}").encode()


def _with_web_scheme(url: str) -> str:
    """Replace a podcast scheme: ``feed:https://…`` stays https, ``feed://…`` and ``feed:…`` become http."""
    found = _PODCAST_SCHEME.match(url)
    if found is None:
        return url
    rest = url[found.end() :]
    return rest if _SCHEME.match(rest) else f"http://{rest}"


def _normalise_authority(authority: str, scheme: str) -> str:
    """Return host and port, without the scheme's default port."""
    if "@" in authority:
        raise InvalidIdentifier("credentials", "an address must not carry credentials")
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None or int(parts[2] or 0) > 65_535:
        raise InvalidIdentifier("invalid_host", "the URL names no valid host")
    host = _normalise_ipv6(parts[1]) if parts[1].startswith("[") else _normalise_host(parts[1])
    port = str(int(parts[2])) if parts[2] else DEFAULT_PORTS[scheme]
    return host if port == DEFAULT_PORTS[scheme] else f"{host}:{port}"


def _normalise_host(host: str) -> str:
    """Return the host's ASCII form by UTS 46, without the dot of the root."""
    with suppress(idna.IDNAError, UnicodeError):
        mapped = idna.uts46_remap(unquote(host, errors="strict"), std3_rules=False).removesuffix(".")
        name = mapped if mapped.isascii() else ".".join(map(_a_label, mapped.split(".")))
        if _HOST.fullmatch(name):
            return name
    raise InvalidIdentifier("invalid_host", "the URL names no valid host")


def _a_label(label: str) -> str:
    if label.isascii():
        return label
    try:
        return idna.alabel(label).decode()
    except idna.InvalidCodepoint:
        # UTS 46 and browsers accept symbols such as hearts, which IDNA 2008 excludes
        return f"xn--{label.encode('punycode').decode()}"


def _normalise_ipv6(bracketed: str) -> str:
    try:
        address = IPv6Address(bracketed[1:-1])
    except ValueError:
        raise InvalidIdentifier("invalid_host", "the URL names no valid host") from None
    # versions of Python differ in how they spell IPv4-mapped addresses
    return f"[{address if address.ipv4_mapped is None else f'::ffff:{address.ipv4_mapped}'}]"


def _respell(found: re.Match[str]) -> str:
    if found[1] is None:
        return quote(found[0], safe="")
    character = chr(int(found[1], 16))
    return character if character in UNRESERVED else found[0].upper()


def _split(decoded: str) -> tuple[str, str]:
    """Return GUID and enclosure URL, which starts after the first comma that is followed by http:// or
    https://."""
    text = decoded.strip()
    if text.endswith(","):
        return text[:-1], ""
    comma = _ENCLOSURE.search(text) or _ENCLOSURE_AFTER_SPACE.search(text)
    if comma is None:
        detail = "an item is the base64 of guid,enclosure_url; an enclosure is http or https"
        raise InvalidIdentifier("invalid_item", detail)
    return text[: comma.start()], text[comma.end() :]


def _checked(text: str) -> str:
    if _CONTROL.search(text):
        raise InvalidIdentifier("control_characters", "control characters inside")
    return text


def _within(text: str, longest: int) -> str:
    # a character has at most four bytes
    if 4 * len(text) > longest and len(text.encode(errors="replace")) > longest:
        raise InvalidIdentifier("too_long", f"longer than {longest} bytes")
    return text


def _decode(text: str, longest: int) -> str:
    if len(text) > longest * 4 // 3 + 4:
        raise InvalidIdentifier("too_long", f"longer than {longest} bytes")
    if "-" in text or "_" in text:
        if "+" in text or "/" in text:
            raise InvalidIdentifier("invalid_base64", "mixes the two base64 alphabets")
        text = text.translate(_URL_SAFE)
    if "=" not in text:
        text += "=" * (-len(text) % 4)
    try:
        raw = binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
        decoded = raw.decode()
    except (ValueError, UnicodeError) as error:
        reason = "not valid UTF-8 inside" if isinstance(error, UnicodeDecodeError) else "not valid base64"
        raise InvalidIdentifier("invalid_base64", reason) from error
    if not raw:
        raise InvalidIdentifier("invalid_base64", "empty")
    return _within(decoded, longest)


def _encode(text: str) -> str:
    return binascii.b2a_base64(text.encode(), newline=False).decode("ascii")
