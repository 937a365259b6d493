"""/trending/…: the podcasts and episodes that are heard here in public, the most popular first."""

from collections.abc import Callable, Sequence
from typing import NamedTuple
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from accounts import profiles
from accounts.models import User
from eventstore import log
from eventstore.domain.identifiers import feed_key_of, key_of
from feeds import search
from feeds.search import Among
from projections import public
from projections.public import Popular
from projections.queries import Behind
from web import people
from web.addresses import in_path
from web.caching import has, keep, kept
from web.display import Episode, Podcast
from web.forms import TrendingForm
from web.people import Person
from web.public import PublicTitles, followed_by, for_everybody, hidden_from, hide, known_of
from web.shortcuts import came_from, for_listeners, is_partial
from web.toasts import render_toasts, tell

SHOWN = 50
NAMED = 3
KEPT_S = 30
# seconds for which requests do not wait again for a read model that lags
LATE_S = 5

Read = Callable[..., list[Popular]]


class PodcastLine(NamedTuple):
    """A podcast in a list. ``says``: its figures in words. ``people``: listeners
    who want to be shown with it."""

    podcast: Podcast
    says: str
    people: list[Person]
    is_followed: bool = False


class EpisodeLine(NamedTuple):
    episode: Episode
    says: str
    people: list[Person]


@require_safe
@for_everybody
def podcasts(request: HttpRequest) -> HttpResponse:
    """Show the most popular podcasts, filtered by ``category``, ``language`` and ``period``."""
    form, found = _found(request, public.trending_podcasts)
    context = {"form": form, "lines": podcast_lines(request, found or []), "is_late": found is None}
    name = "_podcasts" if is_partial(request, "found") else "podcasts"
    return render(request, f"web/discovery/{name}.html", context)


@require_safe
@for_everybody
def episodes(request: HttpRequest) -> HttpResponse:
    """Show the most popular episodes, with the same filters."""
    form, found = _found(request, public.trending_episodes)
    context = {"form": form, "lines": _episode_lines(request, found or []), "is_late": found is None}
    name = "_episodes" if is_partial(request, "found") else "episodes"
    return render(request, f"web/discovery/{name}.html", context)


@require_POST
@for_listeners
def hide_podcast(request: HttpRequest, user: User, feed: str) -> HttpResponse:
    """Hide a podcast from this listener in public lists."""
    hide(user, feed, hidden=True)
    undo = f"/podcasts/{in_path(feed)}/show"
    tell(request, _("You do not see this podcast here any more."), undo=undo)
    if is_partial(request):
        return HttpResponse(render_toasts(request))
    return redirect(came_from(request, "/trending/podcasts"))


@require_POST
@for_listeners
def show_podcast(request: HttpRequest, user: User, feed: str) -> HttpResponse:
    """Show a hidden podcast again."""
    hide(user, feed, hidden=False)
    return redirect(came_from(request, "/trending/podcasts"))


def trending(read: Read, among: Among = search.ALL, *, recent: bool = False) -> list[Popular] | None:
    """Return what is popular, cached for some seconds unless somebody hides something;
    None if the read model lags.

    ``read`` is a function of ``projections.public``.
    """
    asked = f"{read.__name__} {recent} {among.language} {among.categories} {log.privacy_fence()}"
    late = f"late:{read.__name__}"

    def make() -> list[Popular]:
        keys = None if among == search.ALL else search.public_feed_keys(among)
        return read(SHOWN, None, keys, recent=recent)

    if has(late):
        return None
    try:
        return kept(f"trending:{key_of(asked)}", KEPT_S, make)
    except Behind:
        keep(late, True, LATE_S)
        return None


def podcast_lines(request: HttpRequest, found: Sequence[Popular]) -> list[PodcastLine]:
    """Return the lines for podcasts, without those that the reader has hidden, and
    those that were never fetched."""
    found, known = _to_show(request, found)
    followed = followed_by(request.user, known.feeds)
    people_of = _people(found)
    return [
        PodcastLine(podcast, _figures(one), people_of(one), podcast.feed in followed)
        for one in found
        if (podcast := known.podcast(one)) is not None
    ]


def _episode_lines(request: HttpRequest, found: Sequence[Popular]) -> list[EpisodeLine]:
    found, known = _to_show(request, found)
    people_of = _people(found)
    return [
        EpisodeLine(episode, _figures(one), people_of(one))
        for one in found
        if (episode := known.episode(one)) is not None
    ]


def _found(request: HttpRequest, read: Read) -> tuple[TrendingForm, list[Popular] | None]:
    form = TrendingForm(request.GET)
    wanted = form.cleaned_data if form.is_valid() else form.defaults
    names = search.category_names(wanted["category"]) if wanted["category"] else None
    among = Among(names, wanted["language"] or None)
    if names == []:  # a category that no feed has
        return form, []
    return form, trending(read, among, recent=wanted["period"] == "week")


def _to_show(request: HttpRequest, found: Sequence[Popular]) -> tuple[list[Popular], PublicTitles]:
    """Return what the reader has not hidden, with what is known about it."""
    hidden = set(hidden_from(request))
    seen = [one for one in found if UUID(feed_key_of(one.rss_source_feed or "")) not in hidden]
    return seen, known_of(seen)


def _people(found: Sequence[Popular]) -> Callable[[Popular], list[Person]]:
    known = profiles.people(user_id for one in found for user_id in one.people)
    seen = {user_id: people.shown_as(person) for user_id, person in known.items()}
    return lambda one: [seen[user_id] for user_id in one.people if user_id in seen][:NAMED]


def _figures(one: Popular) -> str:
    """Return the figures in words: ``12 followers · 40 plays``."""
    counts = [
        (one.subscribers, ngettext("%(count)s follower", "%(count)s followers", one.subscribers)),
        (one.plays, ngettext("%(count)s play", "%(count)s plays", one.plays)),
        (one.likes, ngettext("saved %(count)s time", "saved %(count)s times", one.likes)),
        (one.shares, ngettext("shared %(count)s time", "shared %(count)s times", one.shares)),
    ]
    return " · ".join(text % {"count": number_format(count)} for count, text in counts if count)
