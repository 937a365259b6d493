"""What ``manage.py check --deploy`` says of the feed client's settings."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register


@register(Tags.security, deploy=True)
def networks_are_closed(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """A warning where feeds may be fetched from networks of one's own."""
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
