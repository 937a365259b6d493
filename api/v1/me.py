"""Who am I: the first call of a new client."""

from typing import Annotated
from uuid import UUID

from django.urls import path
from msgspec import Struct
from rest_framework.request import Request
from rest_framework.response import Response

from api import answers
from api.auth import ANY_GRANT, caller_of
from api.fields import meta
from api.operations import operation
from api.views import View

Scopes = Annotated[list[str], meta("What the user has granted.", example=["user.plays", "user.sync"])]


class Me(Struct):
    user_id: UUID
    username: str
    app_id: str
    scopes: Scopes
    device_id: str | None


class MeView(View):
    scopes = {"GET": ANY_GRANT}

    @operation("Who am I", answers={200: Me})
    def get(self, request: Request) -> Response:
        """The user and the app that the token stands for, and what the app may do."""
        caller = caller_of(request)
        me = Me(caller.user_id, caller.username, caller.app_id, sorted(caller.scopes), caller.device_id)
        return answers.answer(me, answers.account_position(request))


paths = [path("me", MeView.as_view())]
