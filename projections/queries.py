"""Reads that the views share. Every page carries the position that it reflects."""

import base64
import binascii
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar, cast
from uuid import UUID

from django.core.exceptions import BadRequest

from eventstore import log
from eventstore.domain import privacy
from eventstore.domain.devices import DeviceEntry
from eventstore.domain.episode_actions import EpisodeActionEntry
from eventstore.domain.held_removals import HeldRemovalEntry
from eventstore.domain.identifiers import episode_key, feed_key_of, has_guid, key_of
from eventstore.domain.naming import Episode, EpisodeName, choose
from eventstore.domain.plays import PlayEntry
from eventstore.domain.privacy import Level
from eventstore.domain.settings import SettingsEntry
from projections import replicas
from projections.connect import run

PAGE = 100
POSITION = 'SELECT position FROM "users"."projector_positions" WHERE projector = %s'
# The statement that reads a page reads the position in the same snapshot; if the page is empty, the outer
# join still returns the position.
PAGE_SQL = """
SELECT reached.position, page.*
  FROM "users"."projector_positions" AS reached
  LEFT JOIN LATERAL ({page}) page ON true
 WHERE reached.projector = %s
 ORDER BY {order}
"""
FOLLOWERS = """
SELECT feed_key, user_id FROM "users"."subscriptions"
 WHERE feed_key = ANY(%s) AND (feed_key, user_id) > (%s, %s)
   AND subscribed_at IS NOT NULL AND (unsubscribed_at IS NULL OR subscribed_at >= unsubscribed_at)
 ORDER BY feed_key, user_id LIMIT %s
"""
FOLLOWED_AND_BLOCKED = """
SELECT true AS is_followed, feed_key FROM "users"."subscriptions"
 WHERE user_id = %s AND subscribed_at IS NOT NULL
   AND (unsubscribed_at IS NULL OR subscribed_at >= unsubscribed_at)
 UNION ALL
SELECT false, feed_key FROM "users"."blocked_feeds"
 WHERE publisher_since IS NOT NULL OR operator_since IS NOT NULL
"""
# the digest is in the condition because the index is on it
PLAYED_COUNTS = """
SELECT rss_source_feed, count(*) FROM "users"."play_statuses"
 WHERE user_id = %(user)s AND played AND rss_source_feed = ANY(%(feeds)s)
   AND md5(rss_source_feed) IN (SELECT md5(feed) FROM unnest(%(feeds)s::text[]) AS feed)
 GROUP BY rss_source_feed
"""
# the episodes that a listener's own actions name
EPISODES_OF = """
SELECT DISTINCT rss_source_feed, rss_source_item FROM (
    SELECT rss_source_feed, rss_source_item FROM "users"."play_statuses" WHERE user_id = %(user)s
    UNION ALL SELECT rss_source_feed, rss_source_item FROM "users"."saved_episodes" WHERE user_id = %(user)s
    UNION ALL SELECT rss_source_feed, rss_source_item FROM "users"."playlist_items" WHERE user_id = %(user)s
    UNION ALL SELECT rss_source_feed, rss_source_item FROM "users"."user_privacy"
               WHERE user_id = %(user)s AND rss_source_item IS NOT NULL) AS known
"""

Row = TypeVar("Row")
# takes a projector, and the SQL, order and values of a page; returns the position it reflects, and its rows
Read: TypeAlias = Callable[[str, str, str, list[Any]], tuple[int, list[tuple[Any, ...]]]]


class Behind(Exception):
    """A projector did not reach the wanted position in time; ``reached`` is how far it came."""

    def __init__(self, projector: str, wanted: int, reached: int) -> None:
        super().__init__(f"{projector} is at {reached}, {wanted} was asked for")
        self.projector, self.wanted, self.reached = projector, wanted, reached


class InvalidCursor(BadRequest, ValueError):
    """The text is not one that a page returned as its ``next``. Django answers it with status 400."""


class Page(NamedTuple, Generic[Row]):
    """``next`` is passed as ``after`` to get the next page; None after the last."""

    rows: list[Row]
    next: str | None
    position: int


def key(text: str) -> UUID:
    """Read a digest from a cursor. Like the other readers of cursors, raises ``ValueError``."""
    return UUID(hex=text)


