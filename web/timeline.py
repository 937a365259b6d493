"""/timeline: what listeners of this server do in public, the newest first."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from accounts.models import User
from projections import public
from projections.public import PublicRow
from projections.queries import Behind, InvalidCursor
from web.acting import for_listeners
from web.forms import TimelineForm
from web.public import HIDDEN, Known, followed_by, for_everybody, hidden_from, known_of, usernames
from web.shown import Episode, Podcast

PAGE = 40
# an icon, and what somebody did, whose name goes in the sentence; and whom nobody is told
ACTS: Final[dict[str, tuple[str, str | Promise, str | Promise]]] = {
    "subscribe": (
        "circle-plus",
        gettext_lazy("%(name)s follows a podcast"),
        gettext_lazy("Somebody follows a podcast"),
    ),
    "play": ("play", gettext_lazy("%(name)s listened"), gettext_lazy("Somebody listened")),
    "save": (
        "bookmark",
        gettext_lazy("%(name)s saved an episode"),
        gettext_lazy("Somebody saved an episode"),
    ),
    "share": (
        "share-2",
        gettext_lazy("%(name)s shared an episode"),
        gettext_lazy("Somebody shared an episode"),
    ),
}


class Act(NamedTuple):
    """``what``: who did what, in words. ``episode`` is None where a podcast is followed."""

    icon: str
    what: str
    happened_at: datetime
    podcast: Podcast
    episode: Episode | None
    is_followed: bool


@require_safe
@for_everybody
def timeline(request: HttpRequest) -> HttpResponse:
    """A page of it; ``kind`` is what is shown, ``after`` goes on."""
    form = TimelineForm(request.GET)
    if not form.is_valid():
        raise BadRequest
    wanted = form.cleaned_data
    hidden = hidden_from(request)
    try:
        rows, following = public.timeline(PAGE, wanted["kind"] or None, None, wanted["after"] or None, hidden)
    except Behind:
        return render(request, "web/discovery/timeline.html", {"form": form, "is_late": True})
    except InvalidCursor:
        raise BadRequest from None
    context = {
        "form": form,
        "acts": _acts(request, rows),
        "hidden": len(hidden),
        "searched": wanted["kind"],
        "following": form.address("/timeline", after=following) if following else "",
        "first": form.address("/timeline") if wanted["after"] else "",
    }
    return render(request, "web/discovery/timeline.html", context)


@require_POST
@for_listeners
def show_all(request: HttpRequest, user: User) -> HttpResponse:
    """See all podcasts again that this listener hides from lists of others."""
    request.session.pop(HIDDEN, None)
    return redirect("/timeline")


def _acts(request: HttpRequest, rows: Sequence[PublicRow]) -> list[Act]:
    """Without those of accounts that are gone or switched off, which are not told as somebody's either."""
    names = usernames(row.user_id for row in rows if row.user_id is not None)
    seen = [row for row in rows if row.user_id is None or row.user_id in names]
    known = known_of(seen)
    followed = followed_by(request.user, known.feeds)
    acts = (_act(row, names.get(row.user_id) if row.user_id else None, known, followed) for row in seen)
    return [act for act in acts if act is not None]


def _act(row: PublicRow, name: str | None, known: Known, followed: set[str]) -> Act | None:
    """None where nobody may know of its podcast, or nothing is known."""
    podcast = known.podcast(row)
    episode = None if row.rss_source_item is None else known.episode(row)
    if podcast is None or (row.rss_source_item is not None and episode is None):
        return None
    icon, by_name, by_somebody = ACTS[row.kind]
    what = str(by_somebody) if name is None else by_name % {"name": name}
    return Act(icon, what, row.happened_at, podcast, episode, row.rss_source_feed in followed)
