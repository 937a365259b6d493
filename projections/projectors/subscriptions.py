"""Which feeds a listener follows: the later time of each kind."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Cursor

from eventstore.domain import subscriptions
from eventstore.domain.identifiers import key_of
from eventstore.domain.retention import UserCheckpoint
from eventstore.domain.subscriptions import UserSubscribed, UserUnsubscribed
from projections.projectors.rows import Rows
from projections.projectors.shape import Fact, Projector, Tables

SUBSCRIPTIONS = Rows(
    "users.subscriptions",
    {
        "user_id": "uuid",
        "feed_key": "uuid",
        "rss_source_feed": "text",
        "rss_source_id": "text",
        "subscribed_at": "timestamptz",
        "unsubscribed_at": "timestamptz",
    },
    keys=2,
    # the rule of eventstore.domain.subscriptions.merge, in SQL: no matter which row comes first
    merge="""
    rss_source_id = CASE
        WHEN EXCLUDED.subscribed_at IS NULL THEN kept.rss_source_id
        WHEN kept.subscribed_at IS NULL
          OR (EXCLUDED.subscribed_at, coalesce(EXCLUDED.rss_source_id, ''))
           > (kept.subscribed_at, coalesce(kept.rss_source_id, '')) THEN EXCLUDED.rss_source_id
        ELSE kept.rss_source_id END,
    subscribed_at = greatest(kept.subscribed_at, EXCLUDED.subscribed_at),
    unsubscribed_at = greatest(kept.unsubscribed_at, EXCLUDED.unsubscribed_at)
""",
)


class Row(msgspec.Struct, gc=False):
    user_id: UUID
    feed_key: str
    rss_source_feed: str
    rss_source_id: str | None
    subscribed_at: datetime | None
    unsubscribed_at: datetime | None


def apply(facts: Sequence[Fact], cursor: Cursor[Any], tables: Tables) -> None:
    users: dict[UUID, subscriptions.Subscriptions] = {}
    replaced: set[UUID] = set()
    for _, event in facts:
        match event:
            case UserCheckpoint():
                users[event.user_id] = dict(event.subscriptions)
                replaced.add(event.user_id)
            case UserSubscribed() | UserUnsubscribed():
                subscriptions.evolve(users.setdefault(event.user_id, {}), event)
    rows = [
        Row(user_id, key_of(feed), feed, one.source_id, one.subscribed_at, one.unsubscribed_at)
        for user_id, feeds in users.items()
        for feed, one in feeds.items()
    ]
    SUBSCRIPTIONS.put(cursor, tables, rows, replaced)


projector = Projector(
    name="subscriptions",
    handles=frozenset((UserSubscribed, UserUnsubscribed, UserCheckpoint)),
    tables=(SUBSCRIPTIONS.table,),
    apply=apply,
)
