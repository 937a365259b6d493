"""/apps: everything that may act for a listener, with one section for each kind,
and what was refused recently."""

from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts import refusals
from accounts.models import User
from accounts.refusals import Refusal
from accounts.scopes import WORDS
from web import app_grants, app_passwords, play_tokens
from web.shortcuts import for_listeners


class Refused(NamedTuple):
    """A refusal in words for display."""

    name: str
    why: str
    refusal: Refusal


@require_safe
@for_listeners
def access(request: HttpRequest, user: User) -> HttpResponse:
    """Show every section of the page. Each kind has a module that lists it, and
    a template in ``web/apps/``."""
    now = timezone.now()
    apps = app_grants.listed(user.pk)
    tokens = play_tokens.listed(user.pk, now)
    names = {(refusals.APP, app.grant.app_id): app.grant.name for app in apps}
    names |= {(refusals.TOKEN, str(token.row.pk)): token.row.name for token in tokens}
    context = {
        "apps": apps,
        "passwords": app_passwords.listed(user),
        "tokens": tokens,
        "refused": _refused(user.pk, names),
        "instance": settings.PUBLIC_URL,
    }
    return render(request, "web/apps/apps.html", context)


def _refused(user_id: UUID, names: dict[tuple[str, str], str]) -> list[Refused]:
    """Return the recent refusals of apps and tokens that still have access; those
    of revoked ones are left out."""
    found = refusals.listed(user_id, timezone.now())
    return [
        Refused(names[each.kind, each.who], _why(each), each)
        for each in found
        if (each.kind, each.who) in names
    ]


def _why(refusal: Refusal) -> str:
    if refusal.reason == refusals.TOO_MANY:
        return _("It sent too many requests in a short time.")
    wanted = WORDS.get(refusal.reason, refusal.reason)
    return _("It may not do this: %(scope)s.") % {"scope": wanted}
