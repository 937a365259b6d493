"""What everybody may see: what is played here, and who wants to be seen playing it.

No token is needed, and nothing in an answer depends on what is private: not even the position in the log.
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
from api.episodes import FeedPath, FeedQuery, ItemPath
from api.fields import Category, Feed, Language, PageQuery, PageSize
from api.operations import operation
from api.podcast_filters import among
from api.titles import Enriched, Titles, public_titles
from api.views import PublicView
from eventstore.domain.identifiers import key_of, shown_item, shown_item_or_none, url_of_feed
from feeds import search
from projections import public
from projections.public import Kind, Popular, PublicRow

TRENDING = 20
# caches must revalidate each time: somebody may have hidden something meanwhile
CACHED = "public, no-cache"


class Person(Struct):
    username: str


class Popularity(Struct):
    """What the public may know. Anonymous listeners count only if at least three contribute to a figure.
    `score_previous`: the score without what happened in the last seven days."""

    score: int
    score_previous: int
    plays: int
    likes: int
    shares: int
    subscribers: int
    people: list[Person]


class PodcastPopularity(Popularity):
    """`people`: the last ten who played or liked it, and want that to be seen. Title and cover are null while
    the feed has not been fetched, and if all figures are zero: what is known here of a podcast that is only
    played privately is not disclosed."""

    rss_source_feed: str
    feed_url: str
    rss_feed_title: str | None
    cover: str | None
    enriched: Enriched | None


class EpisodePopularity(Popularity):
    """As for a podcast. `rss_source_feed` is null if nothing of the episode is public."""

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
    """For somebody who wants to be anonymous, `username` is null and the time is rounded down to the hour."""

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
    cover: str | None


class Timeline(Struct):
    events: list[TimelineEntry]
    next_cursor: str | None


class TrendingQuery(FeedQuery):
    """A category includes its subcategories; a language includes its variants: `fr` includes `fr-CA`."""

    limit: PageSize = TRENDING
    category: Category | None = None
    language: Language | None = None


class TimelineQuery(PageQuery):
    event_type: Annotated[Kind, Meta(description="Return only activities of this kind.")] | None = None
    feed: Feed | None = None


class TrendingPodcastsView(PublicView):
    @operation("List trending podcasts", answers={200: TrendingPodcasts})
    def get(self, request: Request, query: TrendingQuery) -> HttpResponseBase:
        """The highest score first: a subscription counts 10 points, a play 5, a saved episode 3, a share 2,
        over the last 45 days."""
        shown = _podcasts(public.trending_podcasts(query.limit, query.feed, _among(query)))
        return _cached(request, TrendingPodcasts(shown))


class TrendingEpisodesView(PublicView):
    @operation("List trending episodes", answers={200: TrendingEpisodes})
    def get(self, request: Request, query: TrendingQuery) -> HttpResponseBase:
        """Scored as podcasts are; of one feed, or of all."""
        shown = _episodes(public.trending_episodes(query.limit, query.feed, _among(query)))
        return _cached(request, TrendingEpisodes(shown))


class PodcastView(PublicView):
    @operation("Show how popular a podcast is", answers={200: PodcastPopularity})
    def get(self, request: Request, path: FeedPath) -> HttpResponseBase:
        """All figures are zero for a feed of which nothing is public."""
        [shown] = _podcasts([public.podcast(path.feed)])
        return _cached(request, shown)


class EpisodeView(PublicView):
    @operation("Show how popular an episode is", answers={200: EpisodePopularity})
    def get(self, request: Request, path: ItemPath, query: FeedQuery) -> HttpResponseBase:
        """All figures are zero for an episode of which nothing is public, or that its publisher blocks.
        Without a feed, 422 `ambiguous_item` if several feeds have the item."""
        found = public.episode(path.item, query.feed)
        [shown] = _episodes([found]) or _episodes([public.nothing(query.feed, path.item)])
        return _cached(request, shown)


class TimelineView(PublicView):
    @operation("Show the timeline", answers={200: Timeline})
    def get(self, request: Request, query: TimelineQuery) -> HttpResponseBase:
        """What is public of the last 45 days, the newest first."""
        rows, following = public.timeline(query.limit, query.event_type, query.feed, query.cursor)
        names = _usernames(row.user_id for row in rows if row.user_id is not None)
        # activity of deleted or deactivated accounts is not shown, not even anonymously
        rows = [row for row in rows if row.user_id is None or row.user_id in names]
        titles = public_titles(rows)
        shown = [_entry(row, names, titles) for row in rows if not titles.is_blocked(row)]
        return _cached(request, Timeline(shown, following))


def _among(query: TrendingQuery) -> list[UUID] | None:
    """Return the digests of the feeds that are asked for; None for all. Raises ``Invalid``."""
    wanted = among(query.category, query.language)
    return None if wanted == search.ALL else search.public_feed_keys(wanted)


def _podcasts(found: list[Popular]) -> list[PodcastPopularity]:
    shown, titles = [], public_titles(filter(_is_public, found))
    for one, people in zip(found, _people(found), strict=True):
        feed = one.rss_source_feed
        assert feed is not None
        described = titles.feed_title(feed), titles.cover(feed), titles.enriched(feed)
        shown.append(PodcastPopularity(*one.figures, people, feed, url_of_feed(feed), *described))
    return shown


def _episodes(found: list[Popular]) -> list[EpisodePopularity]:
    """Return the episodes, without those that their publishers block."""
    titles = public_titles(filter(_is_public, found))
    found, shown = [one for one in found if not titles.is_blocked(one)], []
    for one, people in zip(found, _people(found), strict=True):
        feed, item = one.rss_source_feed, one.rss_source_item
        assert item is not None
        described = titles.of_episode(feed, item)
        shown.append(EpisodePopularity(*one.figures, people, feed, *shown_item(item), *described))
    return shown


def _is_public(one: Popular) -> bool:
    """Whether anything of it is public. Titles of others would disclose that somebody here has their feed."""
    return any(one.figures)


def _entry(of: PublicRow, names: dict[UUID, str], titles: Titles) -> TimelineEntry:
    username = None if of.user_id is None else names[of.user_id]
    feed_title, *described = titles.of_episode(of.rss_source_feed, of.rss_source_item)
    feed = of.rss_source_feed, url_of_feed(of.rss_source_feed), feed_title
    episode = shown_item_or_none(of.rss_source_item)
    return TimelineEntry(of.id, of.kind, of.happened_at, username, *feed, *episode, *described)


def _people(found: list[Popular]) -> list[list[Person]]:
    """Return for each the people who want to be seen with it."""
    names = _usernames(user_id for one in found for user_id in one.people)
    return [[Person(names[user_id]) for user_id in one.people if user_id in names] for one in found]


def _usernames(ids: Iterable[UUID]) -> dict[UUID, str]:
    """Return the names of those of these users whose accounts are active."""
    wanted = set(ids)
    if not wanted:
        return {}
    users = User.objects.using("system").filter(pk__in=wanted, is_active=True)
    return dict(users.values_list("pk", "username"))


def _cached(request: Request, body: Struct) -> HttpResponseBase:
    """Return an answer that anybody may cache and revalidate by its ETag: 304 while it has not changed."""
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
