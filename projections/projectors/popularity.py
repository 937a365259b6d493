"""The popularity of feeds and episodes: the last figures calculated for each."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from psycopg import Cursor, sql

from eventstore.domain.checkpoint import PopularityRecalculated
from eventstore.domain.identifiers import digests_of
from projections.projectors.shape import Fact, Projector, Tables, as_json


class Counted(NamedTuple):
    """A table of figures, and the key that it counts by: feeds or episodes."""

    table: str
    key: str
    columns: str


FIGURES = "feed_key, rss_source_feed, score, plays, likes, shares, subscribers"
PODCASTS = Counted("public.podcast_popularity", "feed_key", FIGURES)
EPISODES = Counted("public.episode_popularity", "item_key", f"item_key, rss_source_item, {FIGURES}")

FORGET = sql.SQL("DELETE FROM {table} WHERE {key} = ANY(%s::uuid[])")
KEEP = sql.SQL("""
INSERT INTO {table} ({columns})
SELECT {columns} FROM jsonb_to_recordset(%s::jsonb) AS incoming (item_key uuid, feed_key uuid,
       rss_source_item text, rss_source_feed text, score bigint, plays bigint, likes bigint, shares bigint,
       subscribers bigint)
 WHERE (score, plays, likes, shares, subscribers) <> (0, 0, 0, 0, 0)
""")


def apply(facts: Sequence[Fact], cursor: Cursor[Any], tables: Tables) -> None:
    for counted in (PODCASTS, EPISODES):
        latest: dict[str, dict[str, Any]] = {}
        for _, event in facts:
            if isinstance(event, PopularityRecalculated):
                feed, item = event.rss_source_feed, event.rss_source_item
                keys = dict(zip(("feed_key", "item_key"), digests_of(feed, item), strict=True))
                if (item is None) == (counted is PODCASTS):
                    latest[keys[counted.key] or ""] = keys | msgspec.structs.asdict(event)
        if not latest:
            continue
        names = {"table": tables[counted.table], "key": sql.Identifier(counted.key)}
        cursor.execute(FORGET.format(**names), [list(latest)])
        cursor.execute(
            KEEP.format(columns=sql.SQL(counted.columns), **names), [as_json(list(latest.values()))]
        )


projector = Projector(
    name="popularity",
    handles=frozenset((PopularityRecalculated,)),
    tables=(PODCASTS.table, EPISODES.table),
    apply=apply,
)
