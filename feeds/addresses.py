"""Decide which addresses the feed client may request: URLs, ports, and the IP addresses of hosts. Pure.

This is an allow-list: the public internet, by rules of our own for IPv4 and IPv6, and the networks that the
operator has opened. ``ipaddress`` alone is not trusted: some versions of Python call 64:ff9b::7f00:1 and
2002:7f00:1:: global.
"""

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import quote, urljoin, urlsplit

from msgspec import Struct

from eventstore.domain.identifiers import InvalidIdentifier, normalise_url

Network = IPv4Network | IPv6Network

LONGEST_URL = 8_192  # bytes: signed addresses behind redirects are long
PORTS = (80, 443, 8080, 8443)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_START = re.compile(r"https?://[^/?#]*", re.IGNORECASE | re.ASCII)
_PLAIN = re.compile(r"[A-Za-z0-9\-._~%/?:@!$&'()*+,;=]*")
_IN_URLS = "%/?:@!$&'()*+,;=-._~[]"
# not excluded by is_global: protocol assignments, 6to4 relays, the metadata service of Azure
_NOT_IPV4 = tuple(map(IPv4Network, ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32")))
_IPV6 = IPv6Network("2000::/3")
# in this order: protocol assignments (Teredo among them), documentation, 6to4, documentation
_NOT_IPV6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))


class Rules(Struct, frozen=True):
    """What may be requested. ``networks`` are allowed besides the public internet; ``own`` are the hosts and
    ports at which this instance itself answers; ``allow_downgrade`` permits redirects from https to http."""

    ports: frozenset[int] = frozenset(PORTS)
    networks: tuple[Network, ...] = ()
    allow_downgrade: bool = False
    own: frozenset[tuple[str, int]] = frozenset()


class Refused(ValueError):
    """An address that is not requested. ``malformed``: it is invalid, rather than forbidden."""

    def __init__(self, detail: str, *, malformed: bool = False) -> None:
        super().__init__(detail)
        self.malformed = malformed


class Target(Struct, frozen=True):
    """A URL in ASCII as it is requested, without a fragment; its host (IPv6 without brackets) and port."""

    url: str
    scheme: str
    host: str
    port: int


def target_of(url: str, rules: Rules) -> Target:
    """Return what to request for ``url``. Path and query are kept; characters not allowed in URLs are quoted.

    Raises ``Refused`` unless the scheme is http or https, and for credentials, a port that is not open, or an
    address of this instance.
    """
    start = _START.match(url)
    if start is None:
        raise Refused("neither http nor https")
    scheme, authority, host, port = _parts(start[0])
    if port not in rules.ports:
        raise Refused(f"port {port} is not open")
    if (host, port) in rules.own:
        raise Refused("an address of this instance")
    tail = url[start.end() :]
    if not _PLAIN.fullmatch(tail):
        tail = quote(tail.partition("#")[0], safe=_IN_URLS)
    asked = f"{scheme}://{authority}{tail if tail.startswith('/') else f'/{tail}'}"
    if len(asked) > LONGEST_URL:
        raise Refused(f"longer than {LONGEST_URL} bytes", malformed=True)
    return Target(asked, scheme, host, port)


def redirect_of(target: Target, location: str, rules: Rules) -> Target:
    """Return the target of a redirect from ``target``. Raises ``Refused``, also for a redirect from https to
    http unless the rules allow it."""
    try:
        url = urljoin(target.url, location)
    except ValueError as error:
        raise Refused("the redirect leads to no address", malformed=True) from error
    to = target_of(url, rules)
    if target.scheme == "https" and to.scheme == "http" and not rules.allow_downgrade:
        raise Refused("a redirect from https to http")
    return to


def is_allowed(address: str, networks: tuple[Network, ...] = ()) -> bool:
    """Whether the IP address ``address`` is on the public internet or in one of ``networks``."""
    return _is_public(address) or is_opened(address, networks)


def is_opened(address: str, networks: tuple[Network, ...]) -> bool:
    """Whether ``address`` is in one of the networks that the operator has opened."""
    ip = _parse(address)
    return ip is not None and any(ip in network for network in networks)


@lru_cache(maxsize=8_192)
def literal(host: str) -> str | None:
    """Return the IP address that ``host`` is, or None where it is a name.

    Other spellings of IPv4 addresses (2130706433, 0x7f.1) are treated as names: the address that they resolve
    to is the one that is checked.
    """
    ip = _parse(host)
    return None if ip is None else str(ip)


@lru_cache(maxsize=8_192)
def _parts(start: str) -> tuple[str, str, str, int]:
    """Return scheme, host with port, host, and port of a URL without a path. Raises ``Refused``."""
    try:
        normal = urlsplit(normalise_url(f"{start}/", LONGEST_URL))
    except InvalidIdentifier as error:
        raise Refused(str(error), malformed=error.code == "invalid_host") from error
    port = _DEFAULT_PORTS[normal.scheme] if normal.port is None else normal.port
    return normal.scheme, normal.netloc, str(normal.hostname), port


@lru_cache(maxsize=8_192)
def _parse(address: str) -> IPv4Address | IPv6Address | None:
    """Parse an address without its scope; IPv4-mapped IPv6 becomes IPv4. None for anything else."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return ip.ipv4_mapped or ip if isinstance(ip, IPv6Address) else ip


@lru_cache(maxsize=8_192)
def _is_public(address: str) -> bool:
    ip = _parse(address)
    if ip is None or not ip.is_global:
        return False
    if isinstance(ip, IPv4Address):
        return not ip.is_multicast and not any(ip in network for network in _NOT_IPV4)
    return ip in _IPV6 and not any(ip in network for network in _NOT_IPV6)
