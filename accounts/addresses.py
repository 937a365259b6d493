"""From which address a request comes, as far as that can be believed."""

import ipaddress

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str | None:
    """The caller's address for limits and logs: IPv4 whole, IPv6 by its /64, which is one household.

    X-Forwarded-For is believed only as far as our own proxies wrote it (``TRUSTED_PROXIES``). None when
    there is no address, as on a unix socket.
    """
    text = request.META.get("REMOTE_ADDR", "")
    if settings.TRUSTED_PROXIES:
        forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
        # each proxy appends whom it heard; what stands further left was sent by the caller
        if len(forwarded) >= settings.TRUSTED_PROXIES:
            text = forwarded[-settings.TRUSTED_PROXIES].strip() or text
    return _household(text)


def _household(text: str) -> str | None:
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address.packed[:8] + bytes(8), 64)).network_address)
