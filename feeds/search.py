"""Search the podcasts and episodes that this server knows, by words, category and language.

Words are compared without case, accents and punctuation, and match the beginnings of words
(``system.search_query``). A secret or blocked feed is found only by those who follow it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from eventstore.domain.identifiers import feed_of_url
from feeds.details import id_in_cursor, read_system
from projections.connect import run
from projections.queries import Page, Query, moment

CATEGORY = """
SELECT slug, name FROM "system"."categories" WHERE slug = %(slug)s OR parent_id = %(slug)s
"""
# all addresses of a feed, for callers that count by the digests of addresses
PUBLIC_KEYS = """
SELECT alias.feed_key
  FROM "system"."feeds" AS feed JOIN "system"."feed_aliases" AS alias ON alias.feed_id = feed.id
 WHERE NOT (feed.is_secret OR feed.blocked OR feed.locked)"""
# the languages, without regional variants, of the feeds that everybody may see
LANGUAGES = """
SELECT DISTINCT split_part(replace(lower(language), '_', '-'), '-', 1)
  FROM "system"."feeds" WHERE language <> '' AND NOT (is_secret OR blocked OR locked)
"""
IN_CATEGORY = "feed.categories && %s::text[]"
# matches en-US, en_us and EN, all of which publishers write
IN_LANGUAGE = "replace(lower(feed.language), '_', '-') || '-' LIKE %s"
NAMED = """
SELECT feed_id, url, feed_key = ANY(%s) FROM "system"."feed_aliases" WHERE feed_key = ANY(%s) ORDER BY url
"""
# An exact title ranks first, then words in the title (weight A), in the author (B), in the description. Most
# matches for a common word have it only in the description: these are ranked with a single comparison.
PODCASTS = """(
    SELECT feed.*, coalesce(feed.newest_at, feed.first_seen_at) AS newest,
           CASE WHEN NOT ts_filter(feed.words, '{a,b}') @@ system.search_query(%s) THEN 0
                WHEN NOT ts_filter(feed.words, '{a}') @@ system.search_query(%s) THEN 1
                WHEN system.folded(feed.title) <> system.folded(%s) THEN 2
                ELSE 3 END AS score
      FROM "system"."feeds" AS feed
     WHERE feed.words @@ system.search_query(%s)
       AND feed.merged_into_id IS NULL
       AND (feed.id = ANY(%s) OR (NOT (feed.is_secret OR feed.blocked OR feed.locked) AND feed.id <> ALL(%s)))
) AS feed WHERE true"""
FITS = "system.search_words(episode.title) @@ system.search_query(%s)"
# Asked first: when few rows in some order are wanted, the planner scans all rows in that order, and takes
# half a second to find no match among 60,000.
SOME_EPISODES = f"""
SELECT episode.id FROM "system"."episodes" AS episode WHERE {FITS} AND episode.gone_at IS NULL LIMIT %s
"""  # noqa: S608  no values in it
RARE = 500
EPISODES = """(
    SELECT episode.*, feed.url, feed.categories, feed.language
      FROM "system"."episodes" AS episode JOIN "system"."feeds" AS feed ON feed.id = episode.feed_id
     WHERE {fits} AND episode.gone_at IS NULL
       AND (feed.id = ANY(%s) OR (NOT (feed.is_secret OR feed.blocked OR feed.locked) AND feed.id <> ALL(%s)
                                  AND NOT episode.blocked))
) AS feed WHERE true"""
TRIGRAMS = """
SELECT quote_ident(nspname) FROM pg_extension JOIN pg_namespace AS place ON place.oid = extnamespace
 WHERE extname = 'pg_trgm'
"""
# The least similarity at which a word counts as another one mistyped.
LIKENESS = 0.5
LIKE = """
SELECT feed.id, feed.url, feed.categories, feed.episode_count, feed.newest_at
  FROM "system"."feeds" AS feed,
       LATERAL (SELECT {place}.word_similarity(system.folded(%s), system.folded(feed.title))
               ) AS how (likeness)
 WHERE how.likeness >= %s AND feed.title <> '' AND feed.merged_into_id IS NULL
   AND (feed.id = ANY(%s)
        OR (NOT (feed.is_secret OR feed.blocked OR feed.locked) AND feed.id <> ALL(%s))){among}
 ORDER BY how.likeness DESC, feed.id LIMIT %s
