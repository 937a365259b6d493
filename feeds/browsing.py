"""Queries on feeds and episodes for the browsing pages; each is one statement.

``feeds.queries`` reads names and pictures for lists whose feeds and episodes are known already; here feeds
are compared, and the episodes of a feed are listed. An episode's time is the one by which it is sorted.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from eventstore.domain.identifiers import InvalidIdentifier, feed_key_of, feed_of_url, item_of
from feeds.covers import path_of
from feeds.models import EnrichedPodcast, Feed
from feeds.queries import EpisodeName, FeedShown, episode_rows, file_name
from projections.connect import run

# an episode's place in a list: its sort time and its id
Place = tuple[datetime, int]

SUMMARIES = """
SELECT alias.feed_key, feed.id, feed.uid, feed.title, feed.author, feed.cover_url, feed.newest_at,
       feed.episode_count, feed.state
  FROM "system"."feed_aliases" AS alias
  JOIN "system"."feeds" AS named ON named.id = alias.feed_id
  JOIN "system"."feeds" AS feed ON feed.id = coalesce(named.merged_into_id, named.id)
 WHERE alias.feed_key = ANY(%s)
"""
COLUMNS = """id, feed_id, guid, enclosure_url, enclosure_type, title, description, published_at, sort_at,
       duration, image_url, season, number, kind, link, extra"""
# reads a few episodes of each feed by the index, instead of sorting all of them
NEWEST = f"""
SELECT {COLUMNS} FROM unnest(%(feeds)s::bigint[]) AS followed (id_of_feed) CROSS JOIN LATERAL (
       SELECT * FROM "system"."episodes"
        WHERE feed_id = id_of_feed AND gone_at IS NULL AND sort_at > %(since)s
        ORDER BY sort_at DESC LIMIT %(each)s) AS episode
 ORDER BY sort_at DESC, id DESC LIMIT %(limit)s
"""  # noqa: S608  no values in it
LISTED = """
SELECT {columns} FROM "system"."episodes"
 WHERE feed_id = %(feed)s AND gone_at IS NULL
   AND (%(text)s = '' OR title ILIKE %(pattern)s)
   AND ({place} IS NULL OR (sort_at, id) {beyond} ({place}, %(id)s))
 ORDER BY sort_at {direction}, id {direction} LIMIT %(limit)s
"""


ITEMS = """
SELECT id, sort_at, guid, enclosure_url FROM "system"."episodes"
 WHERE feed_id = %s AND gone_at IS NULL ORDER BY sort_at DESC, id DESC
"""
PLACE = 'SELECT sort_at, id FROM "system"."episodes" WHERE id = %s'


class Summary(NamedTuple):
    """What podcasts are sorted by and shown with. Texts are empty until the feed has been read.

    ``cover``: the path of its picture on this server, or "".
    """

    id: int
    uid: UUID
    title: str
    author: str
    cover_url: str
    newest_at: datetime | None
    episode_count: int
    state: str

    @property
    def cover(self) -> str:
        return path_of(self.cover_url, title=self.title, key=str(self.uid)) or ""

    @property
    def is_read(self) -> bool:
        """Whether the feed has ever been read, even if it is empty."""
        return bool(self.title or self.episode_count or self.state == "active")


class EpisodeRow(NamedTuple):
    """An episode as its feed last described it; ``description`` is as received and must be sanitised."""

    id: int
    feed_id: int
    guid: str
    enclosure_url: str
    enclosure_type: str
    stored_title: str
    description: str
    published_at: datetime | None
    sort_at: datetime
    duration: int | None
    image_url: str
    season: int | None
    number: int | None
    kind: str
    link: str
    extra: dict[str, Any]

    @property
    def title(self) -> str:
        return self.stored_title or file_name(self.enclosure_url) or self.guid

    @property
    def cover(self) -> str:
        return path_of(self.image_url, title=self.title, key=str(self.feed_id)) or ""

    @property
    def item(self) -> str | None:
        """The episode's ``rss_source_item``; None where its GUID and URL cannot be expressed as an item."""
        return _item(self.guid, self.enclosure_url)


