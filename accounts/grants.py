"""Which app may act for which user: grants are requested, approved, checked on every request, and revoked."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from uuid import UUID

import msgspec
import psycopg
from django.db import DatabaseError, OperationalError, transaction
from django.db.models import Count, OuterRef, Subquery

from accounts import keys, tokens
from accounts.models import AppGrant, UsedToken, User
from accounts.scopes import allows
from accounts.tokens import Authorization, RequestClaims, TokenError
from eventstore.database import discard_when_broken, raw_connection
from eventstore.prepared import Prepared

# An app's picture comes from a third party's server, which sees who looks: only widely used apps show it.
IMAGE_USERS = 5
IMAGE_PERCENT = 10

# Every API request begins with this query: 16 µs of CPU time, against 60 with Django's cursor and 420 with
# the ORM. Its result is not cached: a revoked grant or a deactivated user is refused at the next request
# (docs/decisions/0015-grants-are-asked-for.md).
FIND_GRANT = Prepared(
    "find_grant",
    """
    SELECT u.username, array_to_string(g.scopes, ' '), g.public_key, g.id
    FROM "system"."app_tokens" g JOIN "system"."users" u ON u.id = g.user_id
    WHERE g.user_id = %(user)s::uuid AND g.app_id = %(app)s::text AND u.is_active
    """,
)

# The commit does not wait for the disk: that took a third of the time of a listener's first play in an hour.
NOTE_USE = Prepared(
    "note_use",
    """
    WITH unhurried AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
    UPDATE "system"."app_tokens" g SET last_used_at = %(hour)s::timestamptz FROM unhurried
    WHERE id = %(grant)s::bigint AND user_id = %(user)s::uuid RETURNING id
    """,
)

# Grants whose use was noted in this hour: about 200 bytes each.
MOST_NOTED = 20_000
# a row of FIND_GRANT
Row = Sequence[bytes | None]

# what the user has approved, as stated by the app
APPROVED = ("name", "url", "image", "public_key", "fingerprint", "scopes")


class Caller(RequestClaims, frozen=True, kw_only=True):
    """Who sent a request: the user, and the app and device that act for the user."""

    username: str
    scopes: frozenset[str]


class GrantUnreadable(OperationalError):
    """The key of a grant is damaged: the store's fault and not the caller's (503, not 401)."""


class DifferentKey(Exception):
    """The user has granted this app id to another key, which is replaced only on request."""


class WrongUser(TokenError):
    """The authorization is meant for another user."""

    def __init__(self) -> None:
        super().__init__("wrong_user", "This authorization is meant for another user.")


class AuthorizationPreview(msgspec.Struct, frozen=True, kw_only=True):
    """What the approval page tells the user about an authorization, and about what is already known."""

    grant: AppGrant | None  # this user's grant for the app id, whatever its key
    other_key: bool  # that grant has another key: approving replaces it
    known_under_other_key: bool  # somebody on this instance has approved the same app id with another key
    users: int  # how many users have approved this very app: id and key
    shows_image: bool
    added: tuple[str, ...]  # requested scopes that this very app did not have before
    lost: tuple[str, ...]  # scopes that this very app has had and would no longer have

    @property
    def first_seen(self) -> bool:
        """Whether nobody on this instance has approved this app yet."""
        return self.users == 0

    @property
    def already_granted(self) -> bool:
        """Whether this user has approved this very app: approving it again changes at most its scopes."""
        return self.grant is not None and not self.other_key


def authenticate(token: str, now: datetime, audience: str) -> Caller:
    """Return the caller behind a request token, by the stored grant.

    Raises ``TokenError``, with the same text for unknown users, unknown apps and wrong signatures;
    ``OperationalError``, Django's or psycopg's, when the store is unavailable, or holds a key that cannot be
    read.
    """
    claims = tokens.read_request(token, now, audience)
    with discard_when_broken("system"):
        rows = FIND_GRANT.rows(raw_connection("system"), grant_of(claims))
    caller, grant_id = verified(token, claims, rows)
    note_use(grant_id, caller.user_id, now)
    return caller


def verified(token: str, claims: RequestClaims, rows: Sequence[Row]) -> tuple[Caller, int]:
    """Return the caller behind a token with these ``claims``, and the id of the grant, from what
    ``FIND_GRANT`` found. Raises what ``authenticate`` raises."""
    username, scopes, public_key, grant_id = _grant(rows)
    try:
        genuine = tokens.is_signed_by(token, public_key)
    except keys.InvalidKey as error:
        raise GrantUnreadable(f"the key of app {claims.app_id!a} cannot be read") from error
    if not genuine:
        raise TokenError("not_authenticated", "The token is not valid for any user and app.")
    assert public_key is not None
    tokens.remember(token, claims, public_key)
    return Caller(username=username, scopes=scopes, **msgspec.structs.asdict(claims)), grant_id


def grant_of(claims: RequestClaims) -> dict[str, bytes]:
    """Return the parameters of ``FIND_GRANT`` for the grant that a token names."""
    return {"user": str(claims.user_id).encode(), "app": claims.app_id.encode()}


def _grant(rows: Sequence[Row]) -> tuple[str, frozenset[str], bytes | None, int]:
    """Return the user name, scopes, key and id of a grant; no key if there is no such grant."""
    if not rows:
        return "", frozenset(), None, 0
    username, scopes, public_key, grant_id = (cell.decode() for cell in rows[0] if cell is not None)
    return username, frozenset(scopes.split()), bytes.fromhex(public_key[2:]), int(grant_id)


def note_use(grant_id: int, user_id: UUID, now: datetime) -> None:
    """Note when a grant was last used, once an hour per process: a write on every request would cost more
    than the request."""
    if is_noted(grant_id, user_id, now):
        return
    hour = _hour_of(now)
    values = {"hour": hour.isoformat(), "grant": str(grant_id), "user": str(user_id)}
    # a store that accepts no writes now (maintenance) is no reason to refuse a read
    with suppress(psycopg.Error, DatabaseError), discard_when_broken("system"):
        NOTE_USE.rows(raw_connection("system"), {name: text.encode() for name, text in values.items()})
    if len(_noted) >= MOST_NOTED:
        _noted.clear()
    _noted[grant_id, user_id] = hour


def is_noted(grant_id: int, user_id: UUID, now: datetime) -> bool:
    """Whether there is nothing for ``note_use`` to do."""
    return _noted.get((grant_id, user_id)) == _hour_of(now)


def _hour_of(now: datetime) -> datetime:
    return now.replace(minute=0, second=0, microsecond=0)


# the hour for which the use of each grant was noted last
_noted: dict[tuple[int, UUID], datetime] = {}


def consume_jti(caller: Caller) -> None:
    """Use up the ``jti`` of the caller's token, if any, so that an eavesdropper cannot repeat the call.

    Raises ``TokenError`` when the same app has used it before for the same user.
    """
    if caller.jti is None:
        return
    _, fresh = UsedToken.objects.get_or_create(
        user_id=caller.user_id,
        app_id=caller.app_id,
        jti=caller.jti,
        # the token may be accepted as valid until then; the purge (jobs) uses this time
        defaults={"expires_at": caller.expires_at + 2 * tokens.LEEWAY},
    )
    if not fresh:
        raise TokenError("token_reused", "The token has been used before.")


def authorize(user: User, authorization: Authorization, *, replace_key: bool = False) -> AppGrant:
    """Store what the user has approved: one grant per user and app id, however often it is approved.

    Raises ``DifferentKey`` when that id is granted to another key and ``replace_key`` is false, ``WrongUser``
    for an authorization made for somebody else, ``User.DoesNotExist`` when the user is gone.
    """
    if authorization.subject not in (None, str(user.pk)):
        raise WrongUser
    app_id, fingerprint, now = authorization.app_id, authorization.fingerprint, authorization.read_at
    approved = {field: getattr(authorization, field) for field in APPROVED} | {"updated_at": now}
    with transaction.atomic(using="system"):
        # one approval per user at a time; requests that only read the user are not blocked (NO KEY UPDATE)
        User.objects.select_for_update(no_key=True).get(pk=user.pk, is_active=True)
        mine = AppGrant.objects.filter(user=user, app_id=app_id)
        if not replace_key and mine.exclude(fingerprint=fingerprint).exists():
            raise DifferentKey
        grant, _ = AppGrant.objects.update_or_create(
            user=user, app_id=app_id, defaults=approved, create_defaults={**approved, "created_at": now}
        )
    return grant


def preview_authorization(user: User, authorization: Authorization) -> AuthorizationPreview:
    """Return what a page has to tell the user before the decision. Changes nothing."""
    same_id = AppGrant.objects.filter(app_id=authorization.app_id)
    grant = same_id.filter(user=user).first()
    users = same_id.filter(fingerprint=authorization.fingerprint).count()
    other_key = grant is not None and grant.fingerprint != authorization.fingerprint
    granted = () if grant is None or other_key else grant.scopes
    return AuthorizationPreview(
        grant=grant,
        other_key=other_key,
        known_under_other_key=same_id.exclude(fingerprint=authorization.fingerprint).exists(),
        users=users,
        shows_image=_shows_image(users, User.objects.count()),
        added=tuple(scope for scope in authorization.scopes if granted and not allows(granted, scope)),
        lost=tuple(scope for scope in granted if not allows(authorization.scopes, scope)),
    )


def list_grants(user_id: UUID) -> list[AppGrant]:
    """Return the apps that a user has approved, by name, each with ``users`` and ``shows_image`` set."""
    same_app = AppGrant.objects.filter(app_id=OuterRef("app_id"), fingerprint=OuterRef("fingerprint"))
    counted = same_app.order_by().values("app_id").annotate(number=Count("*")).values("number")
    accounts = User.objects.count()
    grants = AppGrant.objects.filter(user_id=user_id).annotate(number=Subquery(counted))
    listed = list(grants.order_by("name", "app_id"))
    for grant in listed:
        grant.users, grant.shows_image = grant.number, _shows_image(grant.number, accounts)
    return [*listed]


def revoke(user_id: UUID, app_id: str) -> bool:
    """Revoke a grant; False if there was none. Its tokens are refused from the next request on."""
    if not tokens.is_app_id(app_id):  # NUL and lone surrogates cannot even be sent in a query
        return False
    deleted, _ = AppGrant.objects.filter(user_id=user_id, app_id=app_id).delete()
    return deleted > 0


def _shows_image(users: int, accounts: int) -> bool:
    return users >= IMAGE_USERS and users * 100 >= accounts * IMAGE_PERCENT
