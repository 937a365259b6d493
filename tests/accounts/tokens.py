"""Helpers that make tokens by hand, as an attacker would."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256, HashAlgorithm

from accounts import keys
from accounts.tokens import (
    Authorization,
    RequestClaims,
    TokenError,
    is_signed_by,
    read_authorization,
    read_request,
)
from tests.apps import App
from tests.factories import APP, NOW

# the PUBLIC_URL of the test run
INSTANCE = "http://localhost:8000"


def base64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def forge(
    header: object,
    payload: object,
    *,
    app: App = APP,
    digest: HashAlgorithm | None = None,
    signature: bytes | None = None,
) -> str:
    """Return a token of any header and payload (bytes as is, else as JSON), correctly signed by default."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    signed = ".".join(map(base64url, parts))
    if signature is None:
        signature = app.key.sign(signed.encode(), PKCS1v15(), digest or SHA256())
    return f"{signed}.{base64url(signature)}"


# the function that makes a kind of token's valid claims, and the function that reads it
Kind = tuple[Callable[..., dict[str, Any]], Callable[[str], object]]
HEADER = {"alg": "RS256", "typ": "JWT"}


def asked(app: App, scopes: Sequence[str] = ("user.plays",), **claims: Any) -> Authorization:
    """Return what the authorization page reads when ``app`` asks now."""
    return read_authorization(app.authorization(scopes, **claims), datetime.now(UTC), INSTANCE)


def read_as_authorization(token: str, now: datetime = NOW) -> Authorization:
    return read_authorization(token, now, INSTANCE)


def read_as_request(token: str, now: datetime = NOW, public_key: bytes | None = None) -> RequestClaims | None:
    """Return the request's claims if APP's key (or the given one) has signed the token, else None, as for a
    stranger."""
    request = read_request(token, now, INSTANCE)
    der = public_key or keys.read_pem(APP.public_key)
    return request if is_signed_by(token, der) else None


def is_refused(read: Callable[[str], object], token: str) -> bool:
    """Whether the token is refused, for its form or its signature, with an error text fit to be shown."""
    try:
        return read(token) is None
    except TokenError as error:
        return error.detail.isprintable() and len(error.detail) < 200
