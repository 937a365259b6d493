"""Answers requests of the API from the event loop, without a thread and without Django, where it is certain
what they get (docs/decisions/0030-api-without-a-thread.md).

That is the case for a token that this process has verified before, whose grant is valid now and allows the
request, within the limit of requests. All other requests are left to Django, and so is every refusal: the
rules are in the views, which these classes call, or in what both call.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from django.conf import settings

from accounts import grants, tokens
from accounts.gates import DirectAnswer, is_remembered
from accounts.grants import Caller
from accounts.scopes import allows
from accounts.tokens import RequestClaims
from api.middleware import with_headers
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


def caller_of(sender: Sender, rows: Sequence[Row] | None, scope: str, now: datetime) -> Caller | None:
    """Return the caller, if the grant that ``rows`` hold allows what needs ``scope``."""
    if rows is None:
        return None
    caller = grants.recognise(sender.token, sender.claims, rows, now)
    return caller if caller is not None and allows(caller.scopes, scope) else None


def answer(view: View, path: str, caller: Caller, body: bytes, own: Mapping[str, str]) -> DirectAnswer:
    """Return the answer of a view, as it would leave the gate. ``own``: headers in the order of the view's
    answer."""
    headers = with_headers({**own, **view.default_response_headers, "Content-Length": str(len(body))})
    return DirectAnswer(path, 200, headers, body, (caller.user_id, caller.app_id))
