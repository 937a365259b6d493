"""/timeline: what listeners of this server do in public, the newest first."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST, require_safe

from accounts import profiles
from accounts.models import User
from projections import public
from projections.public import PublicRow
from projections.queries import Behind
from web import activity_texts, people
from web.display import Episode, Podcast
from web.forms import TimelineForm
from web.public import PublicTitles, followed_by, for_everybody, hidden_from, known_of
from web.shortcuts import for_listeners

PAGE = 40
# the number of pages in which acts that can be shown are looked for
MOST_READ: Final = 4
# by kind of act: an icon, and what somebody did
ACTS: Final[dict[str, tuple[str, str | Promise]]] = {
    "subscribe": ("circle-plus", _("{who} follows a podcast")),
    "play": ("play", _("{who} listened")),
    "save": ("bookmark", _("{who} saved an episode")),
    "share": ("share-2", _("{who} shared an episode")),
}


class Act(NamedTuple):
    """A public act. ``what``: who did what, with a link to that person. ``episode`` is None if
    the act is following a podcast."""

    icon: str
    what: SafeString
    happened_at: datetime
    podcast: Podcast
    episode: Episode | None
    is_followed: bool


@require_safe
@for_everybody
def timeline(request: HttpRequest) -> HttpResponse:
    """Show a page of the timeline; ``kind`` filters it, ``after`` is the cursor."""
    form = TimelineForm(request.GET)
    if not form.is_valid():
        raise BadRequest
    wanted = form.cleaned_data
    hidden = hidden_from(request)
    try:
        acts, following = _page(request, wanted["kind"] or None, wanted["after"] or None, hidden)
    except Behind:
        return render(request, "web/discovery/timeline.html", {"form": form, "is_late": True})
    context = {
        "form": form,
        "acts": acts,
        "hidden": len(hidden),
        "searched": wanted["kind"],
        "following": form.address("/timeline", after=following) if following else "",
        "first": form.address("/timeline") if wanted["after"] else "",
    }
    return render(request, "web/discovery/timeline.html", context)


@require_POST
@for_listeners
def show_all(request: HttpRequest, user: User) -> HttpResponse:
    """Show all podcasts again that this listener has hidden from public lists."""
    user.hidden_podcasts = []
    user.save(update_fields=["hidden_podcasts"])
    return redirect("/timeline")


def _page(
    request: HttpRequest, kind: public.Kind | None, after: str | None, hidden: Sequence[UUID]
) -> tuple[list[Act], str | None]:
    """Return the acts of a page, and the cursor of the next. Where nothing of a page can be shown yet, as
    after the import of podcasts that are still to be fetched, a few more are read."""
    for _page_read in range(MOST_READ):
        rows, after = public.timeline(PAGE, kind, None, after, hidden)
        acts_found = _acts(request, rows)
        if acts_found or not after:
            break
    return acts_found, after


def _acts(request: HttpRequest, rows: Sequence[PublicRow]) -> list[Act]:
    """Return the acts without those of deleted or deactivated accounts, which are
    not shown anonymously either."""
    names = profiles.people(row.user_id for row in rows if row.user_id is not None)
    seen = [row for row in rows if row.user_id is None or row.user_id in names]
    known = known_of(seen)
    followed = followed_by(request.user, known.feeds)
    acts = (_act(row, names.get(row.user_id) if row.user_id else None, known, followed) for row in seen)
    return [act for act in acts if act is not None]


def _act(row: PublicRow, who: profiles.Person | None, known: PublicTitles, followed: set[str]) -> Act | None:
    """Return an act; None if its podcast or episode is not public, or nothing is known about it."""
    podcast = known.podcast(row)
    episode = None if row.rss_source_item is None else known.episode(row)
    if podcast is None or (row.rss_source_item is not None and episode is None):
        return None
    icon, sentence = ACTS[row.kind]
    what = format_html(str(sentence), who=_linked(who))
    return Act(icon, what, row.happened_at, podcast, episode, row.rss_source_feed in followed)


def _linked(who: profiles.Person | None) -> SafeString:
    if who is None:
        return format_html("<bdi>{}</bdi>", activity_texts.somebody())
    return format_html('<a href="{}"><bdi>{}</bdi></a>', people.shown_as(who).path, who.name)
