"""Checks addresses that apps give about themselves: shown, linked or redirected to, but never fetched.
Pure."""

import re
from urllib.parse import SplitResult, quote, urlsplit

LONGEST = 2048
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
# a reverse domain name, as RFC 8252 requires of apps: the dot keeps out javascript:, data: and mailto:
PRIVATE_SCHEME = re.compile(r"[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+", re.ASCII)
HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?", re.ASCII)
IPV6 = re.compile(r"\[[0-9a-fA-F:.]+\](:[0-9]*)?", re.ASCII)
# characters that could end an attribute or a line, or that a browser may read as another character
UNSAFE = re.compile(r"[\s\\\"'<>^`{|}\x00-\x20\x7f]")
# characters that IDNA 2003 (Python's) and 2008 (browsers') send to different hosts
AMBIGUOUS = frozenset("ßς\u200c\u200d")


class InvalidLink(ValueError):
    """Not an address that may be used here; the message says what is wrong, without repeating the address."""


def web_address(value: object) -> str:
    """Return an absolute http(s) address with its host in ASCII, the form to be shown. Raises
    ``InvalidLink``."""
    parts = _split(value)
    if parts.scheme not in ("http", "https"):
        raise InvalidLink("must be an http or https address")
    host = _host(parts)
    # as a browser would send it: ASCII only, with existing % escapes unchanged
    path = quote(parts.path, safe="/%:@!$&()*+,;=~-._")
    query = quote(parts.query, safe="/%:@!$&()*+,;=~-._?")
    fragment = quote(parts.fragment, safe="/%:@!$&()*+,;=~-._?")
    return SplitResult(parts.scheme, host, path, query, fragment).geturl()


def redirect_uri(value: object) -> str:
    """Check the address to which the browser goes after the decision: https, http on loopback, or an app's
    own scheme.

    Returns it unchanged. Raises ``InvalidLink``.
    """
    parts = _split(value)
    assert isinstance(value, str)
    if not value.isascii() or parts.fragment or value.endswith("#"):
        raise InvalidLink("must be ASCII, without a fragment")
    match parts.scheme:
        case "https":
            _host(parts)
        case "http":
            _host(parts)
            if parts.hostname not in LOOPBACK:
                raise InvalidLink("http is for loopback addresses; use https")
        case scheme:
            if not PRIVATE_SCHEME.fullmatch(scheme) or "@" in parts.netloc:
                raise InvalidLink("must be https, http on loopback, or like com.example.app:/done")
    return value


def _split(value: object) -> SplitResult:
    if not isinstance(value, str) or not value:
        raise InvalidLink("must be an address")
    if len(value) > LONGEST:
        raise InvalidLink(f"may have at most {LONGEST} characters")
    if UNSAFE.search(value) or not value.isprintable():
        raise InvalidLink("holds a character that an address may not hold")
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018 - reading it checks it
    except ValueError:
        raise InvalidLink("is not an address") from None
    return parts


def _host(parts: SplitResult) -> str:
    """Return the host and port in ASCII and lower case."""
    if "@" in parts.netloc:
        raise InvalidLink("may not hold a user name or password")
    name = parts.hostname or ""
    if IPV6.fullmatch(parts.netloc):  # urlsplit has checked what is in the brackets
        name = f"[{name}]"
    else:
        name = _ascii(name)
        if not HOST_NAME.fullmatch(name) or len(name) > 253 or "[" in parts.netloc:
            raise InvalidLink("has no valid host name")
    return name if parts.port is None else f"{name}:{parts.port}"


def _ascii(name: str) -> str:
    if name.isascii():
        return name
    if AMBIGUOUS & set(name):
        raise InvalidLink("has an ambiguous host name; write it in its xn-- form")
    try:
        return name.encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise InvalidLink("has no valid host name") from None
