"""/search: podcasts, episodes, public playlists and people that this server knows."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.models import User
from feeds.search import Sight
from web import search_results
from web.forms import SearchForm
from web.read_your_writes import caught_up
from web.search_results import Results
from web.shortcuts import for_listeners, is_partial

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
    seen, words, kind = search_results.sight_of(user), wanted["q"], wanted["kind"]
    if not kind:
        parts = _few_of_each(user, seen, words)
        return {"parts": parts, "is_empty": not any(part.lines for part in parts.values())}
    finders: dict[str, Callable[[str, int], Results]] = {
        "podcasts": lambda after, limit: search_results.podcasts(seen, words, after, limit),
        "episodes": lambda after, limit: search_results.episodes(user.pk, seen, words, after, limit),
        "playlists": lambda after, limit: search_results.playlists(words, after, limit),
        "people": lambda after, limit: search_results.people(words, after, limit),
    }
    part = finders[kind](wanted["after"], PAGE)
    return {
        "parts": {kind: part},
        "is_empty": not part.lines,
        "following": form.address("/search", after=part.following) if part.following else "",
        "first": form.address("/search") if wanted["after"] else "",
    }


def _few_of_each(user: User, seen: Sight, words: str) -> dict[str, Results]:
    podcasts, episodes = search_results.podcasts_and_episodes(user.pk, seen, words, FEW)
    playlists, people = search_results.playlists_and_people(words, FEW)
    return {"podcasts": podcasts, "episodes": episodes, "playlists": playlists, "people": people}
