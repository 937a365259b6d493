"""What answers say about podcasts and episodes besides their identifiers: titles, covers, the operator's
notes."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from django.conf import settings
from msgspec import Struct

from feeds.queries import (
    EpisodeName,
    EpisodeShown,
    FeedListed,
    FeedShown,
    episodes_of,
    feeds_for,
    public_feeds,
)


class Link(Struct):
    url: str
    title: str


class Enriched(Struct):
    """What the operator of this server says about a podcast. `slug` is its name in the addresses of pages."""

    slug: str
    color: str | None
    links: list[Link]
    note: str | None
    featured: bool


_ENRICHED = msgspec.json.Decoder(Enriched).decode


class Titles(NamedTuple):
    """What is known of the feeds and episodes in one answer; what is not known is None."""

    feeds: Mapping[str, FeedShown]
    episodes: Mapping[EpisodeName, EpisodeShown]

    def feed_title(self, feed: str | None) -> str | None:
        known = self.feeds.get(feed or "")
        return (known and known.title) or None

    def of_episode(self, feed: str | None, item: str | None) -> tuple[str | None, str | None, str | None]:
        """Return the feed's title, the episode's title, and the address of the episode's picture."""
        known = self.episodes.get((feed or "", item or ""))
        return self.feed_title(feed), (known and known.title) or None, self.cover(feed, item)

    def cover(self, feed: str | None, item: str | None = None) -> str | None:
        """Return the address of the episode's picture on this server, or else of its feed's."""
        episode, known = self.episodes.get((feed or "", item or "")), self.feeds.get(feed or "")
        return address((episode and episode.cover) or (known and known.cover))

    def moved_to(self, feed: str) -> str | None:
        known = self.feeds.get(feed)
        return known and known.moved_to

    def is_blocked(self, row: Any) -> bool:
        """Whether the publisher keeps the episode of a row out of public lists."""
        episode = self.episodes.get((row.rss_source_feed or "", row.rss_source_item or ""))
        return episode is not None and episode.blocked

    def enriched(self, feed: str) -> Enriched | None:
        known = self.feeds.get(feed)
        return enriched(known) if known is not None else None


UNTITLED = Titles({}, {})


def titles_for(user_id: UUID, rows: Iterable[Any]) -> Titles:
    """Return what is known of the feeds, and the episodes if any, in a listener's own rows."""
    names = _names(rows)
    feeds = feeds_for(user_id, {feed for feed, _ in names})
    return Titles(feeds, episodes_of(names, feeds))


def public_titles(rows: Iterable[Any]) -> Titles:
    """Return the same as ``titles_for``, limited to what everybody may read."""
    names = _names(rows)
    feeds = public_feeds({feed for feed, _ in names})
    return Titles(feeds, episodes_of(names, feeds))


def enriched(feed: FeedShown | FeedListed) -> Enriched | None:
    if feed.enriched is None:
        return None
    decoded = _ENRICHED(feed.enriched)
    decoded.color, decoded.note = decoded.color or None, decoded.note or None
    return decoded


def address(path: str | None) -> str | None:
    """Return a path of this server as an absolute URL, which apps on other hosts need."""
    return path and f"{settings.PUBLIC_URL}{path}"


def _names(rows: Iterable[Any]) -> list[tuple[str | None, str | None]]:
    return [(row.rss_source_feed, getattr(row, "rss_source_item", None)) for row in rows]
