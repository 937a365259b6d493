"""The setting EMAIL_URL, which says how mails are sent."""

from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

# scheme: default port, TLS from the start, TLS by STARTTLS
SCHEMES: Final = {
    "smtp": (25, False, False),
    "smtp+tls": (587, False, True),
    "smtps": (465, True, False),
}
FORM: Final = (
    "of the form smtp+tls://user:password@host:587 (or smtps:// or smtp://), or console: to print mails,"
    " or none: to send none. Percent-encode what is special in a user name or password"
)


class MailServer(NamedTuple):
    """Django's settings for one mail server. ``backend`` is "" if no mail is sent."""

    backend: str = ""
    host: str = ""
    port: int = 0
    user: str = ""
    password: str = ""
    use_ssl: bool = False
    use_tls: bool = False


def parse(url: str) -> MailServer:
    """Return the mail server that ``url`` names. Raises ``ValueError`` if it names none."""
    if url == "none:":
        return MailServer()
    if url == "console:":
        return MailServer("django.core.mail.backends.console.EmailBackend")
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError
    port, use_ssl, use_tls = SCHEMES[parts.scheme]
    return MailServer(
        "django.core.mail.backends.smtp.EmailBackend",
        parts.hostname,
        parts.port or port,
        unquote(parts.username or ""),
        unquote(parts.password or ""),
        use_ssl,
        use_tls,
    )
