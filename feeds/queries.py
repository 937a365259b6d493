"""Look up feeds and episodes by the names that apps use, for every list that shows titles.

Each lookup is one statement, however many names are given. Nothing is known of a feed that was never fetched,
and no lookup waits for a fetch. A merged feed yields the feed that it was merged into.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import unquote, urlsplit
from uuid import UUID

from eventstore.database import discard_when_broken, raw_connection
from eventstore.domain.identifiers import feed_key_of, feed_of_url, guid_key_of, parts_of_item
from eventstore.prepared import Prepared
from feeds.covers import generated_path, path_of
from feeds.keys import item_hash
from feeds.states import Facts, FeedError, FeedState, error_of, state_of
from projections.connect import run

# a normalised feed and item
EpisodeName: TypeAlias = tuple[str, str]

FEEDS = """
SELECT alias.feed_key, alias.url, feed.id,
       ARRAY(SELECT merged.id FROM "system"."feeds" AS merged WHERE merged.merged_into_id = feed.id),
       feed.uid, feed.url, feed.title, feed.author, feed.cover_url, feed.language, feed.is_secret,
       feed.blocked OR feed.locked,
       (SELECT jsonb_build_object('slug', own.slug, 'color', own.color, 'links', own.links, 'note', own.note,
                                  'featured', own.featured)
          FROM "system"."feed_aliases" AS other JOIN "system"."enriched_podcasts" AS own USING (feed_key)
         WHERE other.feed_id = feed.id ORDER BY own.slug LIMIT 1),
       feed.state, coalesce(host.name, ''), schedule.fetched_at, schedule.ok_at,
       schedule.next_at, coalesce(schedule.error, ''), schedule.error_since, schedule.status,
       host.paused_until, host.failures,
       (SELECT max(move.decided_at) FROM "system"."feed_moves" AS move
         WHERE move.decided = 'followed' AND move.reason IN ('moved', 'new_feed_url')
           AND move.feed_id IN (SELECT feed.id UNION ALL SELECT merged.id FROM "system"."feeds" AS merged
                                 WHERE merged.merged_into_id = feed.id))
  FROM "system"."feed_aliases" AS alias
  JOIN "system"."feeds" AS named ON named.id = alias.feed_id
  JOIN "system"."feeds" AS feed ON feed.id = coalesce(named.merged_into_id, named.id)
  LEFT JOIN "system"."feed_schedule" AS schedule ON schedule.feed_id = feed.id
  LEFT JOIN "system"."feed_hosts" AS host ON host.id = schedule.host_id
 WHERE alias.feed_key = ANY(%s)
"""
# Only what lists of podcasts show: all of FEEDS takes three times as long.
LISTED = """
SELECT wanted.place, alias.url, coalesce(kept.uid, named.uid)::text, coalesce(kept.url, named.url),
       coalesce(kept.title, named.title), coalesce(kept.cover_url, named.cover_url),
       coalesce(kept.is_secret, named.is_secret), own.said
  FROM unnest(%s::uuid[]) WITH ORDINALITY AS wanted (feed_key, place)
  JOIN "system"."feed_aliases" AS alias ON alias.feed_key = wanted.feed_key
  JOIN "system"."feeds" AS named ON named.id = alias.feed_id
  LEFT JOIN "system"."feeds" AS kept ON kept.id = named.merged_into_id
  LEFT JOIN (SELECT DISTINCT ON (other.feed_id) other.feed_id,
                    jsonb_build_object('slug', own.slug, 'color', own.color, 'links', own.links,
                                       'note', own.note, 'featured', own.featured)::text AS said
               FROM "system"."enriched_podcasts" AS own JOIN "system"."feed_aliases" AS other USING (feed_key)
              ORDER BY other.feed_id, own.slug) AS own ON own.feed_id = coalesce(kept.id, named.id)
