"""/podcasts/{feed}: a podcast, its episodes, and following it."""

from datetime import datetime
from itertools import groupby
from typing import Any, NamedTuple
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from django.conf import settings
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.models import User
from eventstore.domain.identifiers import feed_of_url, url_of_feed
from feeds import browsing
from feeds.browsing import EpisodeRow
from feeds.html import safe_html
from feeds.models import Feed
from feeds.queries import FeedShown, public_feeds
from jobs.feeds import fetch_now
from projections import public, queries
from projections.public import Popular
from projections.queries import Behind, decode_cursor, encode_cursor, moment
from web import display, feed_errors, labels, people, privacy_levels, visible_feeds
from web.addresses import in_path, is_web
from web.display import Episode, Podcast
from web.forms import EpisodesForm
from web.public import for_everybody
from web.read_your_writes import caught_up
from web.shortcuts import for_listeners, is_partial
from web.toasts import tell

PAGE = 30
# the number of episodes searched for a page of unplayed ones
LOOKED_AT = 200
MOST_PEOPLE = 12
MOST_LINKS = 4
# smaller numbers would reveal more about individual listeners than about the podcast
ENOUGH = 5


class Link(NamedTuple):
    address: str
    label: str


class Season(NamedTuple):
    """Episodes of a season. ``number`` is None if the episodes have no season,
    or are not grouped by season."""

    number: int | None
    episodes: list[Episode]


@require_safe
@for_everybody
def podcast(request: HttpRequest, feed: str) -> HttpResponse:
    """Show what is known about a podcast, and its episodes, selected by ``q``, ``order`` and ``unplayed``.

    Visitors see what is public; for anything else they are redirected to log in, whether it exists or not.
    Where the feed has moved, everybody is redirected to it but those who follow it at the former address.
    """
    if request.user.is_authenticated:
        return _for_listener(request, feed)
    known = public_feeds([feed]).get(feed)
    if known is None or not visible_feeds.is_open(feed):
        return _for_listener(request, feed)
    return _moved(feed, known) or _page(request, None, feed, known)


@require_safe
@for_everybody
def listeners(request: HttpRequest, feed: str) -> HttpResponse:
    """Show how popular a podcast is on this server, and who follows it publicly. htmx loads it into the page
    of the podcast, which thus does not wait for the read model of public events."""
    if feed not in public_feeds([feed]) or not visible_feeds.is_open(feed):
        raise Http404
    known = browsing.summaries([feed]).get(feed)
    context = {
        "podcast": display.podcast_of(feed, known),
        "popularity": _popularity(feed),
        "followers": people.followers(feed),
    }
    name = "_listeners" if is_partial(request, "listeners") else "listeners"
    return render(request, f"web/podcasts/{name}.html", context)


@require_safe
def by_slug(request: HttpRequest, slug: str) -> HttpResponse:
    """Redirect to the podcast to which the operator gave this short name."""
    feed = browsing.feed_of_slug(slug)
    if feed is None:
        raise Http404
    return redirect("podcast", feed)


@for_listeners
def _for_listener(request: HttpRequest, user: User, feed: str) -> HttpResponse:
    """Show the page to a listener, also for a feed that was never fetched if he follows it."""
    with caught_up(request, "subscriptions", "plays", "privacy"):
        seen = visible_feeds.look(user.pk, feed)
        if not seen.is_followed and (elsewhere := _moved(feed, seen.known)):
            return elsewhere
        # a blocked feed is visible to its followers only
        blocked = None if seen.is_followed else ()
        glance = privacy_levels.of_feeds(user.pk, [feed], blocked)[feed]
        more = {"is_followed": seen.is_followed, "privacy": glance}
        return _page(request, user.pk, feed, seen.known, **more)


def _moved(feed: str, known: FeedShown | None) -> HttpResponse | None:
    """Return a redirect to the page of a feed at its present address; None where that is this page."""
    present = feed_of_url(known.url) if known and known.moved_to else feed
    return None if present == feed else redirect("podcast", present)


def _page(
    request: HttpRequest, user_id: UUID | None, feed: str, known: FeedShown | None, **more: Any
) -> HttpResponse:
    context = {**more, **_known(feed, known)}
    context |= _listed(request, user_id, context["podcast"], known)
    if is_partial(request, "found"):
        return render(request, "web/podcasts/_episodes.html", context)
    context["in_history"] = urlencode({"feed": feed})
    return render(request, "web/podcasts/podcast.html", context)


@require_POST
@for_listeners
def refresh(request: HttpRequest, user: User, feed: str) -> HttpResponse:
    """Have the feed fetched now, unless it was fetched within the last five minutes."""
    known, _is_followed = visible_feeds.look(user.pk, feed)
    if known is None:
        raise Http404
    fetch_now.apply_async((known.id,), retry=False)
    tell(request, _("It is being fetched. What is new comes in a moment."))
    return redirect("podcast", feed)


