"""/search: podcasts, episodes, public playlists and people that this server knows."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.models import User
from feeds.search import Sight
from web import finding
from web.acting import for_listeners, is_partial
from web.finding import Found
from web.forms import SearchForm
from web.reading import caught_up

# results of each kind when all kinds are shown, and when only one is
FEW: Final = 5
PAGE: Final = 30


@require_safe
@for_listeners
def search(request: HttpRequest, user: User) -> HttpResponse:
    """Search for ``q`` among the results of ``kind``; without a kind, show a few of
    each. ``after`` is the cursor."""
    form = SearchForm(request.GET)
    if not form.is_valid():
        return render(request, "web/search/search.html", {"form": form}, status=400)
    wanted = form.cleaned_data
    context: dict[str, Any] = {"form": form, "searched": wanted["q"], "kind": wanted["kind"]}
    if wanted["q"]:
        with caught_up(request, "subscriptions", "plays"):
            context |= _found(user, form, wanted)
    name = "_found" if is_partial(request, "found") else "search"
    return render(request, f"web/search/{name}.html", context)


def _found(user: User, form: SearchForm, wanted: Mapping[str, str]) -> dict[str, Any]:
    seen, words, kind = finding.sight_of(user), wanted["q"], wanted["kind"]
    if not kind:
        parts = _few_of_each(user, seen, words)
        return {"parts": parts, "is_empty": not any(part.lines for part in parts.values())}
    finders: dict[str, Callable[[str, int], Found]] = {
        "podcasts": lambda after, limit: finding.podcasts(seen, words, after, limit),
        "episodes": lambda after, limit: finding.episodes(user.pk, seen, words, after, limit),
        "playlists": lambda after, limit: finding.playlists(words, after, limit),
        "people": lambda after, limit: finding.people(words, after, limit),
    }
    part = finders[kind](wanted["after"], PAGE)
    return {
        "parts": {kind: part},
        "is_empty": not part.lines,
        "following": form.address("/search", after=part.following) if part.following else "",
        "first": form.address("/search") if wanted["after"] else "",
    }


def _few_of_each(user: User, seen: Sight, words: str) -> dict[str, Found]:
    podcasts, episodes = finding.podcasts_and_episodes(user.pk, seen, words, FEW)
    playlists, people = finding.playlists_and_people(words, FEW)
    return {"podcasts": podcasts, "episodes": episodes, "playlists": playlists, "people": people}
