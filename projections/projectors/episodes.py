"""Which episodes a listener saved: the later time of each kind. A share is no state."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Cursor

from eventstore.domain import episodes
from eventstore.domain.episodes import EpisodeSaved, EpisodeUnsaved
from eventstore.domain.identifiers import key_of
from eventstore.domain.retention import UserCheckpoint
from projections.projectors.rows import Rows
from projections.projectors.shape import Fact, Projector, Tables

SAVED = Rows(
    "users.saved_episodes",
    {
        "user_id": "uuid",
        "item_key": "uuid",
        "rss_source_item": "text",
        "rss_source_feed": "text",
        "saved_at": "timestamptz",
        "unsaved_at": "timestamptz",
    },
    keys=2,
    # the rule of eventstore.domain.episodes.merge, in SQL: no matter which row comes first
    merge="""
    rss_source_feed = CASE
        WHEN (greatest(EXCLUDED.saved_at, EXCLUDED.unsaved_at), EXCLUDED.rss_source_feed)
           > (greatest(kept.saved_at, kept.unsaved_at), kept.rss_source_feed) THEN EXCLUDED.rss_source_feed
        ELSE kept.rss_source_feed END,
    saved_at = greatest(kept.saved_at, EXCLUDED.saved_at),
    unsaved_at = greatest(kept.unsaved_at, EXCLUDED.unsaved_at)
""",
)


class Row(msgspec.Struct, gc=False):
    user_id: UUID
    item_key: str
    rss_source_item: str
    rss_source_feed: str
    saved_at: datetime | None
    unsaved_at: datetime | None


def apply(facts: Sequence[Fact], cursor: Cursor[Any], tables: Tables) -> None:
    users: dict[UUID, episodes.SavedEpisodes] = {}
    replaced: set[UUID] = set()
    for _, event in facts:
        match event:
            case UserCheckpoint():
                users[event.user_id] = dict(event.saved_episodes)
                replaced.add(event.user_id)
            case EpisodeSaved() | EpisodeUnsaved():
                episodes.evolve(users.setdefault(event.user_id, {}), event)
    rows = [
        Row(user_id, key_of(item), item, one.feed, one.saved_at, one.unsaved_at)
        for user_id, items in users.items()
        for item, one in items.items()
    ]
    SAVED.put(cursor, tables, rows, replaced)


projector = Projector(
    name="episodes",
    handles=frozenset((EpisodeSaved, EpisodeUnsaved, UserCheckpoint)),
    tables=(SAVED.table,),
    apply=apply,
)
