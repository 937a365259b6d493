"""Play tokens, which open feeds and plays to a player or a feed reader, and nothing else."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from django.db import IntegrityError
from django.urls import path
from msgspec import Struct
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import MOST_TOKENS, WHOLE_LISTS, PlayToken, User
from api import answers
from api.answers import Done, Success
from api.auth import caller_of
from api.clock import now
from api.errors import ApiError, FieldError, Invalid
from api.fields import Time, meta, trimmed
from api.operations import operation
from api.parameters import command_id
from api.views import View
from eventstore import log

SCOPE = "user.write"
LONGEST_NAME = 100
MOST_LISTS = 100


TokenName = Annotated[
    str,
    meta(
        "The player that the token is for.",
        normalise=trimmed,
        min_length=1,
        max_length=LONGEST_NAME,
        example="Kitchen radio",
    ),
]


def _lists(names: list[str]) -> list[str]:
    """Return each name once. Raises ``ValueError``."""
    return list(dict.fromkeys(name if name in WHOLE_LISTS else str(UUID(name)) for name in names))


ListName = Annotated[
    str,
    meta(
        "`subscriptions`, `saved`, `queue`, or the id of a playlist or a collection.",
        pattern="^(subscriptions|saved|queue|[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})$",
        example="subscriptions",
    ),
]
Lists = Annotated[
    list[ListName],
    meta("The lists that the token gives access to.", normalise=_lists, min_length=1, max_length=MOST_LISTS),
]
TokenId = Annotated[str, meta("The id of a token.", pattern="^[0-9]{1,18}$", example="7")]


class Token(Struct):
    """`prefix`: how its text begins. `expired`: it no longer opens anything. `lists`: null if it opens all
    lists. `last_used_at` is accurate to the hour; `plays`: how many plays it has recorded."""

    id: str
    name: str
    prefix: str
    created_at: datetime
    expires_at: datetime | None
    expired: bool
    lists: list[str] | None
    last_used_at: datetime | None
    plays: int


_TOKEN = msgspec.json.Decoder(Token).decode


class Tokens(Struct):
    tokens: list[Token]


class TokenIssued(Struct):
    """`text` is the token itself, which is shown only in this answer."""

    status: Success
    token: Token
    text: str


class TokenBody(Struct):
    """Without `expires_at` the token is valid until it is revoked. Limited to `lists`, it opens their feeds,
    and plays what these link to."""

    name: TokenName
    lists: Lists | None = None
    expires_at: Time | None = None


class TokenPath(Struct):
    token_id: TokenId


class TokensView(View):
    scopes = {"GET": SCOPE, "POST": SCOPE}

    @operation("List play tokens", answers={200: Tokens})
    def get(self, request: Request) -> Response:
        """The user's tokens, the oldest first; their texts are not stored."""
        position = answers.account_position(request)
        return answers.answer(Tokens(listed_tokens(caller_of(request).user_id)), position)

    @operation("Make a play token", answers={201: TokenIssued})
    def post(self, request: Request, body: TokenBody) -> Response:
        """At most 100 tokens (422 `too_many_tokens`). A repeat under the same Idempotency-Key shows the text
        again, and makes no second token."""
        user, position = User(pk=caller_of(request).user_id), log.head()
        identity = command_id(request)
        text = None if identity is None else PlayToken.text_of(user.pk, identity.key)
        earlier = answers.remembered(request)
        if earlier is not None and text is not None:
            token = _TOKEN(earlier.answer)
        else:
            token, text = _issue(user, body, now(), text)
            # the answer is kept without the text
            answers.remember(request, position, msgspec.json.encode(token))
        return answers.answer(TokenIssued("success", token, text), position, 201)


class TokenView(View):
    scopes = {"DELETE": SCOPE}

    @operation("Revoke a play token", answers={200: Done}, once=True)
    def delete(self, request: Request, path: TokenPath) -> Response:
        """The token opens nothing from the next request on."""

        def revoke() -> None:
            tokens = PlayToken.objects.filter(user_id=caller_of(request).user_id, pk=int(path.token_id))
            if not tokens.delete()[0]:
                raise NotFound("No such token.")

        return answers.answer_once(request, Done("success"), revoke)


def listed_tokens(user_id: UUID) -> list[Token]:
    """Return the user's tokens, the oldest first, without their texts."""
    moment = now()
    return [_shown(token, moment) for token in PlayToken.objects.filter(user_id=user_id).order_by("id")]


def _issue(user: User, body: TokenBody, moment: datetime, text: str | None) -> tuple[Token, str]:
    """Make a token; return it with its text, which is generated unless it is given. Raises ``Invalid``,
    ``ApiError``."""
    if body.expires_at is not None and body.expires_at <= moment:
        raise Invalid(FieldError("invalid", "Not in the future.", "expires_at"))
    if PlayToken.objects.filter(user=user).count() >= MOST_TOKENS:
        raise ApiError(422, "too_many_tokens", f"There are {MOST_TOKENS} tokens already: revoke one first.")
    try:
        token, text = PlayToken.objects.issue(user, body.name, moment, body.expires_at, text, body.lists)
    except IntegrityError:
        # a concurrent request with the same Idempotency-Key was quicker
        token = PlayToken.objects.get(token_hash=PlayToken.digest(str(text)))
    return _shown(token, moment), str(text)


def _shown(token: PlayToken, moment: datetime) -> Token:
    return Token(
        id=str(token.pk),
        name=token.name,
        prefix=token.prefix,
        created_at=token.created_at,
        expires_at=token.expires_at,
        expired=token.expires_at is not None and token.expires_at <= moment,
        lists=token.lists,
        last_used_at=token.last_used_at,
        plays=token.plays,
    )


paths = [
    path("tokens", TokensView.as_view()),
    path("tokens/<str:token_id>", TokenView.as_view()),
]
