"""What the public reads. No answer is older than the newest change of anybody's privacy.

It is read only from the primary: an erasure deletes rows without an event, so the position that a replica's
rows reflect does not say whether they are deleted there.

All figures are counted from the rows that are public now, including the previous score; the popularity tables
only select the feeds and episodes to look at. So a change of privacy affects every figure at once.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Literal, NamedTuple, cast
from uuid import UUID

from eventstore import log
from eventstore.domain.errors import DomainError
from eventstore.domain.identifiers import episode_key, guid_key_of, key_of
from projections.connect import run
from projections.popularity import WEEK_AGO, figures
from projections.projectors.public_events import TELLING
from projections.queries import Behind, Query, Read, key, moment, read_page, wait_for

PROJECTOR = "public_events"
PEOPLE = 10
Kind = Literal["subscribe", "play", "save", "share"]

# A dead letter of any other type may be a change of privacy that was not applied: then nothing is shown.
HARMLESS = sorted(event.__name__ for event in TELLING)
# The rows and the projector's position, from one snapshot; -1 if it is unknown what may be shown.
READ = """
SELECT CASE WHEN reached.parked AND EXISTS (
                SELECT FROM "users"."dead_letters" letter
                 WHERE letter.projector = reached.projector AND letter.type <> ALL(%s))
            THEN -1 ELSE reached.position END, page.*
  FROM "users"."projector_positions" AS reached
  LEFT JOIN LATERAL ({rows}) AS page ON true
 WHERE reached.projector = %s
 ORDER BY {order}
"""
FIGURES = """
SELECT now.feed, now.item, now.score, now.score_previous, now.plays, now.likes, now.shares, now.subscribers,
       people.ids, now.subscribers_previous, top.key
  FROM ({top}) AS top
  JOIN LATERAL ({figures}) AS now ON true
 CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(user_id ORDER BY at DESC, user_id), '{{}}') AS ids
      FROM (SELECT user_id, max(happened_at) AS at FROM "public"."public_events" p
             WHERE p.{key} = top.key AND user_id IS NOT NULL AND kind IN ('play', 'save')
             GROUP BY user_id ORDER BY at DESC, user_id LIMIT {people}) AS latest) AS people
"""
TRENDING = """
SELECT {key} AS key FROM {table} {condition} ORDER BY score DESC, {key} LIMIT %s
"""
# Trends of the last week come from that week's own figures: no anonymous act counts that these leave out.
RECENT = f"p.happened_at >= {WEEK_AGO}"
TRENDING_NOW = """
SELECT key FROM ({figures}) AS recent ORDER BY score DESC, key LIMIT %s
"""
ONE = "SELECT %s::uuid AS key"
EPOCH = """SELECT epoch FROM "users"."projector_positions" WHERE projector = %s"""
OLDER = """
SELECT EXISTS (SELECT FROM "users"."activity" WHERE happened_at < %(before)s)
    OR EXISTS (SELECT FROM "users"."activity" WHERE withdrawn_at < %(before)s)
"""
# Finds up to which time to trim at once: the index by time leads there.
CUT = """
SELECT happened_at, (SELECT min(happened_at) FROM "users"."activity") FROM "users"."activity"
 WHERE happened_at < %(before)s ORDER BY happened_at OFFSET %(rows)s LIMIT 1
"""
OF_GUID = """
SELECT DISTINCT true, item_key FROM "public"."public_events" WHERE guid_key = %s LIMIT 2
"""
# those of these acts that everybody may see with their listener's name
SHOWN = """
SELECT DISTINCT true, wanted.place FROM unnest(%s::integer[], %s::uuid[], %s::text[], %s::uuid[], %s::uuid[])
       AS wanted (place, user_id, kind, feed_key, item_key)
  JOIN "public"."public_events" AS shown
    ON shown.feed_key = wanted.feed_key AND shown.user_id = wanted.user_id
   AND shown.kind = wanted.kind AND shown.item_key IS NOT DISTINCT FROM wanted.item_key