"""
VERSION = Prepared(
    "feed_version",
    """SELECT string_agg(version::text, ' ' ORDER BY version) FROM "system"."feed_versions" """,
)
# The exact pair comes first: two episodes of a feed may share a GUID, and an enclosure may have moved since.
EPISODES = """
SELECT wanted.place, {columns}
  FROM unnest(%s::integer[], %s::bigint[], %s::bytea[], %s::bytea[]) AS wanted (place, feed_id, key, hash)
 CROSS JOIN LATERAL (SELECT coalesce(
       (SELECT episode_id FROM "system"."episode_items" WHERE item_hash = wanted.hash),
       (SELECT id FROM "system"."episodes" WHERE feed_id = wanted.feed_id AND key = wanted.key)) AS id
       ) AS found
  JOIN "system"."episodes" AS episode ON episode.id = found.id
 ORDER BY wanted.place
"""
SHOWN = (
    "id",
    "feed_id",
    "guid",
    "enclosure_url",
    "title",
    "published_at",
    "duration",
    "image_url",
    "blocked",
)
ADDRESSES = """
SELECT other.url FROM "system"."feed_aliases" AS named
  JOIN "system"."feed_aliases" AS other USING (feed_id) WHERE named.feed_key = %s
"""
FOLLOWED = """
SELECT feed_key FROM "users"."subscriptions"
 WHERE user_id = %s AND feed_key = ANY(%s)
   AND subscribed_at IS NOT NULL AND (unsubscribed_at IS NULL OR subscribed_at >= unsubscribed_at)
"""


class FeedShown(NamedTuple):
    """A feed as lists show it. ``known_as``: the address by which it was asked for; ``url``: its address now.

    Title and author are empty while it has never been read. ``merged_ids``: the ids of feeds merged into it.
    ``enriched``: the operator's additions, the fields of ``EnrichedPodcast`` as JSON.
    """

    known_as: str
    id: int
    merged_ids: list[int]
    uid: UUID
    url: str
    title: str
    author: str
    cover_url: str
    language: str
    is_secret: bool
    blocked: bool
    enriched: str | None
    facts: Facts

    @property
    def cover(self) -> str | None:
        """Return the path of its cover on this server, or of a generated one; None if its title is
        unknown."""
        return _cover(self.cover_url, self.title, str(self.uid))

    @property
    def moved_to(self) -> str | None:
        """Return its current address where that differs from the one by which it was asked for, else None."""
        return None if self.url == self.known_as else self.url

    @property
    def error(self) -> FeedError | None:
        return error_of(self.facts)

    def state(self, now: datetime) -> FeedState:
        return state_of(self.facts, now)


class FeedListed(NamedTuple):
    """A feed as a list of podcasts shows it: some of the fields of ``FeedShown``, with ``uid`` as text."""

    known_as: str
    uid: str
    url: str
    title: str
    cover_url: str
    is_secret: bool
    enriched: str | None

    @property
    def cover(self) -> str | None:
        return _cover(self.cover_url, self.title, self.uid)

    @property
    def moved_to(self) -> str | None:
        return None if self.url == self.known_as else self.url


class EpisodeShown(NamedTuple):
    """An episode as lists show it, as last described by its feed."""

    id: int
    feed_id: int
    guid: str
    enclosure_url: str
    stored_title: str
    published_at: datetime | None
    duration: int | None
    image_url: str
    blocked: bool

    @property
    def title(self) -> str:
        """Return its title, or else the file name of its enclosure; empty where it has neither."""
        return self.stored_title or file_name(self.enclosure_url)

    @property
    def cover(self) -> str | None:
        """Return the path of its own picture on this server; None where its feed's is to be shown instead."""
        return path_of(self.image_url, title=self.title, key=str(self.feed_id))


def feeds_of(names: Iterable[str | None]) -> dict[str, FeedShown]:
    """Return what is known of these normalised ``rss_source_feed``, without those that were never fetched.

    Secret and blocked feeds are included: ``feeds_for`` and ``public_feeds`` leave out what the reader may
    not see. Like all functions here, raises ``psycopg.OperationalError`` (or Django's) where the store is not
    available.
    """
    keys = {UUID(feed_key_of(name)): name for name in names if name is not None}
    if not keys:
        return {}
    return {keys[row[0]]: _feed(row) for row in run(FEEDS, [list(keys)], "system")}


def addresses_of(name: str) -> list[str]:
    """Return the names of a feed: the given one, and those of its other addresses, if the feed is known."""
    rows = run(ADDRESSES, [UUID(feed_key_of(name))], "system")
    return list({name: None, **{feed_of_url(url): None for (url,) in rows}})


