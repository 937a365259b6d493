"""Keyed digests of what addresses and Redis must not reveal."""

import hmac
from functools import lru_cache

from django.conf import settings
from django.utils.crypto import salted_hmac


def keyed(salt: str, text: str) -> bytes:
    """Return Django's ``salted_hmac`` of a text, with SHA-256. Its key is derived from ``SECRET_KEY`` and the
    salt once: deriving it takes longer than the digest."""
    digest = _begun(salt, settings.SECRET_KEY).copy()
    digest.update(text.encode())
    return digest.digest()


@lru_cache(maxsize=16)
def _begun(salt: str, secret: str) -> hmac.HMAC:
    return salted_hmac(salt, "", secret, algorithm="sha256")