"""


class Among(NamedTuple):
    """Restrict a search to some feeds: by the names of categories, of which one has to match, and by a
    language in lower case."""

    categories: Sequence[str] | None
    language: str | None

    @property
    def conditions(self) -> dict[str, Any]:
        language = None if self.language is None else f"{self.language}-%"
        conditions = {IN_CATEGORY: self.categories and list(self.categories), IN_LANGUAGE: language}
        return {condition: value for condition, value in conditions.items() if value is not None}


ALL = Among(None, None)


class Sight(NamedTuple):
    """Which feeds somebody may find. ``own``: for the id of each feed that the listener follows, the address
    under which it is followed; ``blocked``: the ids of feeds that only their followers find."""

    own: dict[int, str]
    blocked: list[int]

    @property
    def values(self) -> list[Any]:
        return [list(self.own), self.blocked]

    def name(self, feed_id: int, url: str) -> str:
        """Return the ``rss_source_feed`` of a feed, under the address that the listener follows."""
        return feed_of_url(self.own.get(feed_id, url))


class PodcastFound(NamedTuple):
    id: int
    url: str
    categories: list[str]
    episode_count: int
    newest_at: datetime | None


class EpisodeFound(NamedTuple):
    id: int
    feed_id: int
    url: str
    guid: str
    enclosure_url: str
    title: str
    published_at: datetime | None
    duration: int | None
    image_url: str


FIND_PODCASTS = Query(
    "", PodcastFound, PODCASTS, {"score": id_in_cursor, "newest": moment, "id": id_in_cursor}
)
FIND_EPISODES = Query("", EpisodeFound, EPISODES, {"sort_at": moment, "id": id_in_cursor})


def category_names(slug: str) -> list[str]:
    """Return the names that feeds may use for a category and those below it; empty if there is none."""
    rows = run(CATEGORY, {"slug": slug}, "system").fetchall()
    return sorted({name for row in rows for name in row})


def languages() -> list[str]:
    """Return the codes of the languages of public feeds, as far as they have two or three letters."""
    rows = run(LANGUAGES, [], "system").fetchall()
    return sorted(code for (code,) in rows if code.isalpha() and len(code) in (2, 3))


def public_feed_keys(among: Among) -> list[UUID]:
    """Return the digests of the addresses of all feeds that everybody may see."""
    statement = " AND ".join([PUBLIC_KEYS, *among.conditions])
    return [key for (key,) in run(statement, list(among.conditions.values()), "system")]


def sight(followed: Sequence[UUID], blocked: Sequence[UUID]) -> Sight:
    """Return what somebody may find, from the digests of the feeds they follow and of blocked feeds."""
    rows = run(NAMED, [list(followed), [*followed, *blocked]], "system").fetchall()
    own = {feed_id: url for feed_id, url, is_own in rows if is_own}
    return Sight(own, [feed_id for feed_id, _, is_own in rows if not is_own])


def podcasts(words: str, among: Among, seen: Sight, after: str | None, limit: int) -> Page[PodcastFound]:
    """Return podcasts that contain all these words, best match first; where there are none and the server has
    ``pg_trgm``, those with similar titles. Raises ``InvalidCursor``."""
    values = [words, words, words, words, *seen.values]
    found = FIND_PODCASTS.page(values, among.conditions, after, limit, descending=True, read=read_system)
    if found.rows or after is not None:
        return found
    return Page(_alike(words, among, seen, limit), None, 0)


def episodes(words: str, among: Among, seen: Sight, after: str | None, limit: int) -> Page[EpisodeFound]:
    """Return episodes whose titles contain all these words, the newest first. Raises ``InvalidCursor``."""
    found = [episode_id for (episode_id,) in run(SOME_EPISODES, [words, RARE + 1], "system")]
    is_rare = len(found) <= RARE
    source = EPISODES.format(fits="episode.id = ANY(%s)" if is_rare else FITS)
    values = [found if is_rare else words, *seen.values]
    query = FIND_EPISODES._replace(source=source)
    return query.page(values, among.conditions, after, limit, descending=True, read=read_system)


def _alike(words: str, among: Among, seen: Sight, limit: int) -> list[PodcastFound]:
    place = _place_of_trigrams()
    if place is None:
        return []
    statement = LIKE.format(place=place, among="".join(f" AND {one}" for one in among.conditions))
    values = [words, LIKENESS, *seen.values, *among.conditions.values(), limit]
    return [PodcastFound(*row) for row in run(statement, values, "system")]


def _place_of_trigrams() -> str | None:
    """Return the schema that contains ``pg_trgm``; None where the extension is not installed. Once found, it
    is remembered for the life of the process."""
    if not _trigrams and (found := run(TRIGRAMS, [], "system").fetchone()):
        _trigrams.append(found[0])
    return _trigrams[0] if _trigrams else None


_trigrams: list[str] = []
