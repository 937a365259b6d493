"""The client address of a request, as far as it can be trusted, and the error for unknown host names."""

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
# Labels of real host names are not longer than this; a token sent in place of a host name must not be logged.
LONGEST_LABEL = 24


def other_host(request: HttpRequest) -> str:
    """Return the error text for a request whose Host is not one of ours.

    Also logs it, for the operator who set up a proxy or a host name.
    """
    # The header may hold anything: escape it, cut it, and lower-case it as host names are for comparison, so
    # that no token can be read from it.
    name = ascii(request.META.get("HTTP_HOST", "").lower())[1:-1][:253]
    is_name = max(map(len, name.split("."))) <= LONGEST_LABEL
    logger.warning("400 disallowed_host: %s", NOT_OURS % {"host": name if is_name else "that was sent"})
    return gettext(NOT_OURS) % {"host": name}


def client_address(request: HttpRequest) -> str | None:
    """Return the caller's address for limits and logs: IPv4 in full, IPv6 as its /64, which is one household.

    X-Forwarded-For is trusted only as far as our own proxies wrote it (``TRUSTED_PROXIES``). None if there is
    no address, as on a unix socket.
    """
    address = exact_address(request)
    if address is None or isinstance(address, ipaddress.IPv4Address):
        return None if address is None else str(address)
    return str(ipaddress.ip_network((address.packed[:8] + bytes(8), 64)).network_address)


def exact_address(request: HttpRequest) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the caller's address in full, for allow lists."""
    text = request.META.get("REMOTE_ADDR", "")
    if settings.TRUSTED_PROXIES:
        forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
        # each proxy appends the address that called it; the caller itself sent whatever is further left
        if len(forwarded) >= settings.TRUSTED_PROXIES:
            text = forwarded[-settings.TRUSTED_PROXIES].strip() or text
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
