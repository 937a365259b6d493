"""From which address a request comes, as far as that can be believed, and for which host."""

import ipaddress
import logging
from typing import Final

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext, gettext_noop

logger = logging.getLogger(__name__)


NOT_OURS: Final = gettext_noop(
    "This server does not answer to the host name %(host)s. If it should, its operator puts that into "
    "PUBLIC_URL or ALLOWED_HOSTS (docs/settings.md)."
)
# Nobody names a host like that; a token in the place of a host name is not to be logged.
LONGEST_LABEL = 24


def other_host(request: HttpRequest) -> str:
    """What a caller is told whose Host is not one of ours; also a line in the log, for the operator who set
    up a proxy or a name."""
    # whatever was sent: escaped, cut, and as names of hosts are compared, so that no token is read in it
    name = ascii(request.META.get("HTTP_HOST", "").lower())[1:-1][:253]
    is_name = max(map(len, name.split("."))) <= LONGEST_LABEL
    logger.warning("400 disallowed_host: %s", NOT_OURS % {"host": name if is_name else "that was sent"})
    return gettext(NOT_OURS) % {"host": name}


def client_address(request: HttpRequest) -> str | None:
    """The caller's address for limits and logs: IPv4 whole, IPv6 by its /64, which is one household.

    X-Forwarded-For is believed only as far as our own proxies wrote it (``TRUSTED_PROXIES``). None when
    there is no address, as on a unix socket.
    """
    address = exact_address(request)
    if address is None or isinstance(address, ipaddress.IPv4Address):
        return None if address is None else str(address)
    return str(ipaddress.ip_network((address.packed[:8] + bytes(8), 64)).network_address)


def exact_address(request: HttpRequest) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The same, whole: for lists of addresses that are let in."""
    text = request.META.get("REMOTE_ADDR", "")
    if settings.TRUSTED_PROXIES:
        forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
        # each proxy appends whom it heard; what stands further left was sent by the caller
        if len(forwarded) >= settings.TRUSTED_PROXIES:
            text = forwarded[-settings.TRUSTED_PROXIES].strip() or text
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
