"""Creates the first administrator: once, for whoever holds the one-time token that the server prints."""

import hmac
import secrets
from datetime import datetime

from django.conf import settings
from django.db import connections, transaction

from accounts.models import SetupState, User

SETUP_LOCK = 0x73657475  # "setu": one set-up at a time, on every machine of the instance


class AlreadySetUp(Exception):
    """The instance already has an administrator."""


class WrongToken(Exception):
    """The token is not the one-time set-up token."""


def pending() -> bool:
    """Whether the instance still needs its first administrator (one made by ``createsuperuser`` counts)."""
    if SetupState.objects.filter(completed_at__isnull=False).exists():
        return False
    return not User.objects.filter(is_superuser=True).exists()


def one_time_token() -> str | None:
    """Return the token that opens the set-up page, the same in every process; None once it has been used.

    It is ``SETUP_TOKEN`` if the operator has set one; otherwise it is made at the first call, and stored
    until it is used.
    """
    if not pending():
        return None
    if settings.SETUP_TOKEN:
        return str(settings.SETUP_TOKEN)
    # if two processes start together, one inserts, and both read what it inserted
    SetupState.objects.bulk_create([SetupState(token=secrets.token_urlsafe(24))], ignore_conflicts=True)
    return SetupState.objects.get().token or None


def one_time_link() -> str | None:
    """Return the address of the set-up page with its token, for the operator; None once it has been used."""
    token = one_time_token()
    return f"{settings.PUBLIC_URL}/setup?token={token}" if token else None


def complete(username: str, email: str, password: str, token: str, now: datetime) -> User:
    """Create the first administrator and close the set-up for good. The e-mail address is not yet confirmed.

    Raises ``AlreadySetUp``, ``WrongToken``, and ``ValidationError`` for a bad user name. Of several
    concurrent calls, only one succeeds.
    """
    with transaction.atomic(using="system"):
        with connections["system"].cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [SETUP_LOCK])
        expected = one_time_token()
        if expected is None:
            raise AlreadySetUp
        if not hmac.compare_digest(expected.encode(), token.encode("utf-8", "replace")):
            raise WrongToken
        user = User.objects.create_superuser(username, "", password, new_email=email)
        SetupState.objects.update_or_create(id=1, defaults={"token": "", "completed_at": now})
        return user
