"""Popularity: figures of feeds and episodes, counted from what the public may see.

A subscription counts 10 points, a play 5, a saved episode 3, a share 2. Anonymous acts count only if several
listeners are behind a figure: with only one, everybody who knows that listener would know what they did. The
previous score is counted in the same way, from those of the same rows that are a week old. A stored one would
show what somebody has hidden since.
"""

from collections.abc import Iterator
from typing import Literal
from uuid import UUID

from django.db import transaction

from eventstore import log
from eventstore.domain.checkpoint import PopularityRecalculated
from projections.connect import run
from projections.queries import wait_for

FEWEST_ANONYMOUS = 3
# events per append
AT_ONCE = 1_000
PATIENCE = 60.0

# The points of an act by its kind, times how often it counts.
POINTS = """
(10 * coalesce(sum({times}) FILTER (WHERE kind = 'subscribe'), 0)
  + 5 * coalesce(sum({times}) FILTER (WHERE kind = 'play'), 0)
  + 3 * coalesce(sum({times}) FILTER (WHERE kind = 'save'), 0)
  + 2 * coalesce(sum({times}) FILTER (WHERE kind = 'share'), 0))::bigint"""
# Contributions come from public_events only; users.activity only says how many listeners are behind them. A
# group without enough listeners is left out.
FIGURES = """
SELECT key, min(feed) AS feed, (array_agg(item ORDER BY latest DESC, item))[1] AS item,
       {score} AS score, {score_previous} AS score_previous,
       coalesce(sum(times) FILTER (WHERE kind = 'play'), 0)::bigint AS plays,
       coalesce(sum(times) FILTER (WHERE kind = 'save'), 0)::bigint AS likes,
       coalesce(sum(times) FILTER (WHERE kind = 'share'), 0)::bigint AS shares,
       coalesce(sum(times) FILTER (WHERE kind = 'subscribe'), 0)::bigint AS subscribers,
       coalesce(sum(times_before) FILTER (WHERE kind = 'subscribe'), 0)::bigint AS subscribers_previous
  FROM (SELECT p.{key} AS key, p.kind, min(p.rss_source_feed) AS feed, {item} AS item,
               max(p.happened_at) AS latest, count(*) AS times,
               CASE WHEN NOT (p.user_id IS NULL) OR count(DISTINCT a.user_id) FILTER (WHERE {old}) >= {fewest}
                    THEN count(*) FILTER (WHERE {old}) ELSE 0 END AS times_before
          FROM "public"."public_events" p
          LEFT JOIN "users"."activity" a ON a.public_id = CASE WHEN p.user_id IS NULL THEN p.id END
         WHERE {condition}
         GROUP BY p.{key}, p.kind, p.user_id IS NULL
        HAVING NOT (p.user_id IS NULL) OR count(DISTINCT a.user_id) >= {fewest}) AS counted
 GROUP BY key
"""
# Rounded down to the hour, as the times of anonymous acts are, and so that answers do not change every
# second.
WEEK_AGO = "date_trunc('hour', now(), 'UTC') - interval '7 days'"
OLD = f"p.happened_at < {WEEK_AGO}"
# Listeners were given several addresses for an episode: the one used last is shown.
NEWEST_ITEM = "(array_agg(p.rss_source_item ORDER BY p.happened_at DESC, p.rss_source_item))[1]"
# What has changed, according to the projector or an erasure; each is counted once, however often it changed.
TAKE = """
WITH taken AS (DELETE FROM "users"."popularity_due" RETURNING feed_key, item_key)
SELECT coalesce(array_agg(DISTINCT feed_key), '{}'),
       coalesce(array_agg(DISTINCT item_key) FILTER (WHERE item_key IS NOT NULL), '{}')
  FROM taken
"""
COLUMNS = ("rss_source_feed", "rss_source_item", "score", "plays", "likes", "shares", "subscribers")
CHANGES = """
SELECT coalesce(now.feed, known.rss_source_feed), {item}, coalesce(now.score, 0), coalesce(now.plays, 0),
       coalesce(now.likes, 0), coalesce(now.shares, 0), coalesce(now.subscribers, 0)
  FROM unnest(%(keys)s::uuid[]) AS due (key)
  LEFT JOIN ({figures}) AS now ON now.key = due.key
  LEFT JOIN {table} known ON known.{key} = due.key
 WHERE (now.feed, now.score, now.plays, now.likes, now.shares, now.subscribers) IS DISTINCT FROM
       (known.rss_source_feed, known.score, known.plays, known.likes, known.shares, known.subscribers)
 ORDER BY due.key
"""


def figures(key: Literal["feed_key", "item_key"], condition: str) -> str:
    """Return SQL for the figures, by feed or by item, of the rows of public_events (``p``) with
    ``condition``."""
    item = "NULL::text" if key == "feed_key" else NEWEST_ITEM
    return FIGURES.format(
        key=key,
        item=item,
        condition=condition,
        fewest=FEWEST_ANONYMOUS,
        old=OLD,
        score=POINTS.format(times="times"),
        score_previous=POINTS.format(times="times_before"),
    )


OF_PODCASTS = CHANGES.format(
    figures=figures("feed_key", "p.feed_key = ANY(%(keys)s)"),
    key="feed_key",
    item="NULL",
    table='"public"."podcast_popularity"',
)
OF_EPISODES = CHANGES.format(
    figures=figures("item_key", "p.item_key = ANY(%(keys)s)"),
    key="item_key",
    item="coalesce(now.item, known.rss_source_item)",
    table='"public"."episode_popularity"',
)


def recalculate() -> int:
    """Recount what has changed since the last time, and record the figures that differ; return how many do.

    If it is killed, the next run does the rest. It waits until the read models have reached the head of the
    log. Raises ``Behind`` if they do not, and the errors of a store that is away.
    """
    head = log.head()
    for projector in ("public_events", "popularity"):
        wait_for(projector, head, PATIENCE)
    with transaction.atomic(using="projections"):
        ((feeds, items),) = run(TAKE, []).fetchall()
        changed = [*_changes(OF_PODCASTS, feeds), *_changes(OF_EPISODES, items)]
        for start in range(0, len(changed), AT_ONCE):
            log.append_to_instance(changed[start : start + AT_ONCE])
    if changed:
        log.notify()
    return len(changed)


def _changes(statement: str, keys: list[UUID]) -> Iterator[PopularityRecalculated]:
    for row in run(statement, {"keys": keys}):
        yield PopularityRecalculated(**dict(zip(COLUMNS, row, strict=True)))
