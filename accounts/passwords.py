"""Which passwords are taken, and how they are hashed."""

import unicodedata
from typing import Any

from django.contrib.auth.hashers import Argon2PasswordHasher
from django.core.exceptions import ValidationError
from django.utils.translation import gettext

FEWEST_CHARACTERS = 4


class SmallArgon2PasswordHasher(Argon2PasswordHasher):
    """Argon2id at OWASP's second setting: 19 MiB, two passes, one thread.

    Django's own takes 100 MiB and 8 threads for each hash (143 ms here against 19 ms): sixteen log-ins at
    once would take 1.6 GB, and end the small machines that this is made for.
    """

    memory_cost = 19_456
    time_cost = 2
    parallelism = 1


class VarietyValidator:
    """Refuses what is long by repetition or by blanks alone: ``aaaaaaaaaa``, ten spaces, ``abababababab``."""

    def validate(self, password: str, user: Any = None) -> None:
        """Raises ``ValidationError`` (code password_too_uniform)."""
        folded = unicodedata.normalize("NFKC", password).casefold()
        # blanks and invisible characters are none
        seen = {character for character in folded if character.isprintable() and not character.isspace()}
        if len(seen) < FEWEST_CHARACTERS:
            raise ValidationError(self.get_help_text(), code="password_too_uniform")

    def get_help_text(self) -> str:
        text = gettext("A password has at least %(fewest)d different characters that are no blanks.")
        return text % {"fewest": FEWEST_CHARACTERS}
