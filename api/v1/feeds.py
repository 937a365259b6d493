"""One podcast that the user follows: what is known of it, its episodes, and fetching it again.

A read never waits for a publisher. What is not known yet is null, and is fetched meanwhile.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from math import ceil
from typing import Any, Literal
from uuid import UUID

import msgspec
import redis
from django.urls import path
from msgspec import Struct
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import attempts
from api import answers
from api.answers import Success
from api.auth import caller_of
from api.clock import now
from api.episodes import FeedPath
from api.errors import ApiError
from api.fields import PageQuery, Time
from api.operations import operation
from api.titles import Enriched, address, enriched
from api.views import View
from eventstore.domain.identifiers import shown_item, url_of_feed
from feeds.chapters import in_feed
from feeds.covers import path_of
from feeds.details import Details, EpisodeRow, details_of, episodes_of_feed, item_in
from feeds.html import safe_html
from feeds.queries import FeedShown, addresses_of, feeds_of
from feeds.read.podcast import CHAPTERS
from feeds.states import Code
from jobs import announcing
from projections import queries
from projections.queries import Page

READ, WRITE = "user.subscriptions.read", "user.subscriptions.write"
# At most once in this time, a feed is fetched because somebody asks for that.
REFRESHES = timedelta(minutes=5)
# At most once in this time, a fetch is requested for a feed that was never fetched.
WANTED = timedelta(minutes=1)
# tags whose pictures are on publishers' servers
PICTURES = frozenset(("img", "image", "images"))


class Problem(Struct):
    """Why a feed could not be fetched the last time. `since`: when that began; `status`: the status of the
    feed server's answer, if there was one."""

    code: str
    detail: str
    since: datetime | None
    status: int | None


class Funding(Struct):
    url: str
    text: str | None


class Podcast(Struct):
    """What is known of a podcast. `state` is the state of its feed, `state_text` describes it in words.
    Everything that was not read yet is null. `podcast`: tags of the podcast namespace by their names, each
    occurrence with its attributes and its `text`; pictures are left out."""

    rss_source_feed: str
    feed_url: str
    uid: UUID | None
    podcast_guid: UUID | None
    title: str | None
    author: str | None
    description: str | None
    cover: str | None
    link: str | None
    copyright: str | None
    language: str | None
    categories: list[str]
    explicit: bool | None
    kind: str | None
    medium: str | None
    complete: bool
    funding: list[Funding]
    podcast: dict[str, list[dict[str, Any]]]
    episode_count: int | None
    newest_episode_at: datetime | None
    moved_to: str | None
    state: Code
    state_text: str
    fetched_at: datetime | None
    ok_at: datetime | None
    next_fetch_at: datetime | None
    error: Problem | None
    warnings: list[str]
    enriched: Enriched | None


class Chapter(Struct):
    """`start` is in seconds."""

    start: float
    title: str | None
    href: str | None = None


class Episode(Struct):
    """An episode as its feed last described it; `description` is safe HTML. `gone_at`: since when the feed no
    longer has it, in answers to `since`. `podcast` is as for a podcast."""

    rss_source_feed: str
    rss_source_item: str
    guid: str
    enclosure_url: str
    enclosure_type: str | None
    enclosure_length: int | None
    title: str | None
    description: str | None
    link: str | None
    published_at: datetime | None
    duration: int | None
    cover: str | None
    season: int | None
    episode: int | None
    kind: str | None
    explicit: bool | None
    chapters: list[Chapter]
    podcast: dict[str, list[dict[str, Any]]]
    changed_at: datetime
    gone_at: datetime | None


class Episodes(Struct):
    """The newest first; empty while the feed has not been read yet."""

    episodes: list[Episode]
    next_cursor: str | None


class Refreshing(Struct):
    """The feed will be fetched within seconds; `metadata` then shows the result."""

    status: Success
    state: Literal["queued"]


class EpisodesQuery(PageQuery):
    """`since`: only episodes that were added, changed or removed since then."""

    since: Time | None = None


class MetadataView(View):
    scopes = {"GET": READ}

    @operation("Show a podcast", answers={200: Podcast})
    def get(self, request: Request, path: FeedPath) -> Response:
        """404 if the user does not follow it. Titles and descriptions are the publisher's; descriptions are
        safe HTML."""
        position, feed = _followed(request, path.feed)
        if feed is None:
            _want(path.feed)
        return answers.answer(_podcast(path.feed, feed), position)


class EpisodesView(View):
    scopes = {"GET": READ}

    @operation("List the episodes of a podcast", answers={200: Episodes})
    def get(self, request: Request, path: FeedPath, query: EpisodesQuery) -> Response:
        """404 if the user does not follow it."""
        position, feed = _followed(request, path.feed)
        if feed is None:
            _want(path.feed)
            return answers.answer(Episodes([], None), position)
        found = episodes_of_feed(feed.id, query.since, query.cursor, query.limit)
        shown = [_episode(path.feed, row, feed) for row in found.rows]
        listed = [episode for episode in shown if episode is not None]
        return answers.answer(Episodes(listed, found.next), position)


class RefreshView(View):
    scopes = {"POST": WRITE}

    @operation("Fetch a podcast anew", answers={202: Refreshing}, notes={202: "The feed will be fetched."})
    def post(self, request: Request, path: FeedPath) -> Response:
        """Possible once in five minutes, whoever asks (429 `fetched_lately`), and not while the feed's server
        has asked for a pause (429 `paused`). 404 if the user does not follow it."""
        _, feed = _followed(request, path.feed)
        return answers.answer_once(
            request, Refreshing("success", "queued"), lambda: _refresh(path.feed, feed), status=202
        )


