"""Answers requests of the API from the event loop, without a thread and without Django, where it is certain
what they get (docs/decisions/0030-api-without-a-thread.md).

That is the case for a token that this process has verified before, whose grant is valid now and allows the
request, within the limit of requests. All other requests are left to Django, and so is every refusal: the
rules are in the views, which these classes call, or in what both call.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.db import connections

from accounts import grants, tokens
from accounts.gates import DirectAnswer, is_remembered
from accounts.grants import Caller
from accounts.scopes import allows
from accounts.tokens import RequestClaims, TokenError
from api.middleware import with_headers
from api.throttles import GrantLimit
from api.views import View
from projections.pipeline import Row

# longer query strings are left to Django
LONGEST_QUERY: Final = 100


class Sender(NamedTuple):
    """The token of a request, with the claims in it; its grant is still to be looked up."""

    token: str
    claims: RequestClaims

    @property
    def grant(self) -> dict[str, bytes]:
        """The parameters of ``grants.FIND_GRANT``."""
        return grants.grant_of(self.claims)


def sender_of(environment: Mapping[str, Any], now: datetime) -> Sender | None:
    """Return who sends a request, given as its WSGI environment; None unless the token is remembered, valid
    now, and sent to a host name that is ours."""
    scheme, _, token = environment.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() != "bearer" or not is_remembered(environment.get("HTTP_HOST")):
        return None
    claims = tokens.remembered(token, now, settings.PUBLIC_URL)
    return None if claims is None else Sender(token, claims)


class Allowed(NamedTuple):
    """The caller of a request that an app may make, and the id of its grant."""

    caller: Caller
    grant_id: int


def allowed(sender: Sender, rows: Sequence[Row] | None, scope: str) -> Allowed | None:
    """Return the caller, if the grant that ``rows`` hold allows what needs ``scope``."""
    if rows is None:
        return None
    try:
        found = Allowed(*grants.verified(sender.token, sender.claims, rows))
    except (TokenError, grants.GrantUnreadable):
        return None
    return found if allows(found.caller.scopes, scope) else None


async def admit(found: Allowed, now: datetime) -> bool:
    """Count a request, and note that the grant is used. Return False if there were too many.

    A thread is only needed where Redis has to be asked, or the hour's first use to be written.
    """
    caller, grant_id = found
    if grants.is_noted(grant_id, caller.user_id, now) and GrantLimit.use_counted(caller):
        return True
    return await asyncio.get_running_loop().run_in_executor(None, _admit, caller, grant_id, now)


def _admit(caller: Caller, grant_id: int, now: datetime) -> bool:
    try:
        grants.note_use(grant_id, caller.user_id, now)
        return GrantLimit.count(GrantLimit.name_of(caller)) is None
    finally:
        connections["system"].close()  # returns the connection to the pool


def answer(view: View, path: str, caller: Caller, body: bytes, own: Mapping[str, str]) -> DirectAnswer:
    """Return the answer of a view, as it would leave the gate. ``own``: headers in the order of the view's
    answer."""
    headers = with_headers({**own, **view.default_response_headers, "Content-Length": str(len(body))})
    return DirectAnswer(path, 200, headers, body, (caller.user_id, caller.app_id))
