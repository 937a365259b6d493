"""Who the caller is, the first call of a new client; and what its user has chosen."""

from typing import Annotated
from uuid import UUID

from django.urls import path
from msgspec import Struct
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import User
from api import answers
from api.auth import ANY_GRANT, caller_of
from api.fields import Flag, meta
from api.operations import operation
from api.views import View

Scopes = Annotated[
    list[str], meta("The scopes that the user has granted the app.", example=["user.plays", "user.sync"])
]


FollowMoves = Annotated[
    Flag,
    meta(
        "Whether subscriptions follow a feed that moves to another address. If not, `moved_to` gives the new"
        " address."
    ),
]


class Me(Struct):
    user_id: UUID
    username: str
    app_id: str
    scopes: Scopes
    device_id: str | None
    follow_moves: FollowMoves


class MeBody(Struct):
    follow_moves: FollowMoves


class MeView(View):
    scopes = {"GET": ANY_GRANT, "PATCH": "user.subscriptions.write"}

    @operation("Who am I", answers={200: Me})
    def get(self, request: Request) -> Response:
        """The user and the app that the token stands for, and what the app may do."""
        return answers.answer(_me(request, _follows_moves(request)), answers.account_position(request))

    @operation("Change what the user has chosen", answers={200: Me}, once=True)
    def patch(self, request: Request, body: MeBody) -> Response:
        """Applies to the user, not only to this app. Repeating it changes nothing."""

        def change() -> None:
            User.objects.filter(pk=caller_of(request).user_id).update(follow_moves=body.follow_moves)

        return answers.answer_once(request, _me(request, body.follow_moves), change)


def _me(request: Request, follow_moves: bool) -> Me:
    caller = caller_of(request)
    scopes = sorted(caller.scopes)
    return Me(caller.user_id, caller.username, caller.app_id, scopes, caller.device_id, follow_moves)


def _follows_moves(request: Request) -> bool:
    return User.objects.values_list("follow_moves", flat=True).get(pk=caller_of(request).user_id)


paths = [path("me", MeView.as_view())]