def moment(text: str) -> datetime:
    """Read a time from a cursor."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(text)
    return found


class Query(NamedTuple, Generic[Row]):
    """A paged read: the fields of ``row`` from a ``source`` (all that follows FROM, with a condition).

    ``keys`` are the columns that order the rows, each with the function that reads it from a cursor; the last
    one is never null. A cursor holds the keys of a page's last row, so that a walk through the pages misses
    no row that stays. ``columns``: needed if they are not the names of the row's fields.
    """

    projector: str
    row: Callable[..., Row]
    source: str
    keys: dict[str, Callable[[str], Any]]
    columns: str = ""

    def page(
        self,
        values: Sequence[Any],
        where: Mapping[str, Any] = {},
        after: str | None = None,
        limit: int = PAGE,
        *,
        descending: bool = False,
        read: Read | None = None,
    ) -> Page[Row]:
        """Return one page. ``values`` are for the source; conditions in ``where`` apply unless their value is
        None.

        Raises ``InvalidCursor``.
        """
        conditions = {condition: value for condition, value in where.items() if value is not None}
        parameters = [*values, *conditions.values()]
        if after is not None:
            marks = ", ".join(["%s"] * len(self.keys))
            conditions[f"({', '.join(self.keys)}) {'<' if descending else '>'} ({marks})"] = after
            parameters += self._read(after)
        direction = "DESC" if descending else "ASC"
        keys = [f"{name} AS key_{number}" for number, name in enumerate(self.keys)]
        columns = self.columns or ", ".join(cast(Any, self.row)._fields)
        statement = f"SELECT {', '.join([columns, *keys])}"
        statement += f" FROM {self.source}" + "".join(f" AND {condition}" for condition in conditions)
        statement += f" ORDER BY {', '.join(f'{name} {direction}' for name in self.keys)} LIMIT %s"
        order = ", ".join(f"page.key_{number} {direction}" for number in range(len(keys)))
        position, found = (read or fetch)(self.projector, statement, order, [*parameters, limit + 1])
        rows = [self.row(*row[: -len(keys)]) for row in found[:limit]]
        if len(found) <= limit:
            return Page(rows, None, position)
        cursor = encode_cursor(" ".join(map(_written, found[limit - 1][-len(keys) :])))
        return Page(rows, cursor, position)

    def _read(self, cursor: str) -> list[Any]:
        parts = decode_cursor(cursor).split(" ")
        try:
            return [read(part) for read, part in zip(self.keys.values(), parts, strict=True)]
        except ValueError as error:
            raise InvalidCursor(cursor) from error


class SubscriptionRow(NamedTuple):
    rss_source_feed: str
    rss_source_id: str | None
    subscribed_at: datetime | None
    unsubscribed_at: datetime | None

    @property
    def active(self) -> bool:
        if self.subscribed_at is None:
            return False
        return self.unsubscribed_at is None or self.subscribed_at >= self.unsubscribed_at


class SavedEpisodeRow(NamedTuple):
    rss_source_feed: str
    rss_source_item: str
    saved_at: datetime


class PrivacyRow(NamedTuple):
    level: Level
    changed_at: datetime
    rss_source_feed: str | None
    rss_source_item: str | None


def position_of(projector: str) -> int:
    """Return how far a projector has come; 0 if it never ran."""
    row = run(POSITION, [projector]).fetchone()
    return int(row[0]) if row else 0


def wait_for(projector: str, position: int, seconds: float = 2.0) -> int:
    """Wait until a projector has reached ``position``; return where it is. Raises ``Behind``."""
    deadline = time.monotonic() + seconds
    pause = 0.002
    if (reached := position_of(projector)) >= position:
        return reached
    # wakes the projector, which may be letting events gather
    log.notify(is_awaited=True)
    while (reached := position_of(projector)) < position:
        if time.monotonic() + pause > deadline:
            raise Behind(projector, position, reached)
        time.sleep(pause)
        pause = min(pause * 2, 0.02)
    return reached


SUBSCRIPTIONS = Query(
    "subscriptions", SubscriptionRow, '"users"."subscriptions" WHERE user_id = %s', {"feed_key": key}
)
ACTIVE_SUBSCRIPTIONS = SUBSCRIPTIONS._replace(
    source=SUBSCRIPTIONS.source
    + " AND subscribed_at IS NOT NULL AND (unsubscribed_at IS NULL OR subscribed_at >= unsubscribed_at)"
)
PLAY_STATUSES = Query(
    "plays",
    PlayEntry,
    '"users"."play_statuses" WHERE user_id = %s',
    {"updated_at": moment, "item_key": key},
    ", ".join(name for name in PlayEntry.__struct_fields__ if name not in ("guid", "enclosure_url")),
)
SAVED_EPISODES = Query(
    "saved",
    SavedEpisodeRow,
    '"users"."saved_episodes" WHERE user_id = %s'
    " AND saved_at IS NOT NULL AND (unsaved_at IS NULL OR saved_at >= unsaved_at)",
    {"saved_at": moment, "item_key": key},
)
PRIVACY_SETTINGS = Query(
    "privacy",
    PrivacyRow,
    '"users"."user_privacy" WHERE user_id = %s AND level IS NOT NULL',
    {"scope_key": key},
    # a level that this program does not know may hide anything
    "CASE WHEN level IN ('public', 'anonymous') THEN level ELSE 'private' END, changed_at, rss_source_feed,"
    " rss_source_item",
)


EXISTS = " IS NOT NULL AND ({off} IS NULL OR {on} >= {off})"
DEVICES = Query(
    "devices",
    DeviceEntry,
    '"users"."devices" WHERE user_id = %s AND registered_at'
    + EXISTS.format(on="registered_at", off="forgotten_at"),
    {"device_key": key},
    ", ".join(DeviceEntry.__struct_fields__),
)
EPISODE_ACTIONS = Query(
    "episode_actions",
    EpisodeActionEntry,
    '"users"."episode_actions" WHERE user_id = %s',
    {"acted_at": moment, "item_key": key},
    "rss_source_feed, rss_source_item, action, acted_at, device",
)
SETTINGS = Query(
    "settings",
    SettingsEntry,
    '"users"."settings" WHERE user_id = %s AND settings IS NOT NULL',
    {"scope_key": key},
    "settings, changed_at, device, rss_source_feed, rss_source_item",
)
HELD_REMOVALS = Query(
    "held_removals",
    HeldRemovalEntry,
    '"users"."held_removals" WHERE user_id = %s AND held_at' + EXISTS.format(on="held_at", off="settled_at"),
    {"feed_key": key},
    ", ".join(HeldRemovalEntry.__struct_fields__),
)


def subscriptions(
    user_id: UUID,
    include_removed: bool = False,
    after: str | None = None,
    limit: int = PAGE,
    read: Read | None = None,
) -> Page[SubscriptionRow]:
    """Return the feeds that a listener follows, or with ``include_removed`` ever followed, in a stable order.

    Raises ``InvalidCursor``, as all reads here that take ``after``.
    """
    query = SUBSCRIPTIONS if include_removed else ACTIVE_SUBSCRIPTIONS
    return query.page([user_id], {}, after, limit, read=read)


def sight_of(user_id: UUID) -> tuple[list[UUID], list[UUID], int]:
    """Return what decides which feeds a listener may find.

    That is the digests of the feeds followed, those of the blocked feeds, and the position of the
    subscriptions.
    """
    position, rows = fetch("subscriptions", FOLLOWED_AND_BLOCKED, "page.feed_key", [user_id])
    followed = [key for is_followed, key in rows if is_followed]
    return followed, [key for is_followed, key in rows if not is_followed], position


def subscriptions_of(user_id: UUID, feeds: Sequence[str]) -> Page[SubscriptionRow]:
    """Return those of these feeds that a listener follows."""
    return ACTIVE_SUBSCRIPTIONS.page(
        [user_id], {"feed_key = ANY(%s::uuid[])": [key_of(feed) for feed in feeds]}
    )


def play_statuses(
    user_id: UUID,
    feed: str | None = None,
    played: bool | None = None,
    updated_since: datetime | None = None,
    after: str | None = None,
    limit: int = PAGE,
    newest_first: bool = False,
) -> Page[PlayEntry]:
    """Return what a listener heard, oldest change first.

    A row that changes during a walk through the pages moves to a later page, so the walk never misses one.
    ``newest_first`` is for looking, not for walking. ``updated_since`` is inclusive.
    """
    where = {
        # the digest is in the condition because the index is on it
        "md5(rss_source_feed) = md5(%s)": feed,
        "rss_source_feed = %s": feed,
        "played = %s": played,
        "updated_at >= %s": updated_since,
    }
    return PLAY_STATUSES.page([user_id], where, after, limit, descending=newest_first)


def subscription(user_id: UUID, feed: str) -> SubscriptionRow | None:
    """Return a feed that a listener follows, or ever followed."""
    found = SUBSCRIPTIONS.page([user_id], {"feed_key = %s::uuid": feed_key_of(feed)}).rows
    return found[0] if found else None


def play_statuses_of(user_id: UUID, names: Iterable[tuple[str, str]]) -> dict[tuple[str, str], PlayEntry]:
    """Return what a listener heard of these episodes (normalised feed and item), by these names."""
    keys = {UUID(episode_key(feed, item)): (feed, item) for feed, item in names}
    if not keys:
        return {}
    found = PLAY_STATUSES.page([user_id], {"item_key = ANY(%s)": list(keys)}, limit=len(keys))
    return {keys[UUID(episode_key(row.rss_source_feed, row.rss_source_item))]: row for row in found.rows}


def played_counts(user_id: UUID, feeds: Sequence[str]) -> dict[str, int]:
    """Count the episodes of each of these feeds that a listener has played to the end."""
    return dict(run(PLAYED_COUNTS, {"user": user_id, "feeds": list(feeds)}).fetchall())


def saved_of(user_id: UUID, feed: str, item: str) -> bool:
    """Whether a listener has saved an episode."""
    where = {"item_key = %s::uuid": episode_key(feed, item)}
    return bool(SAVED_EPISODES.page([user_id], where).rows)


def saved_episodes(
    user_id: UUID, feed: str | None = None, after: str | None = None, limit: int = PAGE
) -> Page[SavedEpisodeRow]:
    """Return what a listener has saved, oldest first, so that a walk through the pages misses none."""
    return SAVED_EPISODES.page([user_id], {"rss_source_feed = %s": feed}, after, limit)


def privacy_settings(user_id: UUID, after: str | None = None, limit: int = PAGE) -> Page[PrivacyRow]:
    """Return all settings of a listener that were not cleared, in a stable order."""
    return PRIVACY_SETTINGS.page([user_id], {}, after, limit)


def privacy_of(user_id: UUID, feed: str | None, item: str | None) -> Page[PrivacyRow]:
    """Return the settings that apply to an item, a feed or, with neither, the account; at most three.

    For an item without its feed, the feed is taken from the listener's own actions; raises ``DomainError``
    ``ambiguous_item`` if they name several.
    """
    if item is not None and (feed is None or not has_guid(item)):
        known = run(EPISODES_OF, {"user": user_id})
        feed, item = choose(map(Episode._make, known), EpisodeName(feed, item))
    keys_of_scopes = [key_of(scope) for _, scope in privacy.scopes_of(feed, item)]
    return PRIVACY_SETTINGS.page([user_id], {"scope_key = ANY(%s::uuid[])": keys_of_scopes})


def followers(feed_keys: Sequence[UUID], limit: int = 1_000) -> Iterator[list[tuple[UUID, UUID]]]:
    """Yield who follows these feeds, given by digest: pairs of digest and listener, in pages."""
    after = UUID(int=0), UUID(int=0)
    while page := run(FOLLOWERS, [list(feed_keys), *after, limit]).fetchall():
        yield page
        after = page[-1]


def fetch(projector: str, page: str, order: str, values: list[Any]) -> tuple[int, list[tuple[Any, ...]]]:
    """Return the projector's position and the rows of the page, from one snapshot.

    A replica is read if it is recent enough, else the primary. Raises when the primary is away.
    """
    statement = PAGE_SQL.format(page=page, order=order)
    return replicas.read(projector, lambda alias: read_page(statement, [*values, projector], alias))


def read_page(
    statement: str, values: list[Any], alias: str = "projections"
) -> tuple[int, list[tuple[Any, ...]]]:
    """Return the position, which is the first column of what a statement finds, and the rows without it."""
    found = run(statement, values, alias).fetchall()
    if not found:
        return 0, []
    # the last column is a key, which is null only if the page is empty
    return int(found[0][0]), [row[1:] for row in found if row[-1] is not None]


def encode_cursor(text: str) -> str:
    """Encode a place in a list as the cursor of a page."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    """Decode a cursor. Raises ``InvalidCursor``."""
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error) as error:
        raise InvalidCursor(cursor) from error


def _written(key: Any) -> str:
    match key:
        case datetime():
            return key.isoformat()
        case UUID():
            return key.hex
    return str(key)
