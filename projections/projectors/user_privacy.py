"""What a listener keeps from others: the newest setting of each scope."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Cursor

from eventstore.domain import privacy
from eventstore.domain.identifiers import key_of
from eventstore.domain.privacy import PrivacyChanged
from eventstore.domain.retention import UserCheckpoint
from projections.projectors.rows import Rows
from projections.projectors.shape import Fact, Projector, Tables

SETTINGS = Rows(
    "users.user_privacy",
    {
        "user_id": "uuid",
        "scope_key": "uuid",
        "rss_source_feed": "text",
        "rss_source_item": "text",
        "level": "text",
        "changed_at": "timestamptz",
    },
    keys=2,
    # the rule of eventstore.domain.privacy.merge, in SQL: no matter which row comes first
    merge="""
    rss_source_feed = EXCLUDED.rss_source_feed, rss_source_item = EXCLUDED.rss_source_item,
    level = EXCLUDED.level, changed_at = EXCLUDED.changed_at
WHERE (EXCLUDED.changed_at, array_position(ARRAY['public', NULL, 'anonymous', 'private'], EXCLUDED.level),
       coalesce(EXCLUDED.rss_source_feed, ''))
    > (kept.changed_at, array_position(ARRAY['public', NULL, 'anonymous', 'private'], kept.level),
       coalesce(kept.rss_source_feed, ''))
""",
)


class Row(msgspec.Struct, gc=False):
    user_id: UUID
    scope_key: str
    rss_source_feed: str | None
    rss_source_item: str | None
    level: str | None
    changed_at: datetime


def apply(facts: Sequence[Fact], cursor: Cursor[Any], tables: Tables) -> None:
    users: dict[UUID, privacy.PrivacySettings] = {}
    replaced: set[UUID] = set()
    for _, event in facts:
        match event:
            case UserCheckpoint():
                users[event.user_id] = dict(event.privacy)
                replaced.add(event.user_id)
            case PrivacyChanged():
                privacy.evolve(users.setdefault(event.user_id, {}), event)
    rows = [
        Row(user_id, key_of(scope), one.feed, one.item, one.level, one.changed_at)
        for user_id, settings in users.items()
        for scope, one in settings.items()
    ]
    SETTINGS.put(cursor, tables, rows, replaced)


projector = Projector(
    name="user_privacy",
    handles=frozenset((PrivacyChanged, UserCheckpoint)),
    tables=(SETTINGS.table,),
    apply=apply,
)
