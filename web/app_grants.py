"""The apps that a listener has authorised, on /apps: what each may do, and how to revoke it."""

from typing import NamedTuple
from urllib.parse import urlencode, urlsplit
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from accounts import grants
from accounts.models import AppGrant, User
from accounts.pages import read_or_post, spaced
from accounts.scopes import WORDS
from web.confirmation import ask
from web.play_tokens import answer_rename
from web.shortcuts import for_listeners
from web.toasts import tell


class App(NamedTuple):
    """An app with what its card shows; ``image`` is the address of its picture,
    or "" where it is not shown."""

    grant: AppGrant
    host: str
    image: str
    fingerprint: str
    words: list[str | Promise]

    @property
    def path_to_rename(self) -> str:
        return f"/apps/rename?{urlencode({'app_id': self.grant.app_id})}"

    @property
    def path_to_revoke(self) -> str:
        return f"/apps/revoke?{urlencode({'app_id': self.grant.app_id})}"


def listed(user_id: UUID) -> list[App]:
    """Return the apps of a listener, sorted by name."""
    return [_shown(grant) for grant in grants.list_grants(user_id)]


@read_or_post
@for_listeners
def rename(request: HttpRequest, user: User) -> HttpResponse:
    """Rename the app given by ``app_id`` in the address, until it is authorised
    again; a GET shows the form."""
    known = {grant.app_id: grant for grant in grants.list_grants(user.pk)}
    grant = known.get(request.GET.get("app_id", ""))
    return redirect("apps") if grant is None else answer_rename(request, grant, grant.name)


@read_or_post
@for_listeners
def revoke(request: HttpRequest, user: User) -> HttpResponse:
    """Revoke what was granted to ``app_id``; a GET asks for confirmation."""
    names = {grant.app_id: grant.name for grant in grants.list_grants(user.pk)}
    app_id = (request.POST if request.method == "POST" else request.GET).get("app_id", "")
    if app_id not in names:
        return redirect("apps")
    if request.method != "POST":
        return ask(
            request,
            heading=_("Revoke %(app)s?") % {"app": names[app_id]},
            text=_("It is shut out at once, on every device. To use it again, you let it in again."),
            action="/apps/revoke",
            fields={"app_id": app_id},
            label=_("Revoke"),
            back="/apps",
        )
    if grants.revoke(user.pk, app_id):
        tell(request, _("%(app)s is shut out from now on.") % {"app": names[app_id]})
    return redirect("apps")


def _shown(grant: AppGrant) -> App:
    return App(
        grant,
        urlsplit(grant.url).netloc,
        grant.image if grant.shows_image else "",
        spaced(grant.fingerprint),
        [WORDS[scope] for scope in grant.scopes if scope in WORDS],
    )