def _followed(request: Request, feed: str) -> tuple[int, FeedShown | None]:
    """Return the position, and what is known of a feed that the user follows, under any of its addresses.

    Raises ``NotFound`` if the user does not follow it.
    """
    user_id, names = caller_of(request).user_id, addresses_of(feed)

    def read() -> Page[Any]:
        return queries.subscriptions_of(user_id, names)

    found = answers.page(request, "subscriptions", read)
    if not found.rows:
        raise NotFound
    return found.position, feeds_of([feed]).get(feed)


def _want(feed: str) -> None:
    if _first("want", feed, WANTED) is None:
        announcing.want([feed])


def _refresh(name: str, feed: FeedShown | None) -> None:
    """Have a feed fetched. Raises ``ApiError`` (429)."""
    if feed is None:
        _want(name)
        return
    at, facts = now(), feed.facts
    if facts.paused_until is not None and facts.paused_until > at:
        raise _later("paused", feed.state(at).text, facts.paused_until - at)
    lately = "It is fetched once in five minutes at most."
    if facts.fetched_at is not None and facts.fetched_at > at - REFRESHES:
        raise _later("fetched_lately", lately, facts.fetched_at + REFRESHES - at)
    wait = _first("refresh", str(feed.uid), REFRESHES)
    if wait is not None:
        raise _later("fetched_lately", lately, wait)
    announcing.refresh(feed.id)


def _first(what: str, who: str, within: timedelta) -> timedelta | None:
    """Return None for the first call within that time, or else how long to wait. Without Redis, always
    None."""
    try:
        return attempts.count(what, who, 1, within)
    except redis.RedisError:
        return None


def _later(code: str, detail: str, wait: timedelta) -> ApiError:
    return ApiError(429, code, detail, max(ceil(wait.total_seconds()), 1))


def _podcast(name: str, feed: FeedShown | None) -> Podcast:
    details = None if feed is None else details_of(feed.id)
    if feed is None or details is None:
        return _unread(name)
    state, error, extra = feed.state(now()), feed.error, msgspec.json.decode(details.extra)
    return Podcast(
        rss_source_feed=name,
        feed_url=url_of_feed(name),
        uid=feed.uid,
        title=feed.title or None,
        author=feed.author or None,
        cover=address(feed.cover),
        language=feed.language or None,
        moved_to=feed.moved_to,
        state=state.code,
        state_text=state.text,
        fetched_at=feed.facts.fetched_at,
        ok_at=feed.facts.ok_at,
        next_fetch_at=feed.facts.next_at,
        error=None if error is None else Problem(*error),
        enriched=enriched(feed),
        funding=[Funding(one["url"], one.get("text")) for one in extra.get("funding", ()) if "url" in one],
        podcast=_without_pictures(extra),
        **_channel_fields(details, has_been_read=feed.facts.ok_at is not None),
    )


def _channel_fields(details: Details, *, has_been_read: bool) -> dict[str, Any]:
    return {
        "podcast_guid": details.podcast_guid,
        "description": safe_html(details.description) or None,
        "link": details.link or None,
        "copyright": details.copyright or None,
        "categories": details.categories,
        "explicit": details.explicit,
        "kind": details.kind or None,
        "medium": details.medium or None,
        "complete": details.complete,
        "episode_count": details.episode_count if has_been_read else None,
        "newest_episode_at": details.newest_at,
        "warnings": msgspec.json.decode(details.warnings, type=list[str]),
    }


def _unread(name: str) -> Podcast:
    """Return the answer for a feed of which nothing is known."""
    unknown: dict[str, Any] = dict.fromkeys(Podcast.__struct_fields__)
    unknown |= {"rss_source_feed": name, "feed_url": url_of_feed(name), "complete": False, "podcast": {}}
    unknown |= {name: [] for name in ("categories", "funding", "warnings")}
    return Podcast(**unknown | {"state": "new", "state_text": "Not read yet."})


def _episode(feed: str, row: EpisodeRow, of: FeedShown) -> Episode | None:
    """Return the episode, or None if no app could name it: its enclosure URL is invalid, and it has no
    GUID."""
    item = item_in(row.guid, row.enclosure_url)
    if item is None:
        return None
    extra = msgspec.json.decode(row.extra)
    chapters = [Chapter(one.start, one.title or None, one.link) for one in in_feed(extra)]
    extra.pop(CHAPTERS.name, None)
    return Episode(
        feed,
        *shown_item(item),
        enclosure_type=row.enclosure_type or None,
        enclosure_length=None if row.enclosure_length < 0 else row.enclosure_length,
        title=row.title or None,
        description=safe_html(row.description) or None,
        link=row.link or None,
        published_at=row.published_at,
        duration=row.duration,
        cover=address(path_of(row.image_url, title=row.title, key=str(of.id)) or of.cover),
        season=row.season,
        episode=row.number,
        kind=row.kind or None,
        explicit=row.explicit,
        chapters=chapters,
        podcast=_without_pictures(extra),
        changed_at=row.changed_at,
        gone_at=row.gone_at,
    )


def _without_pictures(extra: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out pictures: their addresses would tell a publisher who looks, and when."""
    return {
        name: [_without_pictures(one) if isinstance(one, dict) else one for one in value]
        if isinstance(value, list)
        else value
        for name, value in extra.items()
        if name not in PICTURES
    }


paths = [
    path("subscriptions/<path:feed>/metadata", MetadataView.as_view()),
    path("subscriptions/<path:feed>/episodes", EpisodesView.as_view()),
    path("subscriptions/<path:feed>/refresh", RefreshView.as_view()),
]
