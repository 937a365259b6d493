"""What everybody may see of what listeners do; and, visible to nobody, which of it is whose.

``users.activity`` has everything, ``public.public_events`` only what the level in force allows. An anonymous
row there leads to nobody: it has no listener, its time is rounded down to the hour, and its id is random and
replaced with every change.

What is shown is a function of the activity, the levels and the marks on feeds as they are in the tables.
Whoever changes one of these derives again what depends on it.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, get_args
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
from eventstore.domain.fields import IS_UNDO
from eventstore.domain.identifiers import digests_of, guid_key_of
from eventstore.domain.messages import Event
from eventstore.domain.plays import PlayRecorded
from eventstore.domain.privacy import Privacy, PrivacyChanged
from eventstore.domain.saved import EpisodeSaved, EpisodeShared, EpisodeUnsaved
from eventstore.domain.secrets import is_secret_feed, is_secret_item
from eventstore.domain.subscriptions import UserSubscribed, UserUnsubscribed
from eventstore.domain.times import MAX_SKEW, later
from projections.projectors.merging import Key, columns_in, merge_of
from projections.projectors.registers import between_joins
from projections.projectors.rows import Rows
from projections.projectors.shape import Fact, Projector, Tables, as_json
from projections.projectors.showing import (
    FORGET_IN_SCOPE,
    FORGET_OLD,
    FORGET_OLD_TIMES,
    HIDE_IN_SCOPE,
    HIDE_OLD,
    MARK,
    MERGE,
    SHOW_IN_REACH,
    SHOW_MARKED,
    SHOW_TOUCHED,
    UNMARK,
)

BLOCKED = "users.blocked_feeds"
PUBLIC = "public.public_events"
# the feeds and items whose public rows changed since their figures were counted (projections/popularity.py)
DUE = "users.popularity_due"
# in place of the feed in an item's setting, of the item in a feed's, and of both in the account's
NO_KEY = UUID(int=0)

# The events that report an act: its kind, the field with its time, and whether they withdraw it.
TELLING: dict[type[Event], tuple[str, str, bool]] = {
    UserSubscribed: ("subscribe", "subscribed_at", False),
    UserUnsubscribed: ("subscribe", "unsubscribed_at", True),
    PlayRecorded: ("play", "played_at", False),
    EpisodeSaved: ("save", "saved_at", False),
    EpisodeUnsaved: ("save", "unsaved_at", True),
    EpisodeShared: ("share", "shared_at", False),
}


class ActivityRow(msgspec.Struct, gc=False):
    """What is known of an act: a feed followed, an episode played or saved, a share."""

    user_id: UUID
    kind: str
    key: Key
    feed_key: Key
    rss_source_feed: str
    rss_source_item: str | None
    item_key: Key | None
    guid_key: Key | None
    secret: bool
    happened_at: datetime | None = None
    withdrawn_at: datetime | None = None
    arrived_at: datetime | None = None

    def happen(self, item: str | None, at: datetime, arrived_at: datetime) -> None:
        """Record that it happened at ``at``; the latest time counts, and with it the spelling of the item."""
        if self.happened_at is None or at >= self.happened_at:
            self.happened_at, self.arrived_at = at, arrived_at if at > arrived_at else None
            self.rss_source_item, self.secret = item, _is_secret(self.rss_source_feed, item)


class Scope(msgspec.Struct, frozen=True, gc=False):
    """What a setting applies to, or a row that must be derived again."""

    user_id: UUID
    feed_key: str | None = None
    item_key: str | None = None
    kind: str | None = None
    key: str | None = None


class Level(msgspec.Struct, gc=False):
    user_id: UUID
    feed_key: Key
    item_key: Key
    level: str | None
    changed_at: datetime


ACTIVITY = Rows("users.activity", columns_in(ActivityRow), keys=3, merge=MERGE)
# without feed and item, so their spelling does not matter here
LEVELS = Rows(
    "users.activity_levels",
    columns_in(Level),
    keys=3,
    merge=merge_of(privacy.REGISTER, only=("level", "changed_at")),
)


def _names(tables: Tables) -> dict[str, sql.Composable]:
    """Return what replaces the names in braces in the statements."""
    return {
        "activity": tables[ACTIVITY.table],
        "levels": tables[LEVELS.table],
        "blocked": tables[BLOCKED],
        "due": tables[DUE],
        "public": tables[PUBLIC],
    }


def _join(cursor: Cursor[Any], tables: Tables, event: EpisodeIdentified) -> None:
    """Merge the activity and the levels of two episodes that turned out to be one."""
    user_id, names = event.user_id, _names(tables)
    known, key = UUID(event.known_key), UUID(event.key)
    cursor.execute(HIDE_IN_SCOPE.format(**names), {"user": user_id, "feed": None, "item": known})
    there = {
        "item_key": key,
        "guid_key": UUID(guid_key_of(event.rss_source_item)),
        "rss_source_item": event.rss_source_item,
        "secret": _is_secret(event.rss_source_feed, event.rss_source_item),
    }
    of = {"user_id": user_id, "item_key": known}
    ACTIVITY.move(cursor, tables, {**of, "key": known}, {**there, "key": key})
    # now the shares, which have keys of their own
    ACTIVITY.move(cursor, tables, of, there)
    LEVELS.move(cursor, tables, {**of, "feed_key": NO_KEY}, {"item_key": key})
    reached = {Scope(user_id, item_key=event.key)}
    cursor.execute(SHOW_IN_REACH.format(**names), _parameters(set(), reached, []))


def _apply_part(facts: Sequence[Fact], cursor: Cursor[Any], tables: Tables) -> None:
    names = _names(tables)
    rows: dict[tuple[UUID, str, str], ActivityRow] = {}
    touched: set[Scope] = set()
    reached: set[Scope] = set()
    levels: dict[UUID, Privacy] = {}
    replaced: set[UUID] = set()
    marks: dict[tuple[Marker, UUID], FeedMarked] = {}

    def keep() -> None:
        if rows:
            ACTIVITY.put(cursor, tables, list(rows.values()))
            touched.update(Scope(user_id, kind=kind, key=key) for user_id, kind, key in rows)
            rows.clear()

    superseded = set(_superseded(facts))
    for recorded, event in facts:
        match event:
            case UserCheckpoint():
                # only the settings: later activity is still in the log, and older activity is no longer shown
                levels[event.user_id] = dict(event.privacy)
                replaced.add(event.user_id)
            case PrivacyChanged():
                privacy.REGISTER.evolve(levels.setdefault(event.user_id, {}), event)
                reached.add(_reach(event))
            case EventsRemoved():
                keep()
                removed = {"user": event.user_id, "feed": event.feed_key, "item": event.item_key}
                for statement in (HIDE_IN_SCOPE, FORGET_IN_SCOPE):
                    cursor.execute(statement.format(**names), removed)
                reached.add(Scope(event.user_id))
            case PublicHistoryTrimmed():
                if recorded.position not in superseded:
                    keep()
                    for statement in (HIDE_OLD, FORGET_OLD, FORGET_OLD_TIMES):
                        cursor.execute(statement.format(**names), {"before": event.before})
            case FeedMarked():
                marks[event.marked_by, event.feed_key] = event
            case PlayRecorded(is_undo=True) if event.position or event.played:
                pass  # nobody has played anything
            case _:
                kind, time, withdrawn = TELLING[type(event)]
                # undone back to the beginning: as if it had never been played
                withdrawn = withdrawn or getattr(event, IS_UNDO, False)
                row = _row(event, kind, recorded.event_id)
                row = rows.setdefault((row.user_id, row.kind, row.key), row)
                # limits clock skew: retention trims what is public up to MAX_SKEW beyond the events it
                # deletes
                at = min(getattr(event, time), recorded.recorded_at + MAX_SKEW)
                if withdrawn:
                    row.withdrawn_at = later(row.withdrawn_at, at)
                else:
                    row.happen(getattr(event, "rss_source_item", None), at, recorded.recorded_at)
    keep()
    changed = LEVELS.put(cursor, tables, list(_levels(levels)), replaced)
    reached |= {Scope(user_id) for user_id in changed}
    marked = [feed_key for _, feed_key in marks]
    if marks:
        for marker in get_args(Marker):
            since = [
                {"feed_key": feed_key, "since": event.marked_at if event.blocked else None}
                for (by, feed_key), event in marks.items()
                if by == marker
            ]
            column = sql.Identifier(f"{marker}_since")
            cursor.execute(MARK.format(marker=column, **names), [as_json(since)])
        cursor.execute(UNMARK.format(**names), [marked])
    if touched or reached or marks:
        show = SHOW_MARKED if marks else SHOW_IN_REACH if reached else SHOW_TOUCHED
        cursor.execute(show.format(**names), _parameters(touched, reached, marked))


def _row(event: Any, kind: str, event_id: str) -> ActivityRow:
    feed, item = event.rss_source_feed, getattr(event, "rss_source_item", None)
    feed_key, item_key = digests_of(feed, item)
    key = event_id if kind == "share" else item_key or feed_key
    assert feed_key is not None
    assert key is not None
    guid_key = None if item is None else guid_key_of(item)
    return ActivityRow(
        event.user_id, kind, key, feed_key, feed, item, item_key, guid_key, _is_secret(feed, item)
    )


def _is_secret(feed: str, item: str | None) -> bool:
    return is_secret_feed(feed) or (item is not None and is_secret_item(item))


def _reach(event: PrivacyChanged) -> Scope:
    feed_key, item_key = digests_of(event.rss_source_feed, event.rss_source_item)
    return Scope(event.user_id, item_key=item_key) if item_key else Scope(event.user_id, feed_key=feed_key)


def _superseded(facts: Sequence[Fact]) -> Iterator[int]:
    """Yield the positions of trims that a later one in the batch makes superfluous.

    There are 13,000 trims in 45 days, and a rebuild, which has no index by time yet, scans the table for
    each.
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
            yield Level(user_id, *keys_of(one.feed, one.item), one.level, one.changed_at)


def keys_of(feed: str | None, item: str | None) -> tuple[str, str]:
    """Return the digests under which a setting is kept: of an episode, a podcast or, with neither, the
    account."""
    feed_key, item_key = digests_of(feed, item)
    return (NO_KEY.hex, item_key) if item_key else (feed_key or NO_KEY.hex, NO_KEY.hex)


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
            *TELLING,
            PrivacyChanged,
            UserCheckpoint,
            EventsRemoved,
            EpisodeIdentified,
            PublicHistoryTrimmed,
            FeedMarked,
        )
    ),
    # the last one is what an erasure looks for: it then needs the others, which are created before it
    tables=(ACTIVITY.table, LEVELS.table, BLOCKED, DUE, PUBLIC),
    queues=frozenset((DUE,)),
    apply=apply,
)
