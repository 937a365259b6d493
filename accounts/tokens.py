"""The two signed tokens of an app: the authorization that a user approves, and the request token. Pure.

PyJWT's RS256 verifies the signature, and no other algorithm is ever accepted. The content of a token is read
and checked here, once: its size, its header, duplicate names, the times and the audience
(docs/decisions/0004-tokens.md).
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn, TypeVar
from uuid import UUID

import msgspec
from jwt.algorithms import RSAAlgorithm

from accounts import keys, links, scopes

LONGEST_TOKEN = 8192
LONGEST_ID = 255
LONGEST_NAME = 100
LONGEST_STATE = 512
AUTHORIZATION_LIFE = timedelta(hours=24)
REQUEST_LIFE = timedelta(hours=1)
LEEWAY = timedelta(seconds=30)
AUTHORIZATION_TYPES = ("JWT", "balados-authz+jwt")
REQUEST_TYPES = ("JWT",)
KEY_ID_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:=-")
# signatures are as long as the key, in bytes: RSA of 2,048 to 8,192 bits
SIGNATURE_SIZES = range(keys.SMALLEST_BITS // 8, keys.LARGEST_BITS // 8 + 1)
_RS256 = RSAAlgorithm(RSAAlgorithm.SHA256)
# Verified tokens that are kept, at most; usually 1 KB each.
MOST_GENUINE = 2_000
# the last second that datetime can represent
LAST_SECOND = 253_402_300_799
NOBODY = UUID(int=0)
# Persian and emoji, among others, need joiners; the other invisible characters only deceive
JOINERS: dict[int, str | None] = {ord("\u200c"): None, ord("\u200d"): None}
# Phones put these spaces into the names that they give themselves, before a name or a colon.
SPACES: dict[int, str | None] = {ord("\u00a0"): " ", ord("\u202f"): " "}
T = TypeVar("T")


class TokenError(Exception):
    """A token that is refused: ``code`` for programs, ``detail`` for people. Never contains what was sent."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class Authorization(msgspec.Struct, frozen=True, kw_only=True):
    """What an app asks a user to approve. ``app_id`` and ``fingerprint`` together identify the app."""

    app_id: str
    name: str
    url: str  # "" if none was given; the same for image
    image: str
    public_key: bytes  # SPKI, DER
    fingerprint: str  # SHA-256 of the public key, in hex
    scopes: tuple[str, ...]
    redirect_uri: str | None
    state: str | None
    subject: str | None  # the id of the user for whom it is meant, if the app knows it
    read_at: datetime


class RequestClaims(msgspec.Struct, frozen=True, kw_only=True):
    """The claims of a request token: trustworthy only once it ``is_signed_by`` the key of the app's grant."""

    app_id: str
    user_id: UUID  # NOBODY when ``sub`` is not a user id
    expires_at: datetime
    jti: str | None
    device_id: str | None
    device_name: str | None


class _Genuine(NamedTuple):
    """A well-formed token that ``public_key`` has signed. Its grant and its times are checked on every
    request."""

    payload: dict[str, Any]
    claims: RequestClaims
    public_key: bytes


_genuine: dict[str, _Genuine] = {}


def read_authorization(token: str, now: datetime, audience: str) -> Authorization:
    """Return the checked content of an authorization token, which is signed by the key that it carries.

    ``audience`` is the address of this instance. Raises ``TokenError``; its detail may be shown.
    """
    claims = _claims(token, AUTHORIZATION_TYPES, AUTHORIZATION_LIFE, now, audience)
    app = claims.get("app")
    if not isinstance(app, dict):
        _refuse("invalid_app", "The token names no app: this is not an authorization token.")
    public_key = _read(keys.read_pem, app.get("public_key"), "invalid_key", "app.")
    if not is_signed_by(token, public_key):
        _refuse("invalid_signature", "The token is not signed by the key that it carries.")
    return Authorization(
        scopes=_read(scopes.parse, claims.get("scopes"), "invalid_scope"),
        app_id=_app_id(claims),
        name=_app_name(app),
        url=_app_link(app, "url"),
        image=_app_link(app, "image"),
        public_key=public_key,
        fingerprint=keys.fingerprint(public_key),
        redirect_uri=_redirect_uri(app),
        state=_optional_text(claims, "state", LONGEST_STATE),
        subject=_optional_text(claims, "sub", LONGEST_ID),
        read_at=now,
    )


