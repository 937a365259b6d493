"""One-time links: to set a new password, and to confirm an e-mail address.

They use Django's own tokens, derived from SECRET_KEY and from what they change, so none is stored, and one
that was used is no longer valid. They expire after ``PASSWORD_RESET_TIMEOUT``.
"""

from datetime import UTC, datetime
from uuid import UUID

from django.conf import settings
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_decode, urlsafe_base64_encode

from accounts.models import User


class Tokens(PasswordResetTokenGenerator):
    """Django's tokens for a new password, with the time as an argument; a new password or a log-in makes them
    invalid."""

    def token_of(self, user: User, now: datetime) -> str:
        """Return the token for the time ``now``, which must be aware."""
        seconds = self._num_seconds(now.astimezone(UTC).replace(tzinfo=None))
        return self._make_token_with_timestamp(user, seconds, self.secret)

    def _now(self) -> datetime:
        return datetime.now(UTC).replace(tzinfo=None)


class AddressTokens(Tokens):
    """Tokens for a new e-mail address; they become invalid when it is confirmed, or when another is given."""

    key_salt = "accounts.recovery.AddressTokens"

    def _make_hash_value(self, user: User, timestamp: int) -> str:
        return f"{user.pk}{user.email}{user.new_email}{timestamp}"


reset_tokens = Tokens()
address_tokens = AddressTokens()


def reset_link(user: User, now: datetime) -> str:
    """Return the address of a page that sets a password for ``user``, once; also for users who have none yet.

    Whoever has the link gets into the account, so it is only for its listener, and must not be logged.
    """
    return f"{settings.PUBLIC_URL}/users/reset/{id_in_path(user)}/{reset_tokens.token_of(user, now)}"


def address_link(user: User, now: datetime) -> str:
    """Return the address of a page that confirms ``user.new_email``, once."""
    return f"{settings.PUBLIC_URL}/users/email/{id_in_path(user)}/{address_tokens.token_of(user, now)}"


def id_in_path(user: User) -> str:
    return urlsafe_base64_encode(force_bytes(user.pk))


def user_in_path(text: str) -> User | None:
    """Return the user whose id is in a link; None if there is no such user, or the user may not log in."""
    try:
        user_id = UUID(urlsafe_base64_decode(text).decode())
    except ValueError:
        return None
    return User.objects.filter(pk=user_id, is_active=True).first()
