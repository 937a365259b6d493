"""Authentication of callers, and whether the scopes granted to the app suffice. Bearer tokens only: there is
no session, and thus no CSRF.

REST framework imports this module before its own views (settings.REST_FRAMEWORK): nothing here may need
those.
"""

from typing import Any, Final, cast

from django.conf import settings
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts import grants, refusals
from accounts.grants import Caller
from accounts.scopes import allows
from accounts.tokens import TokenError
from api.clock import now

CHALLENGE: Final = 'Bearer realm="balados"'
# Used instead of a scope: any app that the user has let in.
ANY_GRANT: Final = "any grant"
# Key in META, which no header can set: the caller that the live gateway has authenticated already.
CALLER: Final = "balados.caller"


class GrantAuthentication(BaseAuthentication):
    """``Authorization: Bearer <request token>``, checked against the stored grant on every request."""

    def authenticate(self, request: Request) -> tuple[Caller, Caller] | None:
        """Raises ``AuthenticationFailed``, and ``OperationalError`` if the database is unavailable."""
        if (known := request._request.META.get(CALLER)) is not None:
            return known, known
        header = request._request.META.get("HTTP_AUTHORIZATION")
        if header is None:
            return None
        # Two headers arrive as one, joined by a comma, which no token contains.
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            raise AuthenticationFailed("Send an access token: Authorization: Bearer <token>.")
        try:
            caller = grants.authenticate(token, now(), settings.PUBLIC_URL)
        except TokenError as error:
            raise AuthenticationFailed(error.detail, error.code) from None
        return caller, caller

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


class HasScope(BasePermission):
    """Checks scopes. Views say which scope each method needs: ``scopes = {"GET": "user.plays.read"}``.

    A method for which the view names no scope is closed.
    """

    code = "scope_missing"

    def has_permission(self, request: Request, view: Any) -> bool:
        if request.method == "OPTIONS":
            return True
        if request.auth is None:
            return False
        needed = view.scopes.get("GET" if request.method == "HEAD" else request.method)
        if needed is None:
            # a method without a handler gets 405
            return request.method not in view.allowed_methods
        caller = caller_of(request)
        if needed is ANY_GRANT or allows(caller.scopes, needed):
            return True
        self.message = needs(needed)
        refusals.note(caller.user_id, refusals.APP, caller.app_id, needed, now())
        return False


def caller_of(request: Request) -> Caller:
    return cast(Caller, request.auth)


def needs(scope: str) -> str:
    """Return the message of a 403."""
    return f"This needs the scope {scope}."