def read_request(token: str, now: datetime, audience: str) -> RequestClaims:
    """Return the claims of a request token, whose signature is not verified yet. Raises ``TokenError``."""
    if (known := _genuine.get(token)) is not None:
        _check_times(known.payload, now, REQUEST_LIFE)
        _check_audience(known.payload, audience)
        return known.claims
    return _request_claims(_claims(token, REQUEST_TYPES, REQUEST_LIFE, now, audience))


def is_signed_by(token: str, public_key: bytes | None) -> bool:
    """Whether a token that was read here has the RS256 signature of that key (SPKI, DER).

    Without a key, or with one of another size, the signature is checked against a key of the right size that
    nobody holds: this takes equally long, and does not reveal whether there is a key. Raises
    ``keys.InvalidKey`` for DER that ``keys.read_pem`` did not make.
    """
    if public_key is not None and is_remembered(token, public_key):
        return True
    signed, _, segment = token.rpartition(".")
    signature = _decode(segment)
    key = None if public_key is None else keys.load(public_key)
    if key is None or key.key_size != 8 * len(signature):
        key = keys.nobodys_key(8 * len(signature))
    return _RS256.verify(signed.encode(), key, signature)


def remembered(token: str, now: datetime, audience: str) -> RequestClaims | None:
    """Return what ``read_request`` returns of a token that is remembered and valid now; None for others."""
    if token not in _genuine:
        return None
    try:
        return read_request(token, now, audience)
    except TokenError:
        return None


def is_remembered(token: str, public_key: bytes) -> bool:
    """Whether it is remembered that this key has signed the token."""
    known = _genuine.get(token)
    return known is not None and known.public_key == public_key


def remember(token: str, claims: RequestClaims, public_key: bytes) -> None:
    """Remember that a token with these claims is signed by this key, for when an app sends it again."""
    if is_remembered(token, public_key):
        return
    if len(_genuine) >= MOST_GENUINE:
        _genuine.clear()
    _genuine[token] = _Genuine(_json(token.split(".")[1]), claims, public_key)


def is_app_id(text: str) -> bool:
    """Whether ``text`` may be an ``iss``: 1 to 255 printable characters, without space around them."""
    return 0 < len(text) <= LONGEST_ID and text.isprintable() and text == text.strip()


def _refuse(code: str, detail: str) -> NoReturn:
    raise TokenError(code, detail)


def _read(read: Callable[[object], T], value: object, code: str, name: str = "") -> T:
    """Return what ``read`` makes of a value in the token; refuse the token if it raises, with the reason it
    gives."""
    try:
        return read(value)
    except (keys.InvalidKey, links.InvalidLink, scopes.InvalidScope) as error:
        raise TokenError(code, f"{name}{error}.") from None


def _claims(
    token: str, types: tuple[str, ...], life: timedelta, now: datetime, audience: str
) -> dict[str, Any]:
    """Return the claims of a token of one of these ``types``, after checking its form, times and audience."""
    if len(token) > LONGEST_TOKEN:
        _refuse("invalid_token", f"The token is longer than {LONGEST_TOKEN} characters.")
    if token.count(".") != 2:
        _refuse("invalid_token", "The token is not a JSON Web Token.")
    header, payload, signature = token.split(".")
    if len(_decode(signature)) not in SIGNATURE_SIZES:
        _refuse("invalid_token", "The token has no RS256 signature by a key of 2048 to 8192 bits.")
    _check_header(header, types)
    claims = _json(payload)
    _check_times(claims, now, life)
    _check_audience(claims, audience)
    return claims


def _check_audience(claims: dict[str, Any], audience: str) -> None:
    if "aud" in claims and claims["aud"] not in (audience, [audience]):
        _refuse("invalid_audience", "The token is meant for another instance.")


def _request_claims(claims: dict[str, Any]) -> RequestClaims:
    if "app" in claims:
        _refuse("invalid_token", "An authorization token cannot be used for requests.")
    return RequestClaims(
        app_id=_app_id(claims),
        user_id=_user_id(claims.get("sub")),
        expires_at=_time(claims, "exp"),
        jti=_optional_text(claims, "jti", LONGEST_ID),
        device_id=_optional_text(claims, "device_id", LONGEST_ID),
        device_name=_optional_text(claims, "device_name", LONGEST_ID),
    )


def _decode(segment: str) -> bytes:
    """Return the bytes of a segment. Only its canonical encoding is accepted: no padding, no surplus bits."""
    try:
        raw = urlsafe_b64decode(segment + "==")
    except ValueError:  # not ASCII, or one character too many
        raw = b""
    if urlsafe_b64encode(raw).rstrip(b"=").decode() != segment:
        _refuse("invalid_token", "The token is not valid base64url.")
    return raw


