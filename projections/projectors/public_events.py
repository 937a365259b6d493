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
from eventstore.domain.identifiers import key_of
from eventstore.domain.plays import PlayRecorded
from eventstore.domain.privacy import Privacy, PrivacyChanged, PrivacySetting
from eventstore.domain.saved import EpisodeSaved, EpisodeShared, EpisodeUnsaved
from eventstore.domain.secrets import is_secret_feed, is_secret_item
from eventstore.domain.subscriptions import UserSubscribed, UserUnsubscribed
from eventstore.domain.times import MAX_SKEW, later
from projections.projectors.merging import merge_of
from projections.projectors.rows import Rows
from projections.projectors.shape import Fact, Projector, Tables, as_json
from projections.projectors.showing import (
    FORGET_OLD,
    FORGET_OLD_TIMES,
    HIDE_OLD,
    KEEP,
    MARK,
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
    # of which feed an item is does not matter here
    merge=merge_of(privacy.REGISTER, only=("level", "changed_at")),
)


class Act(NamedTuple):
    """What is one row of the activity, as an event names it."""

    user_id: UUID
    kind: str
    key: str
    feed: str
    item: str | None


class Row(msgspec.Struct, gc=False):
    user_id: UUID
    kind: str
    key: str
    feed_key: str
    rss_source_feed: str
    rss_source_item: str | None
    item_key: str | None
    secret: bool
    happened_at: datetime | None = None
    withdrawn_at: datetime | None = None
    arrived_at: datetime | None = None

    def happen(self, at: datetime, arrived_at: datetime) -> None:
        if self.happened_at is None or at >= self.happened_at:
            self.happened_at, self.arrived_at = at, arrived_at if at > arrived_at else None


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


def apply(facts: Sequence[Fact], cursor: Cursor[Any], tables: Tables) -> None:
    names = {
        "activity": tables[ACTIVITY],
        "levels": tables[LEVELS.table],
        "blocked": tables[BLOCKED],
        "due": tables[DUE],
        "public": tables[PUBLIC],
    }
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
                act, at, withdrawn = _told(event, recorded.event_id)
                row = rows.get(act)
                if row is None:
                    row = rows[act] = _row(act)
                # no further than the worker trims beyond what it deletes
                at = min(at, recorded.recorded_at + MAX_SKEW)
                if withdrawn:
                    row.withdrawn_at = later(row.withdrawn_at, at)
                else:
                    row.happen(at, recorded.recorded_at)
    keep()
    rows_of_levels = list(_levels(levels))
    reached |= {Scope(user_id) for user_id in LEVELS.changed(cursor, tables, rows_of_levels, replaced)}
    LEVELS.put(cursor, tables, rows_of_levels, replaced)
    marked = [feed_key for _, feed_key in marks]
    if marks:
        for marker in get_args(Marker):
            told = [_mark(event) for (by, _), event in marks.items() if by == marker]
            column = sql.Identifier(f"{marker}_since")
            cursor.execute(MARK.format(marker=column, **names), [as_json(told)])
        cursor.execute(UNMARK.format(**names), [marked])
    if touched or reached or marks:
        show = SHOW_MARKED if marks else SHOW_IN_REACH if reached else SHOW_TOUCHED
        cursor.execute(show.format(**names), _parameters(touched, reached, marked))


def _told(event: object, event_id: str) -> tuple[Act, datetime, bool]:
    """Which row an event is about, its time, and whether it takes something back."""
    match event:
        case UserSubscribed():
            feed = event.rss_source_feed
            return Act(event.user_id, "subscribe", key_of(feed), feed, None), event.subscribed_at, False
        case UserUnsubscribed():
            feed = event.rss_source_feed
            return Act(event.user_id, "subscribe", key_of(feed), feed, None), event.unsubscribed_at, True
        case PlayRecorded():
            return _of_item(event, "play"), event.played_at, False
        case EpisodeSaved():
            return _of_item(event, "save"), event.saved_at, False
        case EpisodeUnsaved():
            return _of_item(event, "save"), event.unsaved_at, True
        case EpisodeShared():
            return _of_item(event, "share")._replace(key=event_id), event.shared_at, False
    raise TypeError(type(event).__name__)


def _of_item(event: PlayRecorded | EpisodeSaved | EpisodeUnsaved | EpisodeShared, kind: str) -> Act:
    item = event.rss_source_item
    return Act(event.user_id, kind, key_of(item), event.rss_source_feed, item)


def _row(act: Act) -> Row:
    secret = is_secret_feed(act.feed) or (act.item is not None and is_secret_item(act.item))
    item_key = None if act.item is None else key_of(act.item)
    return Row(act.user_id, act.kind, act.key, key_of(act.feed), act.feed, act.item, item_key, secret)


def _reach(event: PrivacyChanged) -> Scope:
    if event.rss_source_item is not None:
        return Scope(event.user_id, item_key=key_of(event.rss_source_item))
    feed = event.rss_source_feed
    return Scope(event.user_id, feed_key=None if feed is None else key_of(feed))


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
    if of.item is not None:
        return NO_KEY.hex, key_of(of.item)
    return NO_KEY.hex if of.feed is None else key_of(of.feed), NO_KEY.hex


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
            PublicHistoryTrimmed,
            FeedMarked,
        )
    ),
    # the last is what an erasure looks for, and then needs the others
    tables=(ACTIVITY, LEVELS.table, BLOCKED, DUE, PUBLIC),
    queues=frozenset((DUE,)),
    apply=apply,
)
