"""/subscriptions/new: find a podcast by the address of its feed or website, or by words, and
preview it before following."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.html import strip_tags
from django.utils.http import urlencode
from django.utils.text import Truncator

from accounts import attempts
from accounts.login_limits import too_many
from accounts.models import User
from accounts.pages import read_or_post
from eventstore.domain.identifiers import feed_of_url, url_of_feed
from eventstore.domain.secrets import is_secret_feed
from feeds import browsing, sites
from feeds.html import safe_html
from feeds.queries import feeds_of
from feeds.sites import Look
from jobs import documents
from projections import queries
from web import display, feed_errors, imports, search_results, visible_feeds
from web.forms import AddForm, ListFileForm
from web.import_forms import ServerForm
from web.read_your_writes import caught_up
from web.search_results import PodcastLine
from web.shortcuts import for_listeners

PAGE: Final = "/subscriptions/new"
NEWEST: Final = 3
WORDS: Final = 40  # of a description
MOST_FOUND: Final = 10
# lookups of unknown addresses per listener
LOOKS: Final = 60
LOOKS_WITHIN: Final = timedelta(hours=1)
# how long a lookup is reported as still in progress
PATIENCE: Final = timedelta(seconds=90)
_URL: Final = re.compile(r"https?://\S+")


@read_or_post
@for_listeners
def new(request: HttpRequest, user: User) -> HttpResponse:
    """Show the form with one field. POST looks an address up; GET shows what is known about it so
    far, and searches for words.

    ``q`` is what was typed; ``url``, ``text`` and ``title`` are what a phone shares with an installed app.
    """
    if request.method == "POST":
        return _look_up(request, user)
    typed = request.GET.get("q", "")
    text = typed or _shared(request.GET)
    if not text:
        return _page(request, AddForm(), {})
    form = AddForm({"q": text})
    if not form.is_valid():
        return _page(request, form, {})
    with caught_up(request, "subscriptions"):
        return _page(request, form, {"is_shared": not typed, **_state(user, form.cleaned_data)})


def _look_up(request: HttpRequest, user: User) -> HttpResponse:
    form = AddForm(request.POST)
    if not form.is_valid():
        return _page(request, form, {}, status=400)
    feed: str | None = form.cleaned_data["feed"]
    now = timezone.now()
    if feed is not None and not _is_shown(user, feed) and sites.ask(url := url_of_feed(feed), now):
        wait = attempts.count("preview", str(user.pk), LOOKS, LOOKS_WITHIN)
        if wait:
            return too_many(request, wait)
        documents.look.apply_async((url,), **documents.UNNAMED)
    return redirect(f"{PAGE}?{urlencode({'q': form.cleaned_data['q']})}")


def _page(request: HttpRequest, form: AddForm, state: Mapping[str, Any], status: int = 200) -> HttpResponse:
    context = {"form": form, "file_form": ListFileForm(), "here": request.get_full_path(), **state}
    if not state and isinstance(request.user, User):
        context |= {"server_form": ServerForm(), "moved": imports.running(request.user)}
    return render(request, "web/subscriptions/new.html", context, status=status)


def _state(user: User, typed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the context for what was typed; ``state`` selects the part of the page to show."""
    feed, now = typed["feed"], timezone.now()
    if feed is None:
        return {"state": "words", "lines": _found(user, typed["q"])}
    if _is_shown(user, feed):
        return _preview(user, feed)
    look = sites.found(url_of_feed(feed), now)
    if look is None:
        return {"state": "unasked"}
    if not look.is_done:
        return {"state": "waiting"}
    if look.error or not look.links:
        state = {"state": "failed", "error": look.error, "reason": feed_errors.ERRORS.get(look.error, "")}
        return state | {"lines": _found(user, typed["q"])}
    if len(look.links) > 1:
        return {"state": "choices", "links": look.links}
    if not _may_see(user, feed_of_url(look.links[0].url)):
        # only its followers know this feed, so there is no preview
        return {"state": "secret", "podcast": display.podcast_of(feed_of_url(look.links[0].url), None)}
    return _led_to(user, look, now)


def _found(user: User, words: str) -> list[PodcastLine]:
    """Return podcasts that match and that this server already knows."""
    return search_results.podcasts(search_results.sight_of(user), words, "", MOST_FOUND).lines


def _led_to(user: User, look: Look, now: datetime) -> dict[str, Any]:
    """Return the context for an address that led to one feed, which a worker fetches."""
    feed = feed_of_url(look.links[0].url)
    if _is_read(feed):
        return _preview(user, feed)
    known = feeds_of([feed]).get(feed)
    trouble = feed_errors.of(known.facts, now) if known else ""
    if trouble:
        return {"state": "failed", "error": "feed", "reason": trouble}
    if now > look.asked_at + PATIENCE:
        return {"state": "failed", "error": "slow"}
    return {"state": "waiting"}


def _preview(user: User, feed: str) -> dict[str, Any]:
    summary = browsing.summaries([feed])[feed]
    podcast = display.podcast_of(feed, summary)
    rows = browsing.episodes(summary.id, NEWEST)
    episodes = [display.episode_of(row, podcast, None) for row in rows]
    text = strip_tags(safe_html(browsing.details(summary.id).description))
    subscription = queries.subscription(user.pk, feed)
    return {
        "state": "preview",
        "podcast": podcast,
        "about": Truncator(" ".join(text.split())).words(WORDS),
        "episodes": [episode for episode in episodes if episode is not None],
        "is_followed": subscription is not None and subscription.active,
    }


def _is_read(feed: str) -> bool:
    """Whether the feed has been fetched, so that there is something to show."""
    summary = browsing.summaries([feed]).get(feed)
    return summary is not None and summary.is_read


def _is_shown(user: User, feed: str) -> bool:
    return _is_read(feed) and _may_see(user, feed)


def _may_see(user: User, feed: str) -> bool:
    """Whether a feed may be shown to the listener: one that is kept from the public is
    shown only to its followers."""
    if not is_secret_feed(feed) and visible_feeds.is_open(feed):
        return True
    subscription = queries.subscription(user.pk, feed)
    return subscription is not None and subscription.active


def _shared(parameters: Mapping[str, str]) -> str:
    """Return what a phone shared: some apps put the address into ``url``, others somewhere into a text."""
    for name in ("url", "text", "title"):
        found = _URL.search(parameters.get(name, ""))
        if found:
            return found[0]
    return (parameters.get("text") or parameters.get("title") or "").strip()
