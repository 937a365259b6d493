"""Searching the podcasts and episodes that this server knows."""

import re
from datetime import datetime
from typing import Annotated, Literal

from django.urls import path
from msgspec import Struct
from rest_framework.request import Request
from rest_framework.response import Response

from api import answers
from api.auth import caller_of
from api.fields import Category, Cursor, Language, PageSize, meta
from api.operations import operation
from api.podcast_filters import among
from api.titles import Enriched, Titles, address
from api.views import View
from eventstore.domain.identifiers import shown_item, url_of_feed
from feeds import search
from feeds.covers import path_of
from feeds.details import item_in
from feeds.queries import feeds_of
from feeds.search import EpisodeFound, PodcastFound, Sight
from projections import queries
from projections.queries import Page

LONGEST = 200
FOUND = 20
_NO_WORDS = re.compile("[\x00-\x1f\x7f-\x9f\\s]+")


def one_line(text: str) -> str:
    """Return the text as one line. Raises ``ValueError`` if nothing is left."""
    line = _NO_WORDS.sub(" ", text).strip()
    if not line:
        raise ValueError("empty")
    return line


Words = Annotated[
    str,
    meta(
        "The words to search for: each may be just the beginning of a word; case and accents are ignored.",
        normalise=one_line,
        min_length=1,
        max_length=LONGEST,
        example="slow radio",
    ),
]
Kind = Annotated[Literal["podcasts", "episodes"], meta("Whether to search for podcasts or episodes.")]


class FoundPodcast(Struct):
    """`subscribed`: whether the user follows it; its feed is then named as in the user's subscription."""

    rss_source_feed: str
    feed_url: str
    title: str | None
    author: str | None
    cover: str | None
    language: str | None
    categories: list[str]
    episode_count: int
    newest_episode_at: datetime | None
    subscribed: bool
    enriched: Enriched | None


class FoundEpisode(Struct):
    """`subscribed`: whether the user follows its podcast."""

    rss_source_feed: str
    rss_source_item: str
    guid: str
    enclosure_url: str
    rss_feed_title: str | None
    rss_item_title: str | None
    published_at: datetime | None
    duration: int | None
    cover: str | None
    subscribed: bool


class Found(Struct):
    """The results are in the list that `kind` asked for; the other list is empty."""

    podcasts: list[FoundPodcast]
    episodes: list[FoundEpisode]
    next_cursor: str | None


class SearchQuery(Struct):
    q: Words
    kind: Kind = "podcasts"
    category: Category | None = None
    language: Language | None = None
    limit: PageSize = FOUND
    cursor: Cursor | None = None


class SearchView(View):
    scopes = {"GET": "user.subscriptions.read"}

    @operation("Search podcasts and episodes", answers={200: Found})
    def get(self, request: Request, query: SearchQuery) -> Response:
        """Searches what this server knows: the titles, authors and beginnings of descriptions of podcasts,
        the best match first; the titles of episodes, the newest first. Secret and blocked feeds are only
        found by users who follow them."""
        user_id = caller_of(request).user_id

        def read() -> Page[Sight]:
            followed, blocked, position = queries.sight_of(user_id)
            return Page([search.sight(followed, blocked)], None, position)

        page = answers.page(request, "subscriptions", read)
        find = _podcasts if query.kind == "podcasts" else _episodes
        return answers.answer(find(query, page.rows[0]), page.position)


def _podcasts(query: SearchQuery, seen: Sight) -> Found:
    wanted = among(query.category, query.language)
    page = search.podcasts(query.q, wanted, seen, query.cursor, query.limit)
    titles = Titles(feeds_of(seen.name(row.id, row.url) for row in page.rows), {})
    return Found([_podcast(row, seen, titles) for row in page.rows], [], page.next)


def _podcast(row: PodcastFound, seen: Sight, titles: Titles) -> FoundPodcast:
    feed = seen.name(row.id, row.url)
    known = titles.feeds.get(feed)
    return FoundPodcast(
        rss_source_feed=feed,
        feed_url=url_of_feed(feed),
        title=titles.feed_title(feed),
        author=(known and known.author) or None,
        cover=titles.cover(feed),
        language=(known and known.language) or None,
        categories=row.categories,
        episode_count=row.episode_count,
        newest_episode_at=row.newest_at,
        subscribed=row.id in seen.own,
        enriched=titles.enriched(feed),
    )


def _episodes(query: SearchQuery, seen: Sight) -> Found:
    wanted = among(query.category, query.language)
    page = search.episodes(query.q, wanted, seen, query.cursor, query.limit)
    titles = Titles(feeds_of(seen.name(row.feed_id, row.url) for row in page.rows), {})
    shown = [_episode(row, seen, titles) for row in page.rows]
    return Found([], [episode for episode in shown if episode is not None], page.next)


def _episode(row: EpisodeFound, seen: Sight, titles: Titles) -> FoundEpisode | None:
    """Return the episode, or None if no app could name it."""
    item, feed = item_in(row.guid, row.enclosure_url), seen.name(row.feed_id, row.url)
    if item is None:
        return None
    cover = address(path_of(row.image_url, title=row.title, key=str(row.feed_id)))
    return FoundEpisode(
        feed,
        *shown_item(item),
        rss_feed_title=titles.feed_title(feed),
        rss_item_title=row.title or None,
        published_at=row.published_at,
        duration=row.duration,
        cover=cover or titles.cover(feed),
        subscribed=row.feed_id in seen.own,
    )


paths = [path("search", SearchView.as_view())]
