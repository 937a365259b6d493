"""What ``manage.py check --deploy`` reports about how mails are sent."""

from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Info, Tags, Warning, register


@register(Tags.security, deploy=True)
def mails_leave_safely(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """Return an info message if no mails are sent, and a warning if passwords or links travel unencrypted."""
    if not settings.SENDS_MAIL:
        hint = "Whoever forgets his password needs a link from you: manage.py reset_link."
        return [Info("EMAIL_URL is not set: no mail is sent.", hint=hint, id="accounts.I001")]
    if settings.EMAIL_HOST and not (settings.EMAIL_USE_SSL or settings.EMAIL_USE_TLS or _is_here()):
        hint = "Begin EMAIL_URL with smtp+tls:// or smtps://."
        text = "EMAIL_URL sends mails, whose links open accounts, unencrypted to another machine."
        return [Warning(text, hint=hint, id="accounts.W001")]
    return []


def _is_here() -> bool:
    try:
        return ip_address(settings.EMAIL_HOST).is_loopback
    except ValueError:
        return str(settings.EMAIL_HOST) == "localhost"
