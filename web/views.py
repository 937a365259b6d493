"""Pages of the listener, and the page of last resort."""

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import redis
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import BadRequest, DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.views.decorators.http import require_safe

from accounts import setup
from accounts.addresses import other_host
from accounts.models import User
from accounts.pages import private
from eventstore.domain.plays import PlayEntry
from feeds.queries import EpisodeShown, FeedShown, episodes_of, feeds_for
from projections import queries
from projections.failures import in_maintenance, is_outage
from projections.queries import SubscriptionRow
from web.words import clock, episode_name, feed_words, shortened

PLAYS = 50
SUBSCRIPTIONS = 100
RETRY_AFTER = 5  # seconds; a store restarts in about that time
IN_MAINTENANCE = 15  # seconds; one is copied in some minutes at most


class Play(NamedTuple):
    name: str
    feed: str
    position: str
    played: bool
    updated_at: datetime


class Subscription(NamedTuple):
    """``name``: its title, else the host of its address; ``detail``: its author, else the rest of that."""

    name: str
    detail: str
    subscribed_at: datetime | None


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """What this is."""
    context = {
        "setup_pending": not request.user.is_authenticated and setup.pending(),
        "registration_open": settings.REGISTRATION_OPEN,
    }
    return render(request, "web/home.html", context)


@private
@require_safe
def dashboard(request: HttpRequest) -> HttpResponse:
    """What is being listened to, newest first, and the podcasts followed; each list by pages of its own."""
    user = request.user
    if not isinstance(user, User):
        return redirect_to_login(request.get_full_path())
    older, more = request.GET.get("plays"), request.GET.get("subscriptions")
    try:
        plays = queries.play_statuses(user.pk, after=older, limit=PLAYS, newest_first=True)
        subscriptions = queries.subscriptions(user.pk, after=more, limit=SUBSCRIPTIONS)
    except queries.InvalidCursor:
        raise BadRequest from None
    context = {
        "instance": settings.PUBLIC_URL,
        "plays": _plays(user.pk, plays.rows),
        "older_plays": plays.next,
        "paged_plays": older is not None,
        "subscriptions": _subscriptions(user.pk, subscriptions.rows),
        "more_subscriptions": subscriptions.next,
        "paged_subscriptions": more is not None,
        "paged": older is not None or more is not None,
    }
    return render(request, "web/dashboard.html", context)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400; of a host name that is not ours it says so."""
    told = other_host(request) if isinstance(exception, DisallowedHost) else ""
    return HttpResponse(render_to_string("400.html", {"told": told}), status=400)


def server_error(request: HttpRequest) -> HttpResponse:
    """503 when a store is away, else 500: the page of last resort, which asks nothing of any store."""
    error = sys.exc_info()[1]
    if error is not None and in_maintenance(error):
        page = HttpResponse(render_to_string("maintenance.html"), status=503)
        page["Retry-After"] = str(IN_MAINTENANCE)
        return page
    if isinstance(error, Exception) and (is_outage(error) or isinstance(error, redis.RedisError)):
        page = HttpResponse(render_to_string("503.html"), status=503)
        page["Retry-After"] = str(RETRY_AFTER)
        return page
    return HttpResponse(render_to_string("500.html"), status=500)


def _plays(user_id: UUID, rows: Sequence[PlayEntry]) -> list[Play]:
    feeds = feeds_for(user_id, {row.rss_source_feed for row in rows})
    episodes = episodes_of(((row.rss_source_feed, row.rss_source_item) for row in rows), feeds)
    return [
        _play(
            row,
            feeds.get(row.rss_source_feed),
            episodes.get((row.rss_source_feed, row.rss_source_item)),
        )
        for row in rows
    ]


def _play(row: PlayEntry, feed: FeedShown | None, episode: EpisodeShown | None) -> Play:
    title, feed_title = episode and shortened(episode.title), feed and shortened(feed.title)
    return Play(
        name=title or episode_name(row.rss_source_item),
        feed=feed_title or "".join(feed_words(row.rss_source_feed)),
        position=clock(row.position),
        played=row.played,
        updated_at=row.updated_at,
    )


def _subscriptions(user_id: UUID, rows: Sequence[SubscriptionRow]) -> list[Subscription]:
    feeds = feeds_for(user_id, (row.rss_source_feed for row in rows))
    return [_subscription(row, feeds.get(row.rss_source_feed)) for row in rows]


def _subscription(row: SubscriptionRow, feed: FeedShown | None) -> Subscription:
    host, path = feed_words(row.rss_source_feed)
    if feed is None or not feed.title:
        return Subscription(host, path, row.subscribed_at)
    return Subscription(shortened(feed.title), shortened(feed.author) or host, row.subscribed_at)
