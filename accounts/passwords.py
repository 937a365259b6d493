"""Which passwords are accepted, and how they are hashed."""

import unicodedata
from typing import Any

from django.contrib.auth.hashers import Argon2PasswordHasher
from django.core.exceptions import ValidationError
from django.utils.translation import gettext

FEWEST_CHARACTERS = 4


class SmallArgon2PasswordHasher(Argon2PasswordHasher):
    """Argon2id with OWASP's second setting: 19 MiB, two passes, one thread.

    Django's default takes 100 MiB and 8 threads for each hash (143 ms here against 19 ms): sixteen log-ins at
    once would take 1.6 GB, and bring down the small machines that this is made for.
    """

    memory_cost = 19_456
    time_cost = 2
    parallelism = 1


class VarietyValidator:
    """Refuses passwords that are long only by repetition or blanks: ``aaaaaaaaaa``, ten spaces,
    ``abababababab``."""

    def validate(self, password: str, user: Any = None) -> None:
        """Raise ``ValidationError`` (code password_too_uniform) if there are too few different characters."""
        folded = unicodedata.normalize("NFKC", password).casefold()
        # blanks and invisible characters do not count
        seen = {character for character in folded if character.isprintable() and not character.isspace()}
        if len(seen) < FEWEST_CHARACTERS:
            raise ValidationError(self.get_help_text(), code="password_too_uniform")

    def get_help_text(self) -> str:
        text = gettext("A password has at least %(fewest)d different characters that are no blanks.")
        return text % {"fewest": FEWEST_CHARACTERS}
