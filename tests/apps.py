"""Third-party apps for the tests: a key pair, and the tokens that PyJWT signs with it."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings

from accounts import grants
from accounts.models import AppGrant, User
from accounts.tokens import read_authorization


@cache
def key_pair(name: str = "first", bits: int = 2048) -> RSAPrivateKey:
    """Return the key of that name, generated once per test run (a pair of 2,048 bits takes 0.1 s)."""
    return generate_private_key(public_exponent=65_537, key_size=bits)


def pem(key: RSAPrivateKey, form: PublicFormat = PublicFormat.SubjectPublicKeyInfo) -> str:
    return key.public_key().public_bytes(Encoding.PEM, form).decode()


class App:
    """An app with its id and its key pair. Apps with the same ``key`` share one pair."""

    def __init__(
        self,
        name: str = "Castaway",
        iss: str = "org.example.castaway",
        *,
        key: str = "first",
        bits: int = 2048,
    ) -> None:
        self.name = name
        self.iss = iss
        self.key = key_pair(key, bits)

    @property
    def public_key(self) -> str:
        return pem(self.key)

    def description(self, **changes: Any) -> dict[str, Any]:
        """Return the ``app`` claim of an authorization; a field given as None is left out."""
        fields = {
            "name": self.name,
            "url": "https://castaway.example",
            "image": "https://castaway.example/icon.png",
            "public_key": self.public_key,
        }
        return {name: value for name, value in (fields | changes).items() if value is not None}

    def authorization(self, scopes: Iterable[str] = ("user.plays",), **claims: Any) -> str:
        """Return an authorization token; a claim given as None is left out."""
        now = int(datetime.now(UTC).timestamp())
        own = {
            "iss": self.iss,
            "app": self.description(),
            "scopes": list(scopes),
            "iat": now,
            "exp": now + 3600,
        }
        return self.sign(own | claims)

    def request(self, user_id: UUID | str, **claims: Any) -> str:
        """Return a request token for that user; a claim given as None is left out.

        It is valid for as long as is allowed, because some tokens are made while tests are collected, long
        before their test runs.
        """
        now = int(datetime.now(UTC).timestamp())
        return self.sign({"iss": self.iss, "sub": str(user_id), "iat": now, "exp": now + 3600} | claims)

    def sign(self, claims: dict[str, Any], headers: dict[str, Any] | None = None) -> str:
        # built from JSON rather than by jwt.encode, which refuses some of the wrong claims that the tests
        # need
        present = {name: value for name, value in claims.items() if value is not None}
        return self.sign_bytes(json.dumps(present).encode(), headers)

    def sign_bytes(self, payload: bytes, headers: dict[str, Any] | None = None) -> str:
        return jwt.PyJWS().encode(payload, self.key, algorithm="RS256", headers=headers)

    def bearer(self, user_id: UUID | str, **claims: Any) -> dict[str, str]:
        """Return the header of a request, as Django's test client takes it: ``client.get(path,
        headers=…)``."""
        return {"Authorization": f"Bearer {self.request(user_id, **claims)}"}

    def grant(self, user: User, scopes: Iterable[str] = ("*",)) -> AppGrant:
        """Authorize the app at once, as if the user had approved it."""
        token = self.authorization(scopes)
        return grants.authorize(user, read_authorization(token, datetime.now(UTC), settings.PUBLIC_URL))
