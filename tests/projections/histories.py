"""Creating histories, and inspecting what was projected from them."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any
from uuid import UUID, uuid4

from django.db import connections
from psycopg import Cursor

from eventstore import codec, dispatcher, log
from eventstore.domain.checkpoint import FeedMarked, Marker
from eventstore.domain.identifiers import key_of
from eventstore.domain.messages import Event, Origin
from eventstore.domain.plays import PlayRecorded, PositionUpdated
from eventstore.domain.subscriptions import UserSubscribed, UserUnsubscribed
from projections.connect import Connection
from projections.projectors.shape import Fact, Projector, Tables

ALICE, BOB, CHARLIE = (uuid4() for _ in range(3))
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
FEED = "aHR0cHM6Ly9leGFtcGxlLm9yZy9mZWVk"
ITEM = "ZXBpc29kZS0xLA=="
COUNTS = "users.counts"
PUBLIC_TABLES = {
    "activity": """
SELECT a.user_id, a.kind, a.key, a.feed_key, a.rss_source_feed, a.rss_source_item, a.item_key, a.happened_at,
       a.withdrawn_at, a.secret, a.level, p.kind, p.feed_key, p.item_key, p.happened_at, p.user_id,
       (a.public_id IS NULL) = (p.id IS NULL), a.arrived_at
  FROM users.activity a LEFT JOIN public.public_events p ON p.id = a.public_id ORDER BY 1, 2, 3, 4""",
    "activity_levels": "SELECT * FROM users.activity_levels ORDER BY 1, 2, 3",
    "blocked_feeds": "SELECT * FROM users.blocked_feeds ORDER BY 1",
    "public_events": """
SELECT kind, rss_source_feed, feed_key, rss_source_item, item_key, happened_at, user_id
  FROM public.public_events ORDER BY 1, 2, 3, 4, 5, 6, 7""",
    "podcast_popularity": "SELECT * FROM public.podcast_popularity ORDER BY feed_key",
    "episode_popularity": "SELECT * FROM public.episode_popularity ORDER BY item_key",
}


def minutes(n: int) -> datetime:
    return NOON + timedelta(minutes=n)


def subscribed(user: UUID, feed: str = FEED, at: int = 0, source_id: str | None = None) -> Event:
    return UserSubscribed(
        user_id=user, rss_source_feed=feed, rss_source_id=source_id, subscribed_at=minutes(at)
    )


def unsubscribed(user: UUID, feed: str = FEED, at: int = 0) -> Event:
    return UserUnsubscribed(user_id=user, rss_source_feed=feed, unsubscribed_at=minutes(at))


def played(
    user: UUID, item: str = ITEM, position: int = 0, played: bool = False, at: int = 0, feed: str = FEED
) -> Event:
    return PlayRecorded(
        user_id=user,
        rss_source_feed=feed,
        rss_source_item=item,
        position=position,
        played=played,
        played_at=minutes(at),
    )


def moved(user: UUID, item: str = ITEM, position: int = 0, played: bool = False, at: int = 0) -> Event:
    return PositionUpdated(
        user_id=user,
        rss_source_feed=FEED,
        rss_source_item=item,
        position=position,
        played=played,
        updated_at=minutes(at),
    )


def marked(feed: str = FEED, blocked: bool = True, by: Marker = "operator", at: int = 0) -> FeedMarked:
    return FeedMarked(feed_key=UUID(key_of(feed)), marked_by=by, blocked=blocked, marked_at=minutes(at))


def record(*events: Event) -> int:
    """Append events in order, each to the stream of its user; return the last position."""
    position = 0
    for user, run in groupby(events, key=lambda event: event.user_id):
        own, stream = list(run), dispatcher.state_of(user)
        appended = log.append(stream.id, stream.version, own, Origin(), changed=stream.apply(own))
        assert appended is not None
        position = appended
    return position


def record_at(event: Event, recorded_at: datetime) -> None:
    """Append an event as if that had happened at ``recorded_at``."""
    stream = log.stream_of(event.user_id)
    data = codec.encode(event).decode()
    with connections["events"].cursor() as cursor:
        cursor.execute(
            "INSERT INTO events.events (stream, version, type, schema, data, metadata, recorded_at)"
            " SELECT %s, coalesce(max(version), 0) + 1, %s, %s, %s, '{}', %s"
            " FROM events.events WHERE stream = %s",
            [stream, *codec.name_of(event), data, recorded_at, stream],
        )


def record_raw(user: UUID, type_: str, schema: int = 1, data: str = "{}") -> int:
    """Append an event that no version of this program would write; return its position."""
    stream = log.stream_of(user)
    with connections["events"].cursor() as cursor:
        cursor.execute(
            "INSERT INTO events.events (stream, version, type, schema, data, metadata) VALUES (%s,"
            " (SELECT coalesce(max(version), 0) + 1 FROM events.events WHERE stream = %s), %s, %s, %s, '{}')"
            " RETURNING position",
            [stream, stream, type_, schema, data],
        )
        (position,) = cursor.fetchone()
    return int(position)


def dump(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of the read tables, sorted; without the ids of public rows, which are random."""
    public = {table: connection.execute(statement).fetchall() for table, statement in PUBLIC_TABLES.items()}
    return public | {
        table: connection.execute(f"SELECT * FROM users.{table} ORDER BY 1, 2, 3").fetchall()
        for table in (
            "subscriptions",
            "play_statuses",
            "saved_episodes",
            "user_privacy",
            "playlists",
            "playlist_items",
            "collections",
            "collection_feeds",
            "devices",
            "episode_actions",
            "settings",
            "held_removals",
            "listening",
        )
    }


def counting(
    before: Callable[[Sequence[Fact]], None] = lambda facts: None,
    after: Callable[[Sequence[Fact]], None] = lambda facts: None,
    name: str = "counter",
) -> Projector:
    """A projector that counts plays, with hooks that run before and after it writes its rows."""

    def apply(facts: Sequence[Fact], cursor: Cursor[Any], tables: Tables) -> None:
        before(facts)
        for recorded, _ in facts:
            cursor.execute(
                f"INSERT INTO {tables[COUNTS].as_string(None)} AS kept VALUES (%s, ARRAY[%s::bigint])"
                " ON CONFLICT (stream) DO UPDATE SET positions = kept.positions || EXCLUDED.positions",
                [recorded.stream, recorded.position],
            )
        after(facts)

    return Projector(name, frozenset((PlayRecorded,)), (COUNTS,), apply)


def counted(connection: Connection) -> list[int]:
    """Every position that was counted; within a stream, in the order in which they were counted."""
    rows = connection.execute(f"SELECT positions FROM {COUNTS} ORDER BY stream").fetchall()
    return [position for (positions,) in rows for position in positions]


def saved(connection: Connection, name: str) -> int:
    row = connection.execute(
        "SELECT position FROM users.projector_positions WHERE projector = %s", [name]
    ).fetchone()
    return int(row[0]) if row else 0


def catalogue(connection: Connection) -> list[tuple[Any, ...]]:
    """Everything that the migrations made of the read tables: columns, indexes, constraints."""
    return connection.execute(
        "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname IN ('users', 'public')"
        " UNION ALL"
        " SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE connamespace IN ('users'::regnamespace, 'public'::regnamespace) UNION ALL"
        " SELECT table_name, column_name, concat(data_type, is_nullable, collation_name, column_default,"
        " is_identity) FROM information_schema.columns WHERE table_schema IN ('users', 'public')"
        " ORDER BY 1, 2, 3"
    ).fetchall()
