"""The first page: an introduction for visitors; for listeners what they have begun and what is new."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from accounts import setup
from accounts.models import User
from eventstore.domain.identifiers import feed_of_url
from eventstore.domain.playlists import queue_id
from eventstore.domain.plays import PlayEntry
from feeds import browsing
from feeds import queries as feeds
from projections import lists, public, queries
from projections.failures import is_outage
from projections.lists import PlaylistItemRow
from web import display, playlists
from web.display import Episode
from web.forms import AddForm
from web.read_your_writes import caught_up
from web.shortcuts import for_listeners
from web.trending import PodcastLine, podcast_lines, trending

IN_PROGRESS = 12
QUEUED = 5
NEW = 24
NEW_FOR = timedelta(days=30)
MOST_FOLLOWED = 10_000
POPULAR = 12
# shown in the picture on the first page: an episode, its podcast, and the percentage that has been heard
EXAMPLES = (
    (_("The last ferry"), _("Slow Radio"), 62),
    (_("Bread without haste"), _("Night Kitchen"), 18),
    (_("How tides were measured"), _("Long Waves"), 84),
)


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Show the page for visitors or for a listener."""
    if request.user.is_authenticated:
        return listening(request)
    context = {
        "setup_pending": setup.pending(),
        "registration_open": settings.REGISTRATION_OPEN,
        "lines": _popular(request),
        "examples": [_example(*each) for each in EXAMPLES],
    }
    return render(request, "web/home/visitor.html", context)


@for_listeners
def listening(request: HttpRequest, user: User) -> HttpResponse:
    """Show the episodes that are begun, the newest first, the beginning of Up
    next, and other recent episodes."""
    with caught_up(request, "plays", "subscriptions", "playlists"):
        plays = queries.play_statuses(user.pk, played=False, limit=2 * IN_PROGRESS, newest_first=True).rows
        queue = lists.PLAYLISTS.members(user.pk, queue_id(user.pk), limit=QUEUED + 1).rows
        begun, queued = _own(user.pk, [play for play in plays if play.position][:IN_PROGRESS], queue)
        followed = queries.subscriptions(user.pk, limit=MOST_FOLLOWED).rows
        found = _new(user.pk, [row.rss_source_feed for row in followed], timezone.now())
    waiting = {(each.feed, each.item) for each in queued}
    new = [each for each in found if (each.feed, each.item) not in waiting]
    context: dict[str, Any] = {"begun": begun, "new": new, "followed": len(followed)}
    context |= {"queued": queued[:QUEUED], "queue": queue_id(user.pk), "has_more": len(queued) > QUEUED}
    if not begun and not followed and not queued:
        context |= {"form": AddForm(), "instance": settings.PUBLIC_URL, "lines": _popular(request)}
    return render(request, "web/home/listener.html", context)


def dashboard(request: HttpRequest) -> HttpResponse:
    """Redirect from the former address of this page, for bookmarks."""
    return redirect("home", permanent=True)


def _popular(request: HttpRequest) -> list[PodcastLine]:
    """Return what is popular here; nothing if a store is unavailable, since the page works without it."""
    try:
        return podcast_lines(request, trending(public.trending_podcasts) or [])[:POPULAR]
    except Exception as failure:
        if not is_outage(failure):
            raise
        return []


def _example(title: Promise, podcast: Promise, percent: int) -> Episode:
    feed = feed_of_url(f"https://example.org/{percent}")
    return Episode(feed, "", str(title), str(podcast), duration=100, position=percent)


def _own(
    user_id: UUID, begun: Sequence[PlayEntry], queued: Sequence[PlaylistItemRow]
) -> tuple[list[Episode], list[Episode]]:
    """Return the begun episodes and the queue, with what is known about both."""
    in_queue = [(row.rss_source_feed, row.rss_source_item) for row in queued]
    names = [(play.rss_source_feed, play.rss_source_item) for play in begun]
    known = feeds.feeds_for(user_id, {feed for feed, _ in (*names, *in_queue)})
    found = feeds.episodes_of([*names, *in_queue], known)
    plays = queries.play_statuses_of(user_id, in_queue)
    return [
        display.heard(play, known.get(play.rss_source_feed), found.get(name))
        for play, name in zip(begun, names, strict=True)
    ], [
        playlists.episode_of(row, known.get(name[0]), found.get(name), plays.get(name))
        for row, name in zip(queued, in_queue, strict=True)
    ]


def _new(user_id: UUID, followed: list[str], now: datetime) -> list[Episode]:
    """Return the newest episodes of these feeds that the listener has not begun."""
    known = browsing.summaries(followed)
    names = {summary.id: feed for feed, summary in known.items()}
    rows = browsing.newest(list(names), now - NEW_FOR, 2 * NEW)
    # of all that are followed, only these need a title and a cover
    podcasts = {
        feed_id: display.podcast_of(names[feed_id], known[names[feed_id]])
        for feed_id in {row.feed_id for row in rows}
    }
    found = [display.episode_of(row, podcasts[row.feed_id], None) for row in rows]
    return _not_begun(user_id, [each for each in found if each is not None])[:NEW]


def _not_begun(user_id: UUID, episodes: Iterable[Any]) -> list[Episode]:
    listed: list[Episode] = list(episodes)
    plays = queries.play_statuses_of(user_id, [(each.feed, each.item) for each in listed])
    begun = {name for name, play in plays.items() if play.played or play.position}
    return [each for each in listed if (each.feed, each.item) not in begun]