class ListedItem(NamedTuple):
    """An episode with only its identifiers and its place."""

    id: int
    sort_at: datetime
    guid: str
    enclosure_url: str

    @property
    def place(self) -> Place:
        return self.sort_at, self.id

    @property
    def item(self) -> str | None:
        """See ``EpisodeRow.item``."""
        return _item(self.guid, self.enclosure_url)


def summaries(names: Iterable[str]) -> dict[str, Summary]:
    """Return summaries by normalised ``rss_source_feed``; unknown feeds are left out."""
    keys = {UUID(feed_key_of(name)): name for name in names}
    if not keys:
        return {}
    return {keys[row[0]]: Summary(*row[1:]) for row in run(SUMMARIES, [list(keys)], "system")}


def newest(feed_ids: Sequence[int], since: datetime, limit: int, each: int = 20) -> list[EpisodeRow]:
    """Return the newest episodes of these feeds with a time after ``since``, at most ``each`` per feed."""
    values = {"feeds": list(feed_ids), "since": since, "each": each, "limit": limit}
    return [_episode(row) for row in run(NEWEST, values, "system")] if feed_ids else []


def episodes(
    feed_id: int, limit: int, *, text: str = "", after: Place | None = None, oldest_first: bool = False
) -> list[EpisodeRow]:
    """Return a feed's current episodes whose title contains ``text``, starting after the place ``after``."""
    direction, beyond = ("ASC", ">") if oldest_first else ("DESC", "<")
    statement = LISTED.format(
        columns=COLUMNS, direction=direction, beyond=beyond, place="%(at)s::timestamptz"
    )
    at, episode_id = after or (None, None)
    values = {"feed": feed_id, "text": text, "pattern": f"%{_literal(text)}%", "limit": limit}
    return [_episode(row) for row in run(statement, {**values, "at": at, "id": episode_id}, "system")]


def items(feed_id: int) -> list[ListedItem]:
    """Return all current episodes of a feed, the newest first."""
    return [ListedItem._make(row) for row in run(ITEMS, [feed_id], "system")]


def place_of(episode_id: int) -> Place:
    """Return the place of an existing episode in its feed's list."""
    row = run(PLACE, [episode_id], "system").fetchone()
    assert row is not None
    return row[0], row[1]


def episode_of(name: EpisodeName, feeds: Mapping[str, FeedShown]) -> EpisodeRow | None:
    """Return an episode of these feeds by its name (normalised feed and item), or None."""
    columns = COLUMNS.replace(",", " ").split()
    return next((_episode(tuple(row)) for _, row in episode_rows([name], feeds, columns)), None)


def details(feed_id: int) -> Feed:
    """Return the whole row of a feed."""
    return Feed.objects.get(pk=feed_id)


def summary_of(feed: Feed) -> Summary:
    """Return the summary of a feed whose row is loaded already."""
    return Summary(*(getattr(feed, name) for name in Summary._fields))


def feed_of_slug(slug: str) -> str | None:
    """Return the ``rss_source_feed`` of the podcast to which the operator gave this slug, or None."""
    url = EnrichedPodcast.objects.filter(slug=slug).values_list("url", flat=True).first()
    return None if url is None else feed_of_url(url)


def occurrences(extra: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the contents of a feed's or an episode's tags of this name (``feeds.read.podcast``)."""
    found = extra.get(name)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _item(guid: str, enclosure_url: str) -> str | None:
    try:
        return item_of(guid, enclosure_url)
    except InvalidIdentifier:
        return None


def _episode(row: tuple[Any, ...]) -> EpisodeRow:
    # Django's connections return JSON as text
    return EpisodeRow._make((*row[:-1], msgspec.json.decode(row[-1])))


def _literal(text: str) -> str:
    """Escape ``text`` for a LIKE pattern, so that it is matched literally."""
    return text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
