"""How popular feeds and episodes are: the last figures that were calculated of each."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from psycopg import Cursor, sql

from eventstore.domain.checkpoint import PopularityRecalculated
from eventstore.domain.identifiers import episode_key, feed_key_of
from projections.projectors.shape import Fact, Projector, Tables, as_json

PODCASTS = "public.podcast_popularity"
EPISODES = "public.episode_popularity"
FIGURES = sql.SQL("rss_source_feed, score, score_previous, plays, likes, shares, subscribers, calculated_at")
OF_EPISODE = sql.SQL("item_key, feed_key, rss_source_item, ")
COLUMNS = {PODCASTS: sql.SQL("feed_key, ") + FIGURES, EPISODES: OF_EPISODE + FIGURES}
KEYS = {PODCASTS: sql.SQL("feed_key"), EPISODES: sql.SQL("item_key")}

FORGET = sql.SQL("DELETE FROM {table} WHERE {key} = ANY(%s::uuid[])")
KEEP = sql.SQL("""
INSERT INTO {table} ({columns})
SELECT {columns} FROM jsonb_to_recordset(%s::jsonb) AS came (item_key uuid, feed_key uuid,
       rss_source_item text, rss_source_feed text, score bigint, score_previous bigint, plays bigint,
       likes bigint, shares bigint, subscribers bigint, calculated_at timestamptz)
""")


class Row(msgspec.Struct, gc=False):
    feed_key: str
    item_key: str | None
    rss_source_feed: str
    rss_source_item: str | None
    score: int
    score_previous: int
    plays: int
    likes: int
    shares: int
    subscribers: int
    calculated_at: datetime


def apply(facts: Sequence[Fact], cursor: Cursor[Any], tables: Tables) -> None:
    for table in (PODCASTS, EPISODES):
        latest: dict[str, Row | None] = {}
        for _, event in facts:
            if isinstance(event, PopularityRecalculated):
                feed, item = event.rss_source_feed, event.rss_source_item
                if (item is None) == (table == PODCASTS):
                    latest[feed_key_of(feed) if item is None else episode_key(feed, item)] = _row(event)
        if not latest:
            continue
        names = {"table": tables[table], "key": KEYS[table], "columns": COLUMNS[table]}
        cursor.execute(FORGET.format(**names), [list(latest)])
        rows = [row for row in latest.values() if row is not None]
        cursor.execute(KEEP.format(**names), [as_json(rows)])


def _row(of: PopularityRecalculated) -> Row | None:
    """None where nothing is left."""
    if not any((of.score, of.plays, of.likes, of.shares, of.subscribers)):
        return None
    item = of.rss_source_item
    return Row(
        feed_key_of(of.rss_source_feed),
        None if item is None else episode_key(of.rss_source_feed, item),
        of.rss_source_feed,
        item,
        of.score,
        of.score_previous,
        of.plays,
        of.likes,
        of.shares,
        of.subscribers,
        of.calculated_at,
    )


projector = Projector(
    name="popularity",
    handles=frozenset((PopularityRecalculated,)),
    tables=(PODCASTS, EPISODES),
    apply=apply,
)
