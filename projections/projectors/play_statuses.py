"""How far each episode was heard: the newest status of all devices."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Cursor

from eventstore.domain import plays
from eventstore.domain.identifiers import key_of
from eventstore.domain.plays import PlayRecorded, PositionUpdated
from eventstore.domain.retention import UserCheckpoint
from projections.projectors.rows import Rows
from projections.projectors.shape import Fact, Projector, Tables

STATUSES = Rows(
    "users.play_statuses",
    {
        "user_id": "uuid",
        "item_key": "uuid",
        "rss_source_item": "text",
        "rss_source_feed": "text",
        "position": "integer",
        "played": "boolean",
        "updated_at": "timestamptz",
    },
    keys=2,
    # the rule of eventstore.domain.plays.merge, in SQL: no matter which row comes first
    merge="""
    rss_source_feed = EXCLUDED.rss_source_feed, position = EXCLUDED.position, played = EXCLUDED.played,
    updated_at = EXCLUDED.updated_at
WHERE (EXCLUDED.updated_at, EXCLUDED.position, EXCLUDED.played, EXCLUDED.rss_source_feed)
    > (kept.updated_at, kept.position, kept.played, kept.rss_source_feed)
""",
)


class Row(msgspec.Struct, gc=False):
    user_id: UUID
    item_key: str
    rss_source_item: str
    rss_source_feed: str
    position: int
    played: bool
    updated_at: datetime


def apply(facts: Sequence[Fact], cursor: Cursor[Any], tables: Tables) -> None:
    users: dict[UUID, plays.PlayStatuses] = {}
    replaced: set[UUID] = set()
    for _, event in facts:
        match event:
            case UserCheckpoint():
                users[event.user_id] = dict(event.plays)
                replaced.add(event.user_id)
            case PlayRecorded() | PositionUpdated():
                plays.evolve(users.setdefault(event.user_id, {}), event)
    rows = [
        Row(user_id, key_of(item), item, one.feed, one.position, one.played, one.updated_at)
        for user_id, items in users.items()
        for item, one in items.items()
    ]
    STATUSES.put(cursor, tables, rows, replaced)


projector = Projector(
    name="play_statuses",
    handles=frozenset((PlayRecorded, PositionUpdated, UserCheckpoint)),
    tables=(STATUSES.table,),
    apply=apply,
)