def feeds_for(user_id: UUID, names: Iterable[str | None]) -> dict[str, FeedShown]:
    """Return the same for a listener's own lists: a secret feed only if the listener follows it."""
    return _seen_by(user_id, feeds_of(names))


def listed(names: Iterable[str]) -> dict[str, FeedListed]:
    """Return a shorter form of ``feeds_of`` for lists of podcasts, secret feeds included."""
    wanted = list(dict.fromkeys(names))
    if not wanted:
        return {}
    # an array in PostgreSQL's notation: psycopg's conversion of a list takes a tenth of the whole request
    rows = run(LISTED, [f"{{{','.join(map(feed_key_of, wanted))}}}"], "system").fetchall()
    return {wanted[place - 1]: FeedListed(*row) for place, *row in rows}


def version() -> bytes | None:
    """Return a text that is different after each change of what ``listed`` returns, for whichever feed.

    Ask for the version first, for the feeds after that: then what is kept under a version is never older.
    """
    with discard_when_broken("system"):
        return VERSION.first_value(raw_connection("system"), {})


def _seen_by(user_id: UUID, found: dict[str, FeedShown]) -> dict[str, FeedShown]:
    """Remove the secret feeds that a listener does not follow."""
    secret = [UUID(feed_key_of(name)) for name, feed in found.items() if feed.is_secret]
    if not secret:
        return found
    followed = {key for (key,) in run(FOLLOWED, [user_id, secret])}
    return {
        name: feed
        for name, feed in found.items()
        if not feed.is_secret or UUID(feed_key_of(name)) in followed
    }


def public_feeds(names: Iterable[str | None]) -> dict[str, FeedShown]:
    """Return the same for everybody: without feeds that are secret, or that publishers block or lock."""
    return {name: feed for name, feed in feeds_of(names).items() if not (feed.is_secret or feed.blocked)}


def episodes_of(
    names: Iterable[tuple[str | None, str | None]], feeds: Mapping[str, FeedShown]
) -> dict[EpisodeName, EpisodeShown]:
    """Return what is known of these episodes (normalised feed and item) of these ``feeds``, by their names.

    An item from an older copy of the feed leads to its episode as well.
    """
    found: dict[EpisodeName, EpisodeShown] = {}
    for name, columns in episode_rows(names, feeds, SHOWN):
        found.setdefault(name, EpisodeShown(*columns))
    return found


def episode_rows(
    names: Iterable[tuple[str | None, str | None]], feeds: Mapping[str, FeedShown], columns: Sequence[str]
) -> Iterator[tuple[EpisodeName, list[Any]]]:
    """Yield these columns of the same episodes with their names; if a name occurs twice, the first counts."""
    known = ((feed, item) for feed, item in names if feed is not None and item is not None and feed in feeds)
    wanted = list(dict.fromkeys(known))
    rows = [row for place, name in enumerate(wanted) for row in _keys(place, name, feeds)]
    if not rows:
        return
    statement = EPISODES.format(columns=", ".join(f"episode.{name}" for name in columns))
    for place, *found in run(statement, [list(column) for column in zip(*rows, strict=True)], "system"):
        yield wanted[place], found


def file_name(url: str) -> str:
    """The last part of a URL's path, decoded; empty where there is none."""
    try:
        return unquote(urlsplit(url).path.rpartition("/")[2])
    except ValueError:  # publishers may write anything as an enclosure
        return ""


@lru_cache(maxsize=4_096)
def _cover(cover_url: str, title: str, uid: str) -> str | None:
    return path_of(cover_url, title=title, key=uid) or (generated_path(title, uid) if title else None)


def _feed(row: tuple[Any, ...]) -> FeedShown:
    return FeedShown._make((*row[1:13], Facts._make(row[13:])))


def _keys(
    place: int, name: EpisodeName, feeds: Mapping[str, FeedShown]
) -> Iterable[tuple[int, int, bytes, bytes]]:
    """Yield the keys by which an episode may be found: its pair may have the id of a merged feed."""
    feed, item = name
    key = bytes.fromhex(guid_key_of(item))
    for feed_id in (feeds[feed].id, *feeds[feed].merged_ids):
        yield place, feed_id, key, item_hash(feed_id, *parts_of_item(item))
