"""The apps that a user has let in. Every app sees and can revoke itself; with the scope `user`, all of
them."""

from datetime import datetime
from uuid import UUID

from django.urls import path
from msgspec import Struct
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import grants
from accounts.models import AppGrant
from accounts.scopes import allows
from api import answers
from api.answers import Done
from api.auth import ANY_GRANT, HasScope, caller_of, needs
from api.operations import operation
from api.views import View

ALL = "user"


class App(Struct):
    """An app with what it was granted. `image` is null while few people use the app."""

    app_id: str
    name: str
    url: str | None
    image: str | None
    fingerprint: str
    scopes: list[str]
    created_at: datetime
    updated_at: datetime
    current: bool


class Apps(Struct):
    apps: list[App]


class AppPath(Struct):
    app_id: str


class AppsView(View):
    scopes = {"GET": ANY_GRANT}

    @operation("List apps", answers={200: Apps})
    def get(self, request: Request) -> Response:
        """The apps that the user has let in; without the scope `user`, only the calling app."""
        caller = caller_of(request)
        position = answers.account_position(request)
        apps = listed_apps(caller.user_id, caller.app_id)
        if not allows(caller.scopes, ALL):
            apps = [app for app in apps if app.current]
        return answers.answer(Apps(apps), position)


class AppView(View):
    scopes = {"DELETE": ANY_GRANT}

    @operation("Revoke an app", answers={200: Done}, once=True)
    def delete(self, request: Request, path: AppPath) -> Response:
        """The app's tokens are refused from the next request on. Without the scope `user`, an app can only
        revoke itself."""
        caller = caller_of(request)
        if path.app_id != caller.app_id and not allows(caller.scopes, ALL):
            raise PermissionDenied(needs(ALL), HasScope.code)

        def revoke() -> None:
            if not grants.revoke(caller.user_id, path.app_id):
                raise NotFound("No such app.")

        return answers.answer_once(request, Done("success"), revoke)


def listed_apps(user_id: UUID, calling: str) -> list[App]:
    """Return the apps that a user has let in; ``calling`` is the id of the app that asks, or ""."""
    return [_shown(grant, calling) for grant in grants.list_grants(user_id)]


def _shown(grant: AppGrant, calling: str) -> App:
    return App(
        app_id=grant.app_id,
        name=grant.name,
        url=grant.url or None,
        image=grant.image if grant.shows_image and grant.image else None,
        fingerprint=grant.fingerprint,
        scopes=list(grant.scopes),
        created_at=grant.created_at,
        updated_at=grant.updated_at,
        current=grant.app_id == calling,
    )


paths = [
    path("apps", AppsView.as_view()),
    path("apps/<path:app_id>", AppView.as_view()),
]
