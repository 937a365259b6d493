"""Who a connection belongs to: an app (request token), a player (play token) or a page (ticket).

Each of these may be revoked at any time. All connections of a process are checked together every few seconds,
with one statement for each kind; and whatever an app sends is checked against its stored grant anew, as over
HTTP.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

import msgspec
from django.conf import settings
from django.http import HttpRequest
from msgspec import Struct

from accounts import grants, sessions, tickets
from accounts.addresses import client_address
from accounts.attempts import limited
from accounts.grants import Caller
from accounts.tokens import LEEWAY, TokenError
from api.auth import CALLER
from live.closing import NOT_AUTHENTICATED, REVOKED, TOO_MANY, Closed
from live.commands import OF_PLAY_TOKENS, Environment
from live.messages import Message
from live.pushes import Source
from playgateway import recording, tokens
from projections.connect import run

Kind = Literal["app", "token", "page"]
PAGE: Final = frozenset({"user.*.read", "user.read"})
PLAYS: Final = frozenset({"user.plays.write"})
MINUTE: Final = timedelta(minutes=1)
# scopes and key fingerprints of the apps of many connections
GRANTS: Final = """
SELECT asked.user_id, asked.app_id, g.scopes, g.fingerprint
  FROM unnest(%s::uuid[], %s::text[]) AS asked (user_id, app_id)
  JOIN "system"."users" u ON u.id = asked.user_id AND u.is_active
  LEFT JOIN "system"."app_tokens" g ON g.user_id = asked.user_id AND g.app_id = asked.app_id
"""
TOKENS: Final = """
SELECT t.id FROM "system"."play_tokens" t JOIN "system"."users" u ON u.id = t.user_id
 WHERE t.id = ANY(%s) AND (t.expires_at IS NULL OR t.expires_at > %s)
   AND u.is_active AND u.erasing_since IS NULL
"""


class Client(Struct, frozen=True, kw_only=True):
    """The owner of a connection.

    ``key``: by which it is looked up: the id of the app or of the token, or the handle of the session.
    ``secret``: what it authenticated with. ``proof``: what must not change: the fingerprint of the app's key,
    or the digest of what the session depends on. ``expires_at``: when it expires by itself.
    """

    kind: Kind
    user_id: UUID
    key: str
    secret: str
    scopes: frozenset[str]
    proof: str = ""
    device_id: str | None = None
    device_name: str | None = None
    expires_at: datetime | None = None

    @property
    def source(self) -> Source | None:
        """The app and device named by the events that this client records; None if it cannot be told from
        others."""
        return (self.key, self.device_id) if self.kind == "app" and self.device_id else None

    def environment(self) -> Environment:
        """Return the part of the WSGI environment that tells the API's views who sends a command."""
        if self.kind == "app":
            return {"HTTP_AUTHORIZATION": f"Bearer {self.secret}"}
        caller = Caller(
            app_id=recording.APP,
            user_id=self.user_id,
            expires_at=datetime.max,  # noqa: DTZ901  asked for at every message
            jti=None,
            device_id=f"play-token-{self.key}",
            device_name=self.device_name,
            username="",
            scopes=self.scopes,
        )
        return {CALLER: caller}


def authenticate(message: Message, environment: Environment, now: datetime) -> Client:
    """Return who sends the first message of a connection. Raises ``Closed``, and the errors of a store that
    is unavailable."""
    token = message.fields.get("token")
    if message.type != "auth" or not isinstance(token, str):
        raise Closed(NOT_AUTHENTICATED, "auth_first")
    try:
        found = _find(token, environment, now)
    except Closed as refusal:
        address = client_address(request_of(environment))
        if limited("failures", address, settings.API_FAILURES_PER_MINUTE, MINUTE) is not None:
            raise Closed(TOO_MANY, "too_many_failures") from None
        raise refusal from None
    if reason := reasons([found], now).get(found):
        raise Closed(NOT_AUTHENTICATED, reason)
    return current([found])[found]


def _find(token: str, environment: Environment, now: datetime) -> Client:
    if token.startswith(tickets.PREFIX):
        return _of_page(token, environment.get("HTTP_ORIGIN", ""))
    if tokens.is_well_formed(token):
        return _of_player(token, now)
    try:
        caller = grants.authenticate(token, now, settings.PUBLIC_URL)
    except TokenError as error:
        raise Closed(NOT_AUTHENTICATED, error.code) from None
    return Client(
        kind="app",
        user_id=caller.user_id,
        key=caller.app_id,
        secret=token,
        scopes=caller.scopes,
        device_id=caller.device_id,
        device_name=caller.device_name,
        expires_at=caller.expires_at + LEEWAY,
    )


