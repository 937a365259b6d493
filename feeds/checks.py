"""Checks of ``manage.py check --deploy`` for the feed client: its settings and its libraries."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register


@register(Tags.security, deploy=True)
def networks_are_closed(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """Warn where feeds may be fetched from private networks."""
    if not settings.FEED_ALLOW_NETWORKS:
        return []
    opened = ", ".join(map(str, settings.FEED_ALLOW_NETWORKS))
    return [
        Warning(
            f"FEED_ALLOW_NETWORKS opens {opened} to the feed client.",
            hint="Whoever may follow a feed can have this server ask whatever is there. Leave it unset unless"
            " a feed lies in that network.",
            id="feeds.W001",
        )
    ]


# The wheel of pycurl contains both libraries, so that updates of the system do not reach them. These are the
# versions in pycurl 7.49.0.
OLDEST = {"libcurl": (8, 23, 0), "OpenSSL": (3, 6, 5)}


@register(Tags.security, deploy=True)
def libraries_are_recent(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """Warn where pycurl has an older libcurl or OpenSSL than this program was released with."""
    import pycurl  # imported here because most processes never need it

    found = versions(pycurl.version)
    shown = {name: ".".join(map(str, version)) for name, version in found.items()}
    oldest = {name: ".".join(map(str, version)) for name, version in OLDEST.items()}
    return [
        Warning(
            f"pycurl has {name} {shown[name]}, older than {oldest[name]}.",
            hint="Update pycurl (pip install --upgrade pycurl): foreign servers talk to this library.",
            id="feeds.W002",
        )
        for name, version in found.items()
        if version < OLDEST[name]
    ]


def versions(text: str) -> dict[str, tuple[int, ...]]:
    """Read the versions of the libraries in ``OLDEST`` from a text such as ``PycURL/7.49.0 libcurl/8.23.0
    OpenSSL/3.6.5``."""
    parts = (part.partition("/") for part in text.split())
    return {
        name: tuple(int(number) for number in version.split(".") if number.isdigit())
        for name, _, version in parts
        if name in OLDEST
    }
