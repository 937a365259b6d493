"""Play tokens: what opens feeds and plays to a player or a feed reader, and nothing else."""

from contextlib import suppress
from datetime import datetime
from typing import Annotated

import msgspec
from django.db import IntegrityError
from django.http import HttpResponse
from django.urls import path
from msgspec import Struct
from rest_framework.exceptions import NotFound
from rest_framework.request import Request

from accounts import grants
from accounts.models import PlayToken, User
from api import answers, parameters
from api.answers import Success
from api.auth import caller_of
from api.bodies import Body
from api.clock import now
from api.errors import Invalid, Refused
from api.faults import Fault
from api.fields import Time, meta
from api.schema import operation
from api.views import View
from eventstore import log
from eventstore.dispatcher import CommandIdReused
from eventstore.log import CommandAlreadyRecorded, CommandId

SCOPE = "user.write"
LONGEST_NAME = 100
# More than anybody has players; a list of this length needs no pages.
MOST_TOKENS = 100


def _trimmed(text: str) -> str:
    """Raises ``ValueError`` for a name that nobody would see."""
    if not (name := text.strip()):
        raise ValueError("empty")
    return name


TokenName = Annotated[
    str,
    meta(
        "Which player it is for.",
        normalise=_trimmed,
        min_length=1,
        max_length=LONGEST_NAME,
        example="Kitchen radio",
    ),
]
TokenId = Annotated[str, meta("The id of a token.", pattern="^[0-9]{1,18}$", example="7")]


class Token(Struct):
    """`prefix`: how its text begins. `expired`: it opens nothing any more."""

    id: str
    name: str
    prefix: str
    created_at: datetime
    expires_at: datetime | None
    expired: bool


class Tokens(Struct):
    tokens: list[Token]


class TokenIssued(Struct):
    """`text` is the token itself: it is shown here and nowhere else."""

    status: Success
    token: Token
    text: str


class TokenRevoked(Struct):
    status: Success


class TokenBody(Struct):
    """Without `expires_at` it opens what it opens until it is revoked."""

    name: TokenName
    expires_at: Time | None = None


class TokenPath(Struct):
    token_id: TokenId


BODY = Body(TokenBody)


class TokensView(View):
    scopes = {"GET": SCOPE, "POST": SCOPE}

    @operation("List play tokens", answers={200: Tokens})
    def get(self, request: Request) -> HttpResponse:
        """The user's tokens, the oldest first; their texts are stored nowhere."""
        position = answers.account_position(request)
        moment = now()
        listed = PlayToken.objects.filter(user_id=caller_of(request).user_id).order_by("id")
        return answers.answer(Tokens([_shown(token, moment) for token in listed]), position)

    @operation("Make a play token", body=TokenBody, answers={201: TokenIssued})
    def post(self, request: Request) -> HttpResponse:
        """At most 100 (422 `too_many_tokens`). A repeat under the same Idempotency-Key shows the text again
        and makes no second token."""
        body = BODY.read(request)
        user_id = caller_of(request).user_id
        identity = parameters.command_id(request._request, body)
        position = log.head()
        if identity is None:
            token, text = _issue(User(pk=user_id), body, now())
            return answers.answer(TokenIssued("success", token, text), position, 201)
        text = PlayToken.text_of(user_id, identity.key)
        issued = TokenIssued("success", _issued_once(User(pk=user_id), body, identity, text), text)
        return answers.answer(issued, position, 201)


class TokenView(View):
    scopes = {"DELETE": SCOPE}

    @operation("Revoke a play token", path=TokenPath, answers={200: TokenRevoked})
    def delete(self, request: Request, token_id: str) -> HttpResponse:
        """It opens nothing from the next request on. A token with a `jti` is accepted here once."""
        wanted = parameters.named(TokenPath, token_id=token_id).token_id
        return answers.write_account(request, TokenRevoked("success"), lambda: _revoke(request, int(wanted)))


def _issue(user: User, body: TokenBody, moment: datetime, text: str | None = None) -> tuple[Token, str]:
    """Raises ``Invalid``, ``Refused``, and ``IntegrityError`` for a text that is issued already."""
    if body.expires_at is not None and body.expires_at <= moment:
        raise Invalid([Fault("invalid", "Not in the future.", "expires_at")])
    if PlayToken.objects.filter(user=user).count() >= MOST_TOKENS:
        raise Refused(f"There are {MOST_TOKENS} tokens already: revoke one first.", "too_many_tokens")
    token, text = PlayToken.objects.issue(user, body.name, moment, body.expires_at, text)
    return _shown(token, moment), text


def _issued_once(user: User, body: TokenBody, identity: CommandId, text: str) -> Token:
    """The token of an Idempotency-Key, made the first time. What is kept of the answer is without its text.

    Raises ``CommandIdReused`` where the key stands for another request, and as ``_issue`` does.
    """
    stream = log.stream_of(user.pk)
    earlier = log.remembered_command(stream, identity.key)
    if earlier is not None:
        if earlier.fingerprint != identity.fingerprint:
            raise CommandIdReused
        return msgspec.json.decode(earlier.answer, type=Token)
    moment = now()
    try:
        token, _ = _issue(user, body, moment, text)
    except IntegrityError:
        # its twin was quicker
        token = _shown(PlayToken.objects.get(token_hash=PlayToken.digest(text)), moment)
    with suppress(CommandAlreadyRecorded):
        log.remember_command(stream, identity, log.head(), 0, msgspec.json.encode(token))
    return token


def _revoke(request: Request, token_id: int) -> None:
    caller = caller_of(request)
    grants.spend(caller)
    deleted, _ = PlayToken.objects.filter(user_id=caller.user_id, pk=token_id).delete()
    if not deleted:
        raise NotFound("No such token.")


def _shown(token: PlayToken, moment: datetime) -> Token:
    return Token(
        id=str(token.pk),
        name=token.name,
        prefix=token.prefix,
        created_at=token.created_at,
        expires_at=token.expires_at,
        expired=token.expires_at is not None and token.expires_at <= moment,
    )


paths = [
    path("tokens", TokensView.as_view()),
    path("tokens/<path:token_id>", TokenView.as_view()),
]
