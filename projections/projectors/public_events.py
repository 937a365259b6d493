"""What everybody may see of what listeners do, and, for nobody to see, which of it is whose.

``users.activity`` knows everything, ``public.public_events`` has what the level in force lets out. What is
anonymous there leads to nobody: no listener, the hour alone, and an id that is drawn anew with every change.

What is shown is a function of the activity, the levels and the marks of feeds as they are in the tables, and
whoever changes one of them derives anew what hangs on it.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple, get_args
from uuid import UUID

import msgspec
from django.conf import settings
from psycopg import Cursor, sql

from eventstore.domain import privacy
from eventstore.domain.checkpoint import (
    EventsRemoved,
    FeedMarked,
    Marker,
    PublicHistoryTrimmed,
    UserCheckpoint,
)
from eventstore.domain.episodes import EpisodeIdentified
from eventstore.domain.identifiers import digests_of, episode_key, feed_key_of, guid_key_of
from eventstore.domain.plays import PlayRecorded
from eventstore.domain.privacy import Privacy, PrivacyChanged, PrivacySetting
from eventstore.domain.saved import EpisodeSaved, EpisodeShared, EpisodeUnsaved
from eventstore.domain.secrets import is_secret_feed, is_secret_item
from eventstore.domain.subscriptions import UserSubscribed, UserUnsubscribed
from eventstore.domain.times import MAX_SKEW, later
from projections.projectors.merging import merge_of
from projections.projectors.registers import between_joins
from projections.projectors.rows import Rows
from projections.projectors.shape import Fact, Projector, Tables, as_json
from projections.projectors.showing import (
    COLUMNS,
    FORGET_OLD,
    FORGET_OLD_TIMES,
    HIDE_OLD,
    JOIN,
    KEEP,
    MARK,
    MERGE,
    REMOVE,
    SHOW_IN_REACH,
    SHOW_MARKED,
    SHOW_TOUCHED,
    UNMARK,
)

ACTIVITY = "users.activity"
BLOCKED = "users.blocked_feeds"
PUBLIC = "public.public_events"
# of what public rows came or went since its figures were counted (projections/popularity.py)
DUE = "users.popularity_due"
# in place of the feed of an item's setting, and of both in the account's
NO_KEY = UUID(int=0)

LEVELS = Rows(
    "users.activity_levels",
    {
        "user_id": "uuid",
        "feed_key": "uuid",
        "item_key": "uuid",
        "level": "text",
        "changed_at": "timestamptz",
    },
    keys=3,
    # how the item is spelt does not matter here
    merge=merge_of(privacy.REGISTER, only=("level", "changed_at")),
)


class Act(NamedTuple):
    """What is one row of the activity."""

    user_id: UUID
    kind: str
    key: str


class Told(NamedTuple):
    """What an event tells of an act; ``withdrawn``: that it was taken back."""

    act: Act
    feed: str
    item: str | None
    at: datetime
    withdrawn: bool = False


class Row(msgspec.Struct, gc=False):
    user_id: UUID
    kind: str
    key: str
    feed_key: str
    rss_source_feed: str
    rss_source_item: str | None
    item_key: str | None
    guid_key: str | None
    secret: bool
    happened_at: datetime | None = None
    withdrawn_at: datetime | None = None
    arrived_at: datetime | None = None

    def happen(self, told: Told, arrived_at: datetime) -> None:
        """The latest counts, also in how the item is spelt."""
        at = told.at
        if self.happened_at is None or at >= self.happened_at:
            self.happened_at, self.arrived_at = at, arrived_at if at > arrived_at else None
            self.rss_source_item, self.secret = told.item, _is_secret(told.feed, told.item)


class Scope(msgspec.Struct, frozen=True, gc=False):
    """What a setting reaches, or a row to look at again."""

    user_id: UUID
    feed_key: str | None = None
    item_key: str | None = None
    kind: str | None = None
    key: str | None = None


class Level(msgspec.Struct, gc=False):
    user_id: UUID
    feed_key: str
    item_key: str
    level: str | None
    changed_at: datetime


class Mark(msgspec.Struct, gc=False):
    """Since when a marker has blocked a feed, if it does."""

    feed_key: UUID
    since: datetime | None


def _names(tables: Tables) -> dict[str, sql.Composable]:
    """What stands in braces in the statements."""
    return {
        "columns": COLUMNS,
        "merge": MERGE,
        "activity": tables[ACTIVITY],
        "levels": tables[LEVELS.table],
        "blocked": tables[BLOCKED],
        "due": tables[DUE],
        "public": tables[PUBLIC],
    }


def _join(cursor: Cursor[Any], tables: Tables, event: EpisodeIdentified) -> None:
    """Of two episodes, which are one, the activity and the levels."""
    user_id, names = event.user_id, _names(tables)
    moved = {
        "user": user_id,
        "known": event.known_key,
        "key": event.key,
        "guid_key": guid_key_of(event.rss_source_item),
        "item": event.rss_source_item,
        "secret": _is_secret(event.rss_source_feed, event.rss_source_item),
    }
    cursor.execute(JOIN.format(**names), moved)
    of = {"user_id": user_id, "feed_key": NO_KEY, "item_key": UUID(event.known_key)}
    LEVELS.move(cursor, tables, of, {"item_key": UUID(event.key)})
    reached = {Scope(user_id, item_key=event.key)}
    cursor.execute(SHOW_IN_REACH.format(**names), _parameters(set(), reached, []))


def _apply_part(facts: Sequence[Fact], cursor: Cursor[Any], tables: Tables) -> None:
    names = _names(tables)
    rows: dict[Act, Row] = {}
    touched: set[Scope] = set()
    reached: set[Scope] = set()
    levels: dict[UUID, Privacy] = {}
    replaced: set[UUID] = set()
    marks: dict[tuple[Marker, UUID], FeedMarked] = {}

    def keep() -> None:
        if rows:
            cursor.execute(KEEP.format(**names), [as_json(list(rows.values()))])
            touched.update(Scope(act.user_id, kind=act.kind, key=act.key) for act in rows)
            rows.clear()

    superseded = set(_superseded(facts))
    for recorded, event in facts:
        match event:
            case UserCheckpoint():
                # settings alone: what was done since is still in the log, and what is older is shown no more
                levels[event.user_id] = dict(event.privacy)
                replaced.add(event.user_id)
            case PrivacyChanged():
                privacy.REGISTER.evolve(levels.setdefault(event.user_id, {}), event)
                reached.add(_reach(event))
            case EventsRemoved():
                keep()
                removed = {"user": event.user_id, "feed": event.feed_key, "item": event.item_key}
                cursor.execute(REMOVE.format(**names), removed)
                reached.add(Scope(event.user_id))
            case PublicHistoryTrimmed():
                if recorded.position not in superseded:
                    keep()
                    for statement in (HIDE_OLD, FORGET_OLD, FORGET_OLD_TIMES):
                        cursor.execute(statement.format(**names), {"before": event.before})
            case FeedMarked():
                marks[event.marked_by, event.feed_key] = event
            case _:
                told = _told(event, recorded.event_id)
                # no further than the worker trims beyond what it deletes
                told = told._replace(at=min(told.at, recorded.recorded_at + MAX_SKEW))
                row = rows.get(told.act)
                if row is None:
                    row = rows[told.act] = _row(told)
                if told.withdrawn:
                    row.withdrawn_at = later(row.withdrawn_at, told.at)
                else:
                    row.happen(told, recorded.recorded_at)
    keep()
    rows_of_levels = list(_levels(levels))
    reached |= {Scope(user_id) for user_id in LEVELS.changed(cursor, tables, rows_of_levels, replaced)}
    LEVELS.put(cursor, tables, rows_of_levels, replaced)
    marked = [feed_key for _, feed_key in marks]
    if marks:
        for marker in get_args(Marker):
            since = [_mark(event) for (by, _), event in marks.items() if by == marker]
            column = sql.Identifier(f"{marker}_since")
            cursor.execute(MARK.format(marker=column, **names), [as_json(since)])
        cursor.execute(UNMARK.format(**names), [marked])
    if touched or reached or marks:
        show = SHOW_MARKED if marks else SHOW_IN_REACH if reached else SHOW_TOUCHED
        cursor.execute(show.format(**names), _parameters(touched, reached, marked))


def _told(event: object, event_id: str) -> Told:
    match event:
        case UserSubscribed():
            return _of_feed(event, event.subscribed_at)
        case UserUnsubscribed():
            return _of_feed(event, event.unsubscribed_at, withdrawn=True)
        case PlayRecorded():
            return _of_item(event, "play", event.played_at)
        case EpisodeSaved():
            return _of_item(event, "save", event.saved_at)
        case EpisodeUnsaved():
            return _of_item(event, "save", event.unsaved_at, withdrawn=True)
        case EpisodeShared():
            told = _of_item(event, "share", event.shared_at)
            return told._replace(act=told.act._replace(key=event_id))
    raise TypeError(type(event).__name__)


def _of_feed(event: UserSubscribed | UserUnsubscribed, at: datetime, withdrawn: bool = False) -> Told:
    feed = event.rss_source_feed
    return Told(Act(event.user_id, "subscribe", feed_key_of(feed)), feed, None, at, withdrawn)


def _of_item(
    event: PlayRecorded | EpisodeSaved | EpisodeUnsaved | EpisodeShared,
    kind: str,
    at: datetime,
    withdrawn: bool = False,
) -> Told:
    feed, item = event.rss_source_feed, event.rss_source_item
    return Told(Act(event.user_id, kind, episode_key(feed, item)), feed, item, at, withdrawn)


def _row(told: Told) -> Row:
    act, feed, item, _, _ = told
    feed_key, item_key = digests_of(feed, item)
    assert feed_key is not None
    guid_key = None if item is None else guid_key_of(item)
    return Row(*act, feed_key, feed, item, item_key, guid_key, _is_secret(feed, item))


def _is_secret(feed: str, item: str | None) -> bool:
    return is_secret_feed(feed) or (item is not None and is_secret_item(item))


def _reach(event: PrivacyChanged) -> Scope:
    feed_key, item_key = digests_of(event.rss_source_feed, event.rss_source_item)
    return Scope(event.user_id, item_key=item_key) if item_key else Scope(event.user_id, feed_key=feed_key)


def _superseded(facts: Sequence[Fact]) -> Iterator[int]:
    """The positions of trims after which the batch has one that takes away as much.

    45 days of them are 13,000: a rebuild, without the index by time, looks through the table for each.
    """
    latest: datetime | None = None
    for recorded, event in reversed(facts):
        if isinstance(event, PublicHistoryTrimmed):
            if latest is not None and event.before <= latest:
                yield recorded.position
            else:
                latest = event.before


def _levels(users: dict[UUID, Privacy]) -> Iterator[Level]:
    for user_id, of in users.items():
        for one in of.values():
            yield Level(user_id, *_keys(one), one.level, one.changed_at)


def _keys(of: PrivacySetting) -> tuple[str, str]:
    feed_key, item_key = digests_of(of.feed, of.item)
    return (NO_KEY.hex, item_key) if item_key else (feed_key or NO_KEY.hex, NO_KEY.hex)


def _mark(event: FeedMarked) -> Mark:
    return Mark(event.feed_key, event.marked_at if event.blocked else None)


def _parameters(touched: set[Scope], reached: set[Scope], marked: list[UUID]) -> dict[str, Any]:
    parameters = {"touched": as_json(list(touched)), "default": settings.DEFAULT_PRIVACY, "no_key": NO_KEY}
    if not reached and not marked:
        return parameters
    items = [scope for scope in reached if scope.item_key is not None]
    feeds = [scope for scope in reached if scope.feed_key is not None]
    users = [scope.user_id for scope in reached if scope.item_key is None and scope.feed_key is None]
    of_users = {"users": users, "feeds": as_json(feeds), "items": as_json(items)}
    return parameters | of_users | {"marked": marked}


apply = between_joins(_apply_part, _join)
projector = Projector(
    name="public_events",
    handles=frozenset(
        (
            UserSubscribed,
            UserUnsubscribed,
            PlayRecorded,
            EpisodeSaved,
            EpisodeUnsaved,
            EpisodeShared,
            PrivacyChanged,
            UserCheckpoint,
            EventsRemoved,
            EpisodeIdentified,
            PublicHistoryTrimmed,
            FeedMarked,
        )
    ),
    # the last is what an erasure looks for, and then needs the others
    tables=(ACTIVITY, LEVELS.table, BLOCKED, DUE, PUBLIC),
    queues=frozenset((DUE,)),
    apply=apply,
)
