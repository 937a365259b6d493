"""The settings of an account: an overview, and erasing the account."""

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Final, NamedTuple

from django.conf import settings
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_safe

from accounts import erasure, sessions
from accounts.forms import EraseForm
from accounts.login_limits import KNOWN_BROWSER
from accounts.models import User
from accounts.pages import read_or_post
from projections.erasure import erase_history
from projections.failures import is_outage
from web.password_attempts import too_many_tries
from web.privacy_levels import Text
from web.shortcuts import for_listeners

logger = logging.getLogger(__name__)

# what the receipt of an erasure calls the rows of a table
KINDS: Final[Mapping[str, Text]] = {
    "accounts": gettext_lazy("Account"),
    "subscriptions": gettext_lazy("Podcasts"),
    "play_statuses": gettext_lazy("Episodes begun or played"),
    "saved_episodes": gettext_lazy("Saved episodes"),
    "playlists": gettext_lazy("Playlists"),
    "collections": gettext_lazy("Collections"),
    "devices": gettext_lazy("Devices"),
    "app_grants": gettext_lazy("Apps"),
    "app_passwords": gettext_lazy("App passwords"),
    "play_tokens": gettext_lazy("Addresses for players"),
    "events": gettext_lazy("Entries of the history"),
}
OTHERS: Final = gettext_lazy("Other entries")


class SettingsRow(NamedTuple):
    """A page of the settings, with the current value of what is set there."""

    path: str
    icon: str
    label: str
    value: str


@require_safe
@for_listeners
def account(request: HttpRequest, user: User) -> HttpResponse:
    """Show the list of settings with their current values."""
    browsers = len(sessions.sessions_of(user.pk, timezone.now()))
    logged_in = ngettext("%(count)s browser", "%(count)s browsers", browsers) % {"count": browsers}
    rows = [
        SettingsRow("/settings/email", "mail", _("E-mail address"), _address(user)),
        SettingsRow("/settings/password", "key-round", _("Password"), _("Change it")),
        SettingsRow("/settings/preferences", "languages", _("Language and times"), _languages(user)),
        SettingsRow("/settings/sessions", "monitor-smartphone", _("Where you are logged in"), logged_in),
        SettingsRow("/settings/data", "database", _("Your data"), _("Take it out, bring it along")),
        SettingsRow(
            "/settings/erase", "trash-2", _("Erase the account"), _("With everything that belongs to it")
        ),
    ]
    return render(request, "web/account/account.html", {"rows": rows})


@sensitive_post_parameters()
@read_or_post
@for_listeners
def erase(request: HttpRequest, user: User) -> HttpResponse:
    """Ask for the password, and erase the account."""
    if request.method != "POST":
        return _page(request, user, EraseForm(user))
    if refusal := too_many_tries(request, user):
        return refusal
    form = EraseForm(user, request.POST)
    return _erase(request, user) if form.is_valid() else _page(request, user, form, status=400)


def _address(user: User) -> str:
    if user.new_email:
        return _("%(address)s, not confirmed yet") % {"address": user.new_email}
    return user.email or _("None")


def _languages(user: User) -> str:
    language = dict(settings.LANGUAGES).get(user.language) or _("As my browser asks")
    return f"{language} · {user.time_zone.replace('_', ' ')}" if user.time_zone else language


def _page(request: HttpRequest, user: User, form: EraseForm, status: int = 200) -> HttpResponse:
    others = User.objects.filter(is_superuser=True, is_active=True).exclude(pk=user.pk)
    shown = {"form": form, "last_administrator": user.is_superuser and not others.exists()}
    return render(request, "web/account/erase.html", shown, status=status)


def _erase(request: HttpRequest, user: User) -> HttpResponse:
    user_id = user.pk
    erasure.begin(user_id, timezone.now())
    logout(request)
    try:
        counts = erasure.complete(user_id, erase_history)
    except Exception as failure:
        if not is_outage(failure):
            raise
        logger.warning("An erasure was interrupted, and goes on later: %s", type(failure).__name__)
        page = render(request, "web/account/erasing.html")
    else:
        page = render(request, "web/account/erased.html", {"receipt": _receipt(counts)})
    page.delete_cookie(KNOWN_BROWSER)
    return page


def _receipt(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return how much was erased, in words that its listener knows; ``counts`` are by table."""
    found: Counter[str] = Counter()
    for table, count in counts.items():
        found[str(KINDS.get(table.rpartition(".")[2], OTHERS))] += count
    in_order = dict.fromkeys(str(words) for words in (*KINDS.values(), OTHERS))
    return [(words, found[words]) for words in in_order if found[words]]