def _of_player(token: str, now: datetime) -> Client:
    bearer = tokens.find(token, now)
    if bearer is None:
        raise Closed(NOT_AUTHENTICATED, "not_authenticated")
    if bearer.lists is not None:
        raise Closed(NOT_AUTHENTICATED, "token_limited")
    return Client(
        kind="token",
        user_id=bearer.user_id,
        key=str(bearer.token_id),
        secret=token,
        scopes=PLAYS,
        device_name=bearer.name,
    )


def _of_page(token: str, origin: str) -> Client:
    """Return the page that a ticket was made for.

    A ticket is accepted once, and only from a page of the origin for which it was made, or of PUBLIC_URL,
    which a proxy may serve in front of that origin.
    """
    ticket = tickets.redeem(token)
    if ticket is None or origin not in (ticket.origin, settings.PUBLIC_URL):
        raise Closed(NOT_AUTHENTICATED, "not_authenticated")
    return Client(
        kind="page",
        user_id=ticket.user_id,
        key=ticket.session,
        secret="",
        scopes=PAGE,
        proof=ticket.proof,
    )


def may_send(client: Client, command: str) -> bool:
    """Whether this kind of client may send such a command at all. The API's views check the scopes."""
    if client.kind == "token":
        return command in OF_PLAY_TOKENS
    return client.kind == "app"


def check(client: Client, now: datetime) -> None:
    """Check before a player's command that its token has not been revoked; the API checks apps itself. Raises
    ``Closed``."""
    if client.kind == "token" and tokens.find(client.secret, now) is None:
        raise Closed(REVOKED, "revoked")


def reasons(clients: Iterable[Client], now: datetime) -> dict[Client, str]:
    """Return which clients may not go on, each with the reason as one word. Raises the errors of a store that
    is unavailable."""
    of_kind: dict[Kind, list[Client]] = {"app": [], "token": [], "page": []}
    ended: dict[Client, str] = {}
    for client in clients:
        of_kind[client.kind].append(client)
        if client.expires_at is not None and client.expires_at <= now:
            ended[client] = "token_expired"
    return {
        **_apps_gone(of_kind["app"]),
        **_tokens_gone(of_kind["token"], now),
        **_pages_gone(of_kind["page"], now),
        **ended,
    }


def current(clients: Iterable[Client]) -> Mapping[Client, Client]:
    """Map each client to its current state: apps with the scopes and the key that they have now."""
    clients = list(clients)
    granted = _granted([client for client in clients if client.kind == "app"])
    found = {}
    for client in clients:
        scopes, fingerprint = granted.get((client.user_id, client.key)) or (None, None)
        known = client.kind == "app" and scopes is not None
        found[client] = (
            msgspec.structs.replace(client, scopes=frozenset(scopes or ()), proof=fingerprint or "")
            if known
            else client
        )
    return found


def _granted(clients: Iterable[Client]) -> dict[tuple[UUID, str], tuple[list[str] | None, str | None]]:
    """Return the scopes and key of the apps' grants; None for both if the grant is gone, no entry for closed
    accounts."""
    asked = {(client.user_id, client.key) for client in clients}
    if not asked:
        return {}
    users, apps = [list(each) for each in zip(*asked, strict=True)]
    rows = run(GRANTS, [users, apps], "system").fetchall()
    return {(user, app): (scopes, fingerprint) for user, app, scopes, fingerprint in rows}


def _apps_gone(clients: list[Client]) -> dict[Client, str]:
    granted = _granted(clients)
    gone = {}
    for client in clients:
        entry = granted.get((client.user_id, client.key))
        if entry is None:
            gone[client] = "account_closed"
        elif entry[0] is None:
            gone[client] = "revoked"
        elif client.proof and entry[1] != client.proof:
            gone[client] = "key_replaced"
    return gone


def _tokens_gone(clients: list[Client], now: datetime) -> dict[Client, str]:
    if not clients:
        return {}
    rows = run(TOKENS, [[int(client.key) for client in clients], now], "system").fetchall()
    good = {str(token) for (token,) in rows}
    return {client: "revoked" for client in clients if client.key not in good}


def _pages_gone(clients: list[Client], now: datetime) -> dict[Client, str]:
    if not clients:
        return {}
    proofs = sessions.proofs({client.user_id for client in clients}, now)
    return {client: "logged_out" for client in clients if proofs.get(client.key) != client.proof}


def request_of(environment: Environment) -> HttpRequest:
    """Return the request that became a connection: only its environment, enough to read its address."""
    request = HttpRequest()
    request.META = environment
    return request
