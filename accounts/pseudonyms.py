"""Pseudonyms of users, for places where their ids would outlive their accounts."""

import hashlib
from functools import lru_cache
from uuid import UUID

from django.conf import settings


def of(user_id: UUID) -> str:
    """Return the pseudonym of a user in the logs and in Redis, which writes its keys to a file.

    It is always the same, and useless without SECRET_KEY: what remains of an erased account identifies
    nobody.
    """
    return _digest(user_id, settings.SECRET_KEY)


# called on every request
@lru_cache(maxsize=4_096)
def _digest(user_id: UUID, secret: str) -> str:
    key = hashlib.sha256(secret.encode()).digest()
    return hashlib.blake2b(user_id.bytes, key=key, digest_size=8).hexdigest()