"""
BY_SCORE = "page.score DESC, page.key"
PODCASTS = {"key": "feed_key", "table": '"public"."podcast_popularity"'}
EPISODES = {"key": "item_key", "table": '"public"."episode_popularity"'}


class Popular(NamedTuple):
    """The figures of a feed or an item; ``people``: the public users who last played or liked it, newest
    first.

    ``score_previous``, ``subscribers_previous``: without what happened in the last seven days. There is no
    feed for an item of which nothing is public.
    """

    rss_source_feed: str | None
    rss_source_item: str | None
    score: int
    score_previous: int
    plays: int
    likes: int
    shares: int
    subscribers: int
    people: list[UUID]
    subscribers_previous: int = 0

    @property
    def figures(self) -> tuple[int, int, int, int, int, int]:
        return (self.score, self.score_previous, self.plays, self.likes, self.shares, self.subscribers)


class PublicRow(NamedTuple):
    """``user_id`` is None, and the time rounded down to the hour, if the listener is anonymous."""

    kind: Kind
    rss_source_feed: str
    rss_source_item: str | None
    happened_at: datetime
    user_id: UUID | None
    id: UUID


TIMELINE = Query(
    PROJECTOR, PublicRow, '"public"."public_events" WHERE true', {"happened_at": moment, "id": key}
)


def trending_podcasts(
    limit: int, feed: str | None = None, among: Sequence[UUID] | None = None, *, recent: bool = False
) -> list[Popular]:
    """Return feeds, highest score first, optionally only those whose digests are ``among`` these.

    ``recent``: by what happened in the last seven days. Raises ``Behind``, as all reads here do, and the
    errors of a store that is away.
    """
    return _trending(PODCASTS, limit, feed, among, recent)


def trending_episodes(
    limit: int, feed: str | None = None, among: Sequence[UUID] | None = None, *, recent: bool = False
) -> list[Popular]:
    """Return episodes, of one feed or of all, highest score first."""
    return _trending(EPISODES, limit, feed, among, recent)


def podcast(feed: str) -> Popular:
    """Return the figures of a feed; zeros if nothing of it is public."""
    return _one(PODCASTS, key_of(feed)) or nothing(feed, None)


def episode(item: str, feed: str | None = None) -> Popular:
    """Return the figures of an episode; zeros if nothing of it is public.

    Without ``feed``, the feed is used in which something of it is public; raises ``DomainError``
    ``ambiguous_item`` if there are several.
    """
    if feed is not None:
        return _one(EPISODES, episode_key(feed, item)) or nothing(feed, item)
    keys = [key for _, key in _rows(OF_GUID, "page.item_key", [guid_key_of(item)])]
    if len(keys) > 1:
        raise DomainError("ambiguous_item", "Several feeds have this episode: give the feed as well.")
    return (_one(EPISODES, str(keys[0])) if keys else None) or nothing(feed, item)


def nothing(feed: str | None, item: str | None) -> Popular:
    """Return the figures of a feed or item of which nothing is public."""
    return Popular(feed, item, 0, 0, 0, 0, 0, 0, [])


def timeline(
    limit: int,
    kind: Kind | None = None,
    feed: str | None = None,
    after: str | None = None,
    hidden: Sequence[UUID] = (),
) -> tuple[list[PublicRow], str | None]:
    """Return what is public, newest first, and the cursor of the next page.

    ``hidden``: digests of feeds to leave out. Raises ``InvalidCursor``.
    """
    where = {
        "kind = %s": kind,
        "feed_key = %s": None if feed is None else key_of(feed),
        "feed_key <> ALL(%s)": list(hidden) or None,
    }
    found = TIMELINE.page([], where, after, limit, descending=True, read=fenced)
    return found.rows, found.next


def _trending(
    of: dict[str, str], limit: int, feed: str | None, among: Sequence[UUID] | None, recent: bool
) -> list[Popular]:
    where = {
        "feed_key = %s": None if feed is None else key_of(feed),
        "feed_key = ANY(%s)": None if among is None else list(among),
    }
    where = {condition: value for condition, value in where.items() if value is not None}
    top = _top_recent(of, where) if recent else _top(of, where)
    found = _rows(_figures(top, of, recent=recent), BY_SCORE, [*where.values(), limit])
    return [Popular(*row[:-1]) for row in found]


def _top(of: dict[str, str], where: Mapping[str, Any]) -> str:
    condition = f"WHERE {' AND '.join(where)}" if where else ""
    return TRENDING.format(condition=condition, **of)


def _top_recent(of: dict[str, Any], where: Mapping[str, Any]) -> str:
    condition = " AND ".join([RECENT, *(f"p.{one}" for one in where)])
    return TRENDING_NOW.format(figures=figures(of["key"], f"{condition} AND p.{of['key']} IS NOT NULL"))


def _one(of: dict[str, str], key: str) -> Popular | None:
    found = _rows(_figures(ONE, of), BY_SCORE, [key])
    return Popular(*found[0][:-1]) if found else None


def _figures(top: str, of: dict[str, str], *, recent: bool = False) -> str:
    key: Any = of["key"]
    condition = f"p.{key} = top.key" + (f" AND {RECENT}" if recent else "")
    return FIGURES.format(top=top, key=key, figures=figures(key, condition), people=PEOPLE)


def _rows(rows: str, order: str, values: list[Any]) -> list[tuple[Any, ...]]:
    return fenced(PROJECTOR, rows, order, values)[1]


def sight() -> tuple[int, int]:
    """Return values that change whenever something is taken out of public sight, with or without an event.

    What was read under other values must not be shown any more.
    """
    row = run(EPOCH, [PROJECTOR]).fetchone()
    return log.privacy_fence(), int(row[0]) if row else 0


def fence() -> Read:
    """Return ``fenced`` for several reads of one answer, with what had been hidden when this was called."""
    return partial(fenced, hidden_at=log.privacy_fence())


def fenced(
    projector: str, rows: str, order: str, values: list[Any], hidden_at: int | None = None
) -> tuple[int, list[tuple[Any, ...]]]:
    """Return the position and the rows, once nothing is among these that somebody has hidden.

    Waits up to 2 s, and raises ``Behind`` after that. For reads of one snapshot (``queries.Query``).
    """
    fence = log.privacy_fence() if hidden_at is None else hidden_at
    statement, parameters = READ.format(rows=rows, order=order), [HARMLESS, *values, projector]
    position, found = read_page(statement, parameters)
    if 0 <= position < fence:
        wait_for(projector, fence)
        position, found = read_page(statement, parameters)
    if position < fence:
        raise Behind(projector, fence, max(position, 0))
    return position, found


class Act(NamedTuple):
    """Something that a listener did, of a kind that may be public."""

    user_id: UUID
    kind: Kind
    feed: str
    item: str | None


def shown(acts: Sequence[Act]) -> list[bool]:
    """For each of these acts, whether everybody may see it and whose it is. Raises ``Behind``."""
    if not acts:
        return []
    users, kinds, feeds, items = zip(*acts, strict=True)
    keys = [item and episode_key(feed, item) for feed, item in zip(feeds, items, strict=True)]
    values = [list(range(len(acts))), list(users), list(kinds), [key_of(feed) for feed in feeds], keys]
    places = {place for _, place in _rows(SHOWN, "page.place", values) if place is not None}
    return [place in places for place in range(len(acts))]


def has_older(before: datetime) -> bool:
    """Whether there is any activity, public or not, that happened before ``before``."""
    row = run(OLDER, {"before": before}).fetchone()
    return bool(row and row[0])


def cut(before: datetime, rows: int) -> datetime:
    """Return a time up to ``before`` such that at most ``rows`` activities are older.

    There may be more only if they all have the same time.
    """
    row = run(CUT, {"before": before, "rows": rows}).fetchone()
    if row is None or row[0] == row[1]:
        return before
    return cast(datetime, row[0])
