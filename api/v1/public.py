"""What everybody may see: what is heard here, and who wants to be seen hearing it.

No token, and nothing in an answer that hangs on what is private: not even the position in the log.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from django.http.response import HttpResponseBase
from django.urls import path
from django.utils.cache import get_conditional_response
from msgspec import Meta, Struct
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import User
from api.fields import PAGE, Cursor, Feed, Item, PageSize
from api.operations import operation
from api.views import PublicView
from eventstore.domain.identifiers import key_of, shown_item, shown_item_or_none, url_of_feed
from projections import public
from projections.public import Kind, Popular, PublicRow

TRENDING = 20
CACHED = "public, max-age=60"


class Person(Struct):
    username: str


class Popularity(Struct):
    """What the public may know. Anonymous listeners count where at least three stand behind a figure."""

    score: int
    score_previous: int
    plays: int
    likes: int
    shares: int
    subscribers: int
    people: list[Person]


class PodcastPopularity(Popularity):
    """`people`: the last ten who played or liked it, and want that to be seen. Titles and covers are null
    while the feed has not been fetched."""

    rss_source_feed: str
    feed_url: str
    rss_feed_title: str | None
    cover: str | None


class EpisodePopularity(Popularity):
    """As of a podcast. `rss_source_feed` is null where nothing of the episode is public."""

    rss_source_feed: str | None
    rss_source_item: str
    guid: str
    enclosure_url: str
    rss_feed_title: str | None
    rss_item_title: str | None
    cover: str | None


class TrendingPodcasts(Struct):
    podcasts: list[PodcastPopularity]


class TrendingEpisodes(Struct):
    episodes: list[EpisodePopularity]


class TimelineEntry(Struct):
    """`username` is null, and the time rounded down to the hour, of somebody who wants to be anonymous."""

    id: UUID
    event_type: Kind
    happened_at: datetime
    username: str | None
    rss_source_feed: str
    feed_url: str
    rss_feed_title: str | None
    rss_source_item: str | None
    guid: str | None
    enclosure_url: str | None
    rss_item_title: str | None


class Timeline(Struct):
    events: list[TimelineEntry]
    next_cursor: str | None


class TrendingQuery(Struct):
    feed: Feed | None = None
    limit: PageSize = TRENDING


class TimelineQuery(Struct):
    event_type: Annotated[Kind, Meta(description="One kind alone.")] | None = None
    feed: Feed | None = None
    limit: PageSize = PAGE
    cursor: Cursor | None = None


class FeedPath(Struct):
    feed: Feed


class ItemPath(Struct):
    item: Item


class FeedQuery(Struct):
    feed: Feed | None = None


class TrendingPodcastsView(PublicView):
    @operation("List trending podcasts", answers={200: TrendingPodcasts})
    def get(self, request: Request, query: TrendingQuery) -> HttpResponseBase:
        """The highest score first: a subscription counts 10 points, a play 5, a saved episode 3, a share 2,
        over the last 45 days."""
        found = public.trending_podcasts(query.limit, query.feed)
        names = _names(found)
        return _cached(request, TrendingPodcasts([_podcast(one, names) for one in found]))


class TrendingEpisodesView(PublicView):
    @operation("List trending episodes", answers={200: TrendingEpisodes})
    def get(self, request: Request, query: TrendingQuery) -> HttpResponseBase:
        """As for podcasts; of one feed, or of all."""
        found = public.trending_episodes(query.limit, query.feed)
        names = _names(found)
        return _cached(request, TrendingEpisodes([_episode(one, names) for one in found]))


class PodcastView(PublicView):
    @operation("Show how popular a podcast is", answers={200: PodcastPopularity})
    def get(self, request: Request, path: FeedPath) -> HttpResponseBase:
        """Zeros for a feed of which nothing is public."""
        found = public.podcast(path.feed)
        return _cached(request, _podcast(found, _names([found])))


class EpisodeView(PublicView):
    @operation("Show how popular an episode is", answers={200: EpisodePopularity})
    def get(self, request: Request, path: ItemPath, query: FeedQuery) -> HttpResponseBase:
        """Zeros for an episode of which nothing is public. Without a feed, 422 `ambiguous_item` where several
        have the item."""
        found = public.episode(path.item, query.feed)
        return _cached(request, _episode(found, _names([found])))


class TimelineView(PublicView):
    @operation("Show the timeline", answers={200: Timeline})
    def get(self, request: Request, query: TimelineQuery) -> HttpResponseBase:
        """What is public of the last 45 days, the newest first."""
        rows, following = public.timeline(query.limit, query.event_type, query.feed, query.cursor)
        names = _usernames(row.user_id for row in rows if row.user_id is not None)
        # whose account is gone, or switched off, is not shown, and not as somebody anonymous either
        shown = [_entry(row, names) for row in rows if row.user_id is None or row.user_id in names]
        return _cached(request, Timeline(shown, following))


Names = dict[UUID, str]


def _names(found: Iterable[Popular]) -> Names:
    return _usernames(user_id for one in found for user_id in one.people)


def _usernames(ids: Iterable[UUID]) -> Names:
    """The names of these users, as far as they have an account that is in use."""
    wanted = set(ids)
    if not wanted:
        return {}
    users = User.objects.using("system").filter(pk__in=wanted, is_active=True)
    return dict(users.values_list("pk", "username"))


def _people(of: Popular, names: Names) -> list[Person]:
    return [Person(names[user_id]) for user_id in of.people if user_id in names]


def _podcast(of: Popular, names: Names) -> PodcastPopularity:
    assert of.rss_source_feed is not None
    return PodcastPopularity(
        *of.figures,
        people=_people(of, names),
        rss_source_feed=of.rss_source_feed,
        feed_url=url_of_feed(of.rss_source_feed),
        rss_feed_title=None,
        cover=None,
    )


def _episode(of: Popular, names: Names) -> EpisodePopularity:
    assert of.rss_source_item is not None
    item, guid, enclosure_url = shown_item(of.rss_source_item)
    return EpisodePopularity(
        *of.figures,
        people=_people(of, names),
        rss_source_feed=of.rss_source_feed,
        rss_source_item=item,
        guid=guid,
        enclosure_url=enclosure_url,
        rss_feed_title=None,
        rss_item_title=None,
        cover=None,
    )


def _entry(of: PublicRow, names: Names) -> TimelineEntry:
    item, guid, enclosure_url = shown_item_or_none(of.rss_source_item)
    return TimelineEntry(
        id=of.id,
        event_type=of.kind,
        happened_at=of.happened_at,
        username=None if of.user_id is None else names[of.user_id],
        rss_source_feed=of.rss_source_feed,
        feed_url=url_of_feed(of.rss_source_feed),
        rss_feed_title=None,
        rss_source_item=item,
        guid=guid,
        enclosure_url=enclosure_url,
        rss_item_title=None,
    )


def _cached(request: Request, body: Struct) -> HttpResponseBase:
    """An answer that anybody may keep for a minute, and ask again by its ETag: 304 while it is the same."""
    content = msgspec.json.encode(body)
    etag = f'"{key_of(content.decode())}"'
    response = Response(content, headers={"Cache-Control": CACHED, "ETag": etag})
    return get_conditional_response(request._request, etag=etag, response=response) or response


paths = [
    path("public/trending/podcasts", TrendingPodcastsView.as_view()),
    path("public/trending/episodes", TrendingEpisodesView.as_view()),
    path("public/podcast/<path:feed>/popularity", PodcastView.as_view()),
    path("public/episode/<path:item>/popularity", EpisodeView.as_view()),
    path("public/timeline", TimelineView.as_view()),
]
