"""/podcasts/{feed}: a podcast, its episodes, and following it."""

from datetime import datetime
from itertools import groupby
from typing import Any, NamedTuple
from uuid import UUID

from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.models import User
from eventstore.domain.identifiers import url_of_feed
from feeds import browsing
from feeds.browsing import EpisodeRow
from feeds.html import safe_html
from feeds.models import Feed
from feeds.queries import FeedShown
from jobs.feeds import fetch_now
from projections import queries
from projections.queries import InvalidCursor, decode_cursor, encode_cursor, moment
from web import levels, people, shown, sight, troubles
from web.acting import for_listeners, is_partial
from web.forms import EpisodesForm
from web.reading import caught_up
from web.shown import Episode, Podcast
from web.toasts import tell

PAGE = 50
# episodes looked at for a page of those that are not played
LOOKED_AT = 500
MOST_PEOPLE = 12
MOST_LINKS = 4
WEB = ("http://", "https://")


class Link(NamedTuple):
    address: str
    label: str


class Season(NamedTuple):
    """``number`` is None where the episodes are in none, or in their own order."""

    number: int | None
    episodes: list[Episode]


@require_safe
@for_listeners
def podcast(request: HttpRequest, user: User, feed: str) -> HttpResponse:
    """What is known of a podcast, and its episodes; ``q``, ``order`` and ``unplayed`` say which."""
    with caught_up(request, "subscriptions", "plays", "privacy"):
        known, is_followed = sight.look(user.pk, feed)
        context = _known(feed, known)
        context["is_followed"] = is_followed
        context["privacy"] = levels.of_feed(user.pk, feed)
        context |= _listed(request, user.pk, context["podcast"], known)
    if not is_partial(request, "found"):
        context["followers"] = people.followers(feed)
    name = "web/podcasts/_episodes.html" if is_partial(request, "found") else "web/podcasts/podcast.html"
    return render(request, name, context)


@require_POST
@for_listeners
def refresh(request: HttpRequest, user: User, feed: str) -> HttpResponse:
    """Have the feed fetched now, unless that was done within five minutes."""
    known, _is_followed = sight.look(user.pk, feed)
    if known is None:
        raise Http404
    fetch_now.apply_async((known.id,), retry=False)
    tell(request, _("It is being fetched. What is new comes in a moment."))
    return redirect("podcast", feed)


def _known(feed: str, known: FeedShown | None) -> dict[str, Any]:
    """What the head of the page shows, also of a feed of which nothing is known yet."""
    if known is None:
        return {"podcast": shown.podcast_of(feed, None), "address": url_of_feed(feed), "is_read": False}
    details = browsing.details(known.id)
    summary = browsing.summaries([feed]).get(feed)
    return {
        "podcast": shown.podcast_of(feed, summary),
        "address": known.url,
        "is_read": summary is not None and summary.is_read,
        "details": details,
        "description": safe_html(details.description),
        "links": _links(details),
        "people": _people(details.extra),
        "trouble": troubles.of(known.facts, timezone.now()),
        "moved_to": known.moved_to,
    }


def _listed(request: HttpRequest, user_id: UUID, podcast: Podcast, known: FeedShown | None) -> dict[str, Any]:
    """The episodes of a page, and how the list goes on."""
    form = EpisodesForm(request.GET)
    wanted = form.cleaned_data if form.is_valid() else form.defaults
    found, following = ([], "") if known is None else _page(user_id, podcast, known.id, wanted)
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


def _page(user_id: UUID, podcast: Podcast, feed_id: int, wanted: dict[str, Any]) -> tuple[Found, str]:
    """Episodes with their seasons, and the cursor of the next page, or ""."""
    most = LOOKED_AT if wanted["unplayed"] else PAGE
    rows = browsing.episodes(
        feed_id,
        most + 1,
        text=wanted["q"],
        after=_place(wanted["after"]),
        oldest_first=wanted["order"] == "oldest",
    )
    names = [(podcast.feed, row.item) for row in rows if row.item is not None]
    plays = queries.play_statuses_of(user_id, names)
    found: Found = []
    for number, row in enumerate(rows[:most]):
        episode = shown.episode_of(row, podcast, plays.get((podcast.feed, row.item or "")))
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
    """Raises ``BadRequest`` for text that no page gave out."""
    if not cursor:
        return None
    try:
        at, _, episode_id = decode_cursor(cursor).partition(" ")
        return moment(at), int(episode_id)
    except (InvalidCursor, ValueError):
        raise BadRequest from None


def _links(details: Feed) -> list[Link]:
    """The podcast's website, and where it asks for support."""
    funding = browsing.occurrences(details.extra, "funding")[:MOST_LINKS]
    found = [
        Link(details.link, _("Website")),
        *(Link(str(each.get("url", "")), str(each.get("text") or _("Support it"))[:80]) for each in funding),
    ]
    return [link for link in found if link.address.startswith(WEB)]


def _people(extra: dict[str, Any]) -> list[str]:
    names = [str(each.get("text", ""))[:80] for each in browsing.occurrences(extra, "person")]
    return list(dict.fromkeys(name for name in names if name))[:MOST_PEOPLE]