# an app sends the same header with every request; refusals are not cached
@lru_cache(maxsize=64)
def _check_header(segment: str, types: tuple[str, ...]) -> None:
    header = _json(segment)
    if header.get("alg") != "RS256":
        _refuse("invalid_token", "The token must be signed with RS256.")
    if not header.keys() <= {"alg", "typ", "kid"}:
        _refuse("invalid_token", "The token's header may hold alg, typ and kid only.")
    if header.get("typ", "JWT") not in types:
        _refuse("invalid_token", "The token is of another type.")
    # the key id is not used, so a path or a query in it could do nothing; it is refused all the same
    kid = header.get("kid", "-")
    if not isinstance(kid, str) or not 0 < len(kid) <= LONGEST_ID or not KEY_ID_CHARACTERS.issuperset(kid):
        _refuse("invalid_token", "The token's kid is not a plain name.")


def _json(segment: str) -> dict[str, Any]:
    try:
        value = _DECODER.decode(_decode(segment).decode("utf-8"))
    except (ValueError, RecursionError):  # an integer of 5,000 digits is a ValueError, too
        _refuse("invalid_token", "The token does not hold valid JSON with every name once.")
    if not isinstance(value, dict):
        _refuse("invalid_token", "The token does not hold a JSON object.")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name stands twice")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# by default Python's parser keeps the last of two values with the same name, and accepts NaN
_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_constant)


def _check_times(claims: dict[str, Any], now: datetime, life: timedelta) -> None:
    issued_at, expires_at = _time(claims, "iat"), _time(claims, "exp")
    if issued_at > now + LEEWAY:
        _refuse("token_from_the_future", "The token is from the future: check the clock of the device.")
    if "nbf" in claims and _time(claims, "nbf") > now + LEEWAY:
        _refuse("token_from_the_future", "The token is not valid yet: check the clock of the device.")
    if expires_at <= now - LEEWAY:
        _refuse("token_expired", "The token has expired.")
    if not issued_at < expires_at <= issued_at + life:
        hours = life // timedelta(hours=1)
        _refuse("invalid_token", f"The token's exp must be at most {hours} h after its iat.")


def _time(claims: dict[str, Any], name: str) -> datetime:
    value: Any = claims.get(name)
    # isinstance takes True for an int; NaN fails the comparison
    if type(value) not in (int, float) or not 0 <= value <= LAST_SECOND:
        _refuse("invalid_token", f"The token's {name} must be a time in seconds.")
    return datetime.fromtimestamp(value, UTC)


def _app_id(claims: dict[str, Any]) -> str:
    iss = claims.get("iss")
    if not isinstance(iss, str) or not is_app_id(iss):
        _refuse("invalid_token", f"The token's iss must be a text of 1 to {LONGEST_ID} printable characters.")
    return iss


def _user_id(sub: object) -> UUID:
    """Return the user id, or ``NOBODY`` for a wrong ``sub``, which then costs the same work as an unknown
    user id."""
    try:
        user_id = UUID(sub) if isinstance(sub, str) and len(sub) == 36 else NOBODY
    except ValueError:
        return NOBODY
    return user_id if str(user_id) == sub else NOBODY


def _optional_text(claims: dict[str, Any], name: str, longest: int) -> str | None:
    text = claims.get(name)
    if text is None:
        return None
    if (
        not isinstance(text, str)
        or not 0 < len(text) <= longest
        or not text.translate(JOINERS | SPACES).isprintable()
    ):
        _refuse("invalid_token", f"The token's {name} must be a text of 1 to {longest} printable characters.")
    return text


def _app_name(app: dict[str, Any]) -> str:
    name = app.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or not name.strip():
        _refuse("invalid_app", f"app.name must be a text of 1 to {LONGEST_NAME} characters.")
    if not name.translate(JOINERS).isprintable():
        _refuse("invalid_app", "app.name holds an invisible or a control character.")
    return name.strip()


def _app_link(app: dict[str, Any], field: str) -> str:
    value = app.get(field)
    return "" if value in (None, "") else _read(links.web_address, value, "invalid_app", f"app.{field} ")


def _redirect_uri(app: dict[str, Any]) -> str | None:
    value = app.get("redirect_uri")
    if value is None:
        return None
    return _read(links.redirect_uri, value, "invalid_redirect_uri", "app.redirect_uri ")