def _known(feed: str, known: FeedShown | None) -> dict[str, Any]:
    """Return what the head of the page shows, also for a feed about which nothing is known yet."""
    if known is None:
        return {"podcast": display.podcast_of(feed, None), "address": url_of_feed(feed), "is_read": False}
    details = browsing.details(known.id)
    summary = browsing.summary_of(details)
    now = timezone.now()
    return {
        "podcast": display.podcast_of(feed, summary),
        "address": known.url,
        "is_read": summary.is_read,
        "details": details,
        "description": safe_html(details.description),
        "spoken": labels.language(details.language or "") or details.language,
        "categories": [labels.category(each) for each in details.categories or []],
        "links": _links(details, known),
        "people": _people(details.extra),
        "trouble": feed_errors.of(known.facts, now),
        "read_at": known.facts.ok_at,
        "moved_to": known.moved_to,
        "moved_at": known.facts.moved_at if known.state(now).code == "moved" else None,
        "host": known.facts.host,
        "share": _share(feed, known),
        "note": _enriched(known).get("note", ""),
    }


def _listed(
    request: HttpRequest, user_id: UUID | None, podcast: Podcast, known: FeedShown | None
) -> dict[str, Any]:
    """Return the episodes of a page, and the address of the next page."""
    form = EpisodesForm(request.GET)
    wanted = form.cleaned_data if form.is_valid() else form.defaults
    found, following = ([], "") if known is None else _cut(user_id, podcast, known.id, wanted)
    by_season = wanted["order"] == "newest" and not wanted["q"]
    return {
        "form": form,
        "seasons": _seasons(found) if by_season else [Season(None, [each for each, _ in found])],
        "found": len(found),
        "searched": bool(wanted["q"] or wanted["unplayed"]),
        "following": form.address(podcast.path, after=following) if following else "",
        "first": form.address(podcast.path) if wanted["after"] else "",
    }


Found = list[tuple[Episode, int | None]]


def _cut(user_id: UUID | None, podcast: Podcast, feed_id: int, wanted: dict[str, Any]) -> tuple[Found, str]:
    """Return episodes with their seasons, and the cursor of the next page, or ""."""
    most = LOOKED_AT if wanted["unplayed"] else PAGE
    rows = browsing.episodes(
        feed_id,
        most + 1,
        text=wanted["q"],
        after=_place(wanted["after"]),
        oldest_first=wanted["order"] == "oldest",
    )
    names = [(podcast.feed, row.item) for row in rows if row.item is not None]
    plays = queries.play_statuses_of(user_id, names) if user_id else {}
    found: Found = []
    for number, row in enumerate(rows[:most]):
        episode = display.episode_of(row, podcast, plays.get((podcast.feed, row.item or "")))
        if episode is None or (wanted["unplayed"] and episode.played):
            continue
        found.append((episode, row.season))
        if len(found) == PAGE:
            return found, _cursor(row) if len(rows) > number + 1 else ""
    return found, _cursor(rows[most - 1]) if len(rows) > most else ""


def _seasons(found: Found) -> list[Season]:
    groups = groupby(found, key=lambda each: each[1])
    return [Season(number, [episode for episode, _ in group]) for number, group in groups]


def _cursor(row: EpisodeRow) -> str:
    return encode_cursor(f"{row.sort_at.isoformat()} {row.id}")


def _place(cursor: str) -> tuple[datetime, int] | None:
    """Decode a cursor. Raises ``BadRequest`` for text that is not a cursor of these pages."""
    if not cursor:
        return None
    try:
        at, _, episode_id = decode_cursor(cursor).partition(" ")
        return moment(at), int(episode_id)
    except ValueError:
        raise BadRequest from None


def _links(details: Feed, known: FeedShown) -> list[Link]:
    """Return the links to the podcast's website and to its funding pages, and
    those that the operator added."""
    own = [each for each in _enriched(known).get("links", []) if isinstance(each, dict)][:MOST_LINKS]
    funding = browsing.occurrences(details.extra, "funding")[:MOST_LINKS]
    found = [
        Link(details.link, _("Website")),
        *(Link(str(each.get("url", "")), str(each.get("text") or _("Support it"))[:80]) for each in funding),
        *(Link(str(each.get("url", "")), str(each.get("title") or _("Website"))[:80]) for each in own),
    ]
    return [link for link in found if is_web(link.address)]


def _enriched(known: FeedShown) -> dict[str, Any]:
    """Return what the operator added to the podcast."""
    found = msgspec.json.decode(known.enriched) if known.enriched else None
    return found if isinstance(found, dict) else {}


def _share(feed: str, known: FeedShown) -> str:
    """Return the address for sharing; "" if others could not see the podcast."""
    if known.is_secret or known.blocked:
        return ""
    return f"{settings.PUBLIC_URL}/podcasts/{_enriched(known).get('slug') or in_path(feed)}"


def _popularity(feed: str) -> Popular | None:
    """Return the popularity, from what listeners make public; None if they are too few, or the read models
    lag too far behind to tell what is public now."""
    try:
        found = public.podcast(feed)
    except Behind:
        return None
    return found if found.subscribers >= ENOUGH or found.plays >= ENOUGH else None


def _people(extra: dict[str, Any]) -> list[str]:
    names = [str(each.get("text", ""))[:80] for each in browsing.occurrences(extra, "person")]
    return list(dict.fromkeys(name for name in names if name))[:MOST_PEOPLE]
