"""What a podcast app requested recently and how it was answered: pages below /apps, and their texts."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final, NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, ngettext_lazy
from django.views.decorators.http import require_safe

from accounts import app_log
from accounts.app_log import Entry
from accounts.app_models import AppPassword, AppSession
from accounts.models import User
from web.humanize import shortened
from web.shortcuts import for_listeners

# by ``Entry.what``: an icon, and the request in words
WHAT: Final[dict[str, tuple[str, str | Promise]]] = {
    "signed_in": ("log-in", gettext_lazy("Signed in")),
    "signed_out": ("log-out", gettext_lazy("Signed out")),
    "sent_device": ("smartphone", gettext_lazy("Told what its device is called")),
    "asked_devices": ("smartphone", gettext_lazy("Asked for the list of devices")),
    "sent_podcasts": ("upload", gettext_lazy("Sent podcasts to follow or unfollow")),
    "asked_podcasts": ("download", gettext_lazy("Asked which podcasts changed")),
    "sent_list": ("upload", gettext_lazy("Sent its whole list of podcasts")),
    "asked_list": ("download", gettext_lazy("Asked for the whole list of podcasts")),
    "asked_updates": ("download", gettext_lazy("Asked for podcasts and new episodes")),
    "sent_actions": ("upload", gettext_lazy("Sent what was done with episodes")),
    "asked_actions": ("download", gettext_lazy("Asked what was done with episodes")),
    "sent_settings": ("settings", gettext_lazy("Sent its settings")),
    "asked_settings": ("settings", gettext_lazy("Asked for its settings")),
    "asked_favourites": ("bookmark", gettext_lazy("Asked for saved episodes")),
    "asked_suggestions": ("compass", gettext_lazy("Asked for suggestions")),
    "wrong_password": ("circle-alert", gettext_lazy("Refused: the password was wrong")),
    "refused": ("circle-alert", gettext_lazy("Refused")),
    "other": ("arrow-down-up", gettext_lazy("Asked for something else")),
}
REFUSED: Final = {
    400: gettext_lazy("Refused: the request could not be understood"),
    404: gettext_lazy("Refused: there is no such thing here"),
    413: gettext_lazy("Refused: it was too much for one request"),
    429: gettext_lazy("Refused: too many requests in a short time"),
    503: gettext_lazy("Not answered: the server was busy"),
}
WRONG_PASSWORD: Final = gettext_lazy(
    "It came from something that calls itself like this app. If it is yours, make an app password and put it"
    " in."
)
# why something was left out
REASONS: Final = {
    "scheme": gettext_lazy("not an http or https address"),
    "too_short": gettext_lazy("too short for an address"),
    "too_long": gettext_lazy("the address is too long"),
    "credentials": gettext_lazy("the address has a password in it"),
    "control_characters": gettext_lazy("characters that no address has"),
    "invalid_host": gettext_lazy("the address names no server"),
    "not_a_string": gettext_lazy("not an address"),
    "not_an_object": gettext_lazy("not an action"),
    "unknown_action": gettext_lazy("an action that is not known here"),
    "no_episode": gettext_lazy("no episode is named"),
    "bad_number": gettext_lazy("a time in the episode is no whole number of seconds"),
    "bad_time": gettext_lazy("the date cannot be read"),
    "guid_too_long": gettext_lazy("the name of the episode is too long"),
}
# the counts of ``Entry``, in this order
SENT: Final = {
    "plays": ngettext_lazy("%(count)s play", "%(count)s plays", "number"),
    "others": ngettext_lazy("%(count)s other action", "%(count)s other actions", "number"),
    "came": ngettext_lazy("%(count)s podcast", "%(count)s podcasts", "number"),
    "new": ngettext_lazy("%(count)s of them new", "%(count)s of them new", "number"),
    "known": ngettext_lazy("%(count)s of them known already", "%(count)s of them known already", "number"),
    "added": ngettext_lazy("%(count)s now followed", "%(count)s now followed", "number"),
    "removed": ngettext_lazy("%(count)s unfollowed", "%(count)s unfollowed", "number"),
    "held": ngettext_lazy(
        "%(count)s waits for your answer on Podcasts", "%(count)s wait for your answer on Podcasts", "number"
    ),
}
ASKED: Final = {
    "added": ngettext_lazy("%(count)s to follow", "%(count)s to follow", "number"),
    "removed": ngettext_lazy("%(count)s to unfollow", "%(count)s to unfollow", "number"),
    "sent": ngettext_lazy("%(count)s sent", "%(count)s sent", "number"),
}
POLLS: Final = frozenset({"asked_podcasts", "asked_actions", "asked_updates"})


class LogLine(NamedTuple):
    """A log line in words. ``skipped``: what was left out, each with the reason or "";
    ``advice``: what to do about it."""

    icon: str
    what: str
    skipped: list[tuple[str, str]]
    more: int
    times: int
    first: datetime
    last: datetime
    advice: str
    is_refusal: bool


class Program(NamedTuple):
    """A program that signed in with the account's own password. ``key`` identifies it in its page's address;
    ``trouble`` says how its last request was refused, or is ""."""

    key: str
    name: str
    trouble: str


@require_safe
@for_listeners
def of_password(request: HttpRequest, user: User, password_id: UUID) -> HttpResponse:
    """Show the requests of the app that uses an app password."""
    row = get_object_or_404(AppPassword, user=user, pk=password_id)
    app = app_log.app_of(row.pk, "")
    known = app_log.apps(user.pk).get(app)
    name = row.name or _("Unnamed app password")
    return _page(request, user, app, name, known.agent if known else "")


@require_safe
@for_listeners
def of_program(request: HttpRequest, user: User, program: str) -> HttpResponse:
    """Show the requests of an app that signed in with the account's own password,
    given by its ``Program.key``."""
    for known in programs(user.pk, app_log.apps(user.pk)):
        if known.key == program:
            return _page(request, user, f"a:{program}", known.name, known.name)
    raise Http404


def programs(user_id: UUID, known: Mapping[str, app_log.App]) -> list[Program]:
    """Return the apps that sign in, or recently did, with the account's own password,
    the most recently used first."""
    sessions = AppSession.objects.filter(user_id=user_id, password=None).order_by("-used_at")
    names = {app_log.app_of(None, agent): agent for agent in sessions.values_list("agent", flat=True)}
    names |= {app: each.agent for app, each in known.items() if app.startswith("a:")}
    return [
        Program(app.removeprefix("a:"), agent or _("Unknown app"), trouble(known.get(app)))
        for app, agent in names.items()
    ]


def trouble(app: app_log.App | None) -> str:
    """Return how the last request of an app was refused, or ""."""
    if app is None or app.newest is None or app.newest.entry.status < 400:
        return ""
    return _shown(app.newest).what


def _page(request: HttpRequest, user: User, app: str, name: str, agent: str) -> HttpResponse:
    context = {
        "name": name,
        "lines": [_shown(line) for line in app_log.read(user.pk, app, timezone.now())],
        "history": f"/history?{urlencode({'device': f'd:{agent}'})}" if agent else "/history",
    }
    return render(request, "web/apps/requests.html", context)


def _shown(line: app_log.CountedEntry) -> LogLine:
    entry = line.entry
    icon, what = WHAT.get(entry.what, WHAT["other"])
    if entry.what == "refused":
        what = REFUSED.get(entry.status, what)
    parts = [text for text in _parts(entry) if text]
    skipped = [(shortened(sent), str(REASONS.get(why, why))) for sent, why in entry.skipped]
    return LogLine(
        icon,
        _("%(what)s: %(figures)s") % {"what": what, "figures": ", ".join(parts)} if parts else str(what),
        skipped,
        entry.skipped_beside,
        line.times,
        line.first,
        line.last,
        str(WRONG_PASSWORD) if entry.what == "wrong_password" else "",
        entry.status >= 400,
    )


def _parts(entry: Entry) -> Iterator[str]:
    """Yield the figures of a request: what it contained, and the outcome."""
    for name, words in (SENT if entry.what.startswith("sent_") else ASKED).items():
        if count := entry.counts.get(name):
            yield words % {"count": number_format(count), "number": count}
    if left_out := len(entry.skipped) + entry.skipped_beside if entry.status < 400 else 0:
        text = ngettext("%(count)s left out", "%(count)s left out", left_out)
        yield text % {"count": number_format(left_out)}
    if entry.what in POLLS and not entry.counts:
        yield _("nothing new")
