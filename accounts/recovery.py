"""Links that prove something once: to set a new password, and to confirm an e-mail address.

Django's own tokens: derived from SECRET_KEY and what they change, so none is stored, and one that was used is
none any more. They expire after ``PASSWORD_RESET_TIMEOUT``.
"""

from datetime import UTC, datetime
from uuid import UUID

from django.conf import settings
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_decode, urlsafe_base64_encode

from accounts.models import User


class Tokens(PasswordResetTokenGenerator):
    """Django's, with the time given: for a new password; they end with it and with the next log-in."""

    def token_of(self, user: User, now: datetime) -> str:
        """The token of this moment, an aware time."""
        seconds = self._num_seconds(now.astimezone(UTC).replace(tzinfo=None))
        return self._make_token_with_timestamp(user, seconds, self.secret)

    def _now(self) -> datetime:
        return datetime.now(UTC).replace(tzinfo=None)


class AddressTokens(Tokens):
    """For the address that a listener has given: they end with its confirmation and with another one."""

    key_salt = "accounts.recovery.AddressTokens"

    def _make_hash_value(self, user: User, timestamp: int) -> str:
        return f"{user.pk}{user.email}{user.new_email}{timestamp}"


reset_tokens = Tokens()
address_tokens = AddressTokens()


def reset_link(user: User, now: datetime) -> str:
    """The address of a page that sets a new password for ``user``, once; it also serves who has none yet.

    Whoever has it gets into the account: it goes to its listener, and into no log.
    """
    return f"{settings.PUBLIC_URL}/users/reset/{id_in_path(user)}/{reset_tokens.token_of(user, now)}"


def address_link(user: User, now: datetime) -> str:
    """The address of a page that confirms ``user.new_email``, once."""
    return f"{settings.PUBLIC_URL}/users/email/{id_in_path(user)}/{address_tokens.token_of(user, now)}"


def id_in_path(user: User) -> str:
    return urlsafe_base64_encode(force_bytes(user.pk))


def user_in_path(text: str) -> User | None:
    """The user whose id stands in a link; None for whoever is not there or may not log in."""
    try:
        user_id = UUID(urlsafe_base64_decode(text).decode())
    except ValueError:
        return None
    return User.objects.filter(pk=user_id, is_active=True).first()
