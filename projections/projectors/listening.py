"""What listeners really heard, counted from the positions that devices report
(eventstore/domain/listening.py).

Each reported position (a ``Place``) has a row with what is counted for it. That depends only on earlier
places, so one that comes last, as nearly all do, costs a look at the newest two of its episode; if one comes
late, its whole episode is counted again.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeAlias
from uuid import UUID

import msgspec
from psycopg import Cursor, sql

from eventstore.domain.checkpoint import UserCheckpoint
from eventstore.domain.episodes import EpisodeIdentified
from eventstore.domain.identifiers import episode_key, key_of
from eventstore.domain.listening import (
    NOTHING_BEFORE,
    Before,
    EpisodeHeard,
    ListeningImported,
    Place,
    greater,
    place_of,
    recount,
    settled,
)
from eventstore.domain.plays import PlayRecorded, PositionUpdated
from eventstore.reading import sender_of
from projections.projectors.merging import Key, columns_in
from projections.projectors.registers import between_joins
from projections.projectors.rows import Rows, listed
from projections.projectors.shape import Fact, Projector, Tables, answer, as_json

TABLE = "users.listening"
# For each episode and device asked about: the newest place of the episode, the newest one of that device, and
# the newest place of that device up to which something was heard, if it is another one. No row for an episode
# without places.
NEWEST = """
SELECT asked.user_id, asked.item_key::text, newest.*, own.*, heard.*
  FROM jsonb_to_recordset(%s::jsonb) AS asked (user_id uuid, item_key uuid, device_key uuid)
 CROSS JOIN LATERAL (SELECT device, at, position FROM {table} t
                      WHERE t.user_id = asked.user_id AND t.item_key = asked.item_key
                      ORDER BY at DESC, device_key DESC LIMIT 1) newest
  LEFT JOIN LATERAL (SELECT device, at, position, seconds, starts_at FROM {table} t
                      WHERE t.user_id = asked.user_id AND t.item_key = asked.item_key
                        AND t.device_key = asked.device_key
                      ORDER BY at DESC LIMIT 1) own ON true
  LEFT JOIN LATERAL (SELECT device, at, position, seconds, starts_at FROM {table} t
                      WHERE own.seconds = 0 AND t.user_id = asked.user_id AND t.item_key = asked.item_key
                        AND t.device_key = asked.device_key AND t.seconds > 0
                      ORDER BY at DESC LIMIT 1) heard ON true
"""
WHOLE = sql.SQL("""
SELECT user_id, item_key::text, {columns}
  FROM {table} JOIN jsonb_to_recordset(%s::jsonb) AS asked (user_id uuid, item_key uuid)
 USING (user_id, item_key)
""")
TAKE = sql.SQL("DELETE FROM {table} WHERE user_id = %s AND item_key = %s RETURNING {columns}")
PLACE = Place.__struct_fields__

# the listener, and the key of an episode
Named: TypeAlias = tuple[UUID, str]


class ListeningRow(msgspec.Struct, gc=False):
    user_id: UUID
    item_key: Key
    at: datetime
    device_key: Key
    rss_source_feed: str
    device: str
    position: int
    started: int | None
    speed: float | None
    played: bool
    seconds: int
    starts_at: datetime | None
    finished_at: datetime | None
    settled: bool


class RowKey(msgspec.Struct, gc=False):
    user_id: UUID
    item_key: str
    device_key: str | None = None


class Places:
    """The places of an episode that a batch brings."""

    def __init__(self, feed: str) -> None:
        self.feed = feed
        self.by_key: dict[tuple[datetime, str], Place] = {}

    def add(self, places: Iterable[Place]) -> None:
        for place in places:
            known = self.by_key.get(place.key)
            self.by_key[place.key] = place if known is None else greater(known, place)


Arrived: TypeAlias = dict[Named, Places]
COLUMNS = columns_in(ListeningRow)
ROWS = Rows(
    TABLE, COLUMNS, keys=4, merge=", ".join(f"{name} = EXCLUDED.{name}" for name in list(COLUMNS)[4:])
)


def _apply_part(facts: Sequence[Fact], cursor: Cursor[Any], tables: Tables) -> None:
    arrived: Arrived = {}
    for recorded, event in facts:
        match event:
            case PlayRecorded(is_undo=True):
                pass  # nobody heard anything
            case PlayRecorded() | PositionUpdated():
                device = sender_of(recorded)
                if device is not None:
                    named = event.rss_source_feed, event.rss_source_item
                    _of(arrived, event.user_id, *named).add([place_of(event, device)])
            case ListeningImported():
                _add_heard(arrived, event.user_id, event.listening)
            case UserCheckpoint():
                _put(arrived, cursor, tables)
                arrived = {}
                kept: Arrived = {}
                _add_heard(kept, event.user_id, event.listening)
                ROWS.put(cursor, tables, _rows(kept, _by_episode(kept)), {event.user_id})
    _put(arrived, cursor, tables)


def _join(cursor: Cursor[Any], tables: Tables, event: EpisodeIdentified) -> None:
    """Two episodes turned out to be one: move the places of the one to the other."""
    take = TAKE.format(table=tables[TABLE], columns=listed(PLACE))
    places = [Place(*row) for row in answer(cursor, take, [event.user_id, UUID(event.known_key)])]
    arrived: Arrived = {}
    if places:
        _of(arrived, event.user_id, event.rss_source_feed, event.rss_source_item).add(places)
    _put(arrived, cursor, tables)


def _of(arrived: Arrived, user_id: UUID, feed: str, item: str) -> Places:
    return arrived.setdefault((user_id, episode_key(feed, item)), Places(feed))


def _add_heard(arrived: Arrived, user_id: UUID, listening: Iterable[EpisodeHeard]) -> None:
    for one in listening:
        _of(arrived, user_id, one.rss_source_feed, one.rss_source_item).add(settled(one.heard))


def _by_episode(arrived: Arrived) -> dict[Named, list[Place]]:
    return {named: list(places.by_key.values()) for named, places in arrived.items()}


def _put(arrived: Arrived, cursor: Cursor[Any], tables: Tables) -> None:
    """Count the new places and store them, with those whose count they change."""
    if not arrived:
        return
    before = _before(arrived, cursor, tables)
    late = {named: arrived[named] for named, known in before.items() if _is_late(arrived[named], known)}
    counted = _recounted(late, cursor, tables)
    for named, places in arrived.items():
        if named not in late:
            counted[named] = recount(places.by_key.values(), before.get(named, NOTHING_BEFORE))
    ROWS.put(cursor, tables, _rows(arrived, counted))


def _is_late(places: Places, before: Before) -> bool:
    assert before.last is not None
    return min(at for at, _ in places.by_key) <= before.last.at


def _before(arrived: Arrived, cursor: Cursor[Any], tables: Tables) -> dict[Named, Before]:
    """Return what is known of each episode, and of the devices that report new places of it."""
    asked = {(*named, device) for named, places in arrived.items() for _, device in places.by_key}
    wanted = as_json([RowKey(user_id, key, key_of(device)) for user_id, key, device in asked])
    found: dict[Named, Before] = {}
    for row in answer(cursor, _newest_of(tables[TABLE].as_string(None)), [wanted]):
        last, own, heard = row[2:5], row[5:10], row[10:15]
        known = found.setdefault((row[0], row[1].replace("-", "")), Before({}, {}, _known(*last)))
        if own[0] is not None:
            known.own[own[0]] = _known(*own)
        if own[3] or heard[0] is not None:
            of = own if own[3] else heard
            known.heard[of[0]] = _known(*of)
    return found


@lru_cache(maxsize=8)
def _newest_of(table: str) -> bytes:
    """Build the statement; cached, because each batch of the live loop runs it."""
    return NEWEST.format(table=table).encode()


def _known(
    device: str, at: datetime, position: int, seconds: int = 0, starts_at: datetime | None = None
) -> Place:
    return Place(device, at, position, seconds=seconds, starts_at=starts_at)


def _recounted(late: Arrived, cursor: Cursor[Any], tables: Tables) -> dict[Named, list[Place]]:
    """For episodes with a late place, return the places whose count it changes."""
    if not late:
        return {}
    statement = WHOLE.format(table=tables[TABLE], columns=listed(PLACE))
    wanted = as_json([RowKey(user_id, key) for user_id, key in late])
    known: dict[Named, dict[Any, Place]] = {}
    for user_id, key, *values in answer(cursor, statement, [wanted]):
        place = Place(*values)
        known.setdefault((user_id, key.replace("-", "")), {})[place.key] = place
    changed = {}
    for named, places in late.items():
        every = Places(places.feed)
        every.add(known[named].values())
        every.add(places.by_key.values())
        counted = recount(every.by_key.values())
        changed[named] = [place for place in counted if known[named].get(place.key) != place]
    return changed


def _rows(arrived: Arrived, places: Mapping[Named, Iterable[Place]]) -> list[ListeningRow]:
    return [
        ListeningRow(
            user_id=user_id,
            item_key=key,
            device_key=key_of(place.device),
            rss_source_feed=arrived[user_id, key].feed,
            **msgspec.structs.asdict(place),
        )
        for (user_id, key), of in places.items()
        for place in of
    ]


projector = Projector(
    name="listening",
    handles=frozenset((PlayRecorded, PositionUpdated, ListeningImported, UserCheckpoint, EpisodeIdentified)),
    tables=(TABLE,),
    apply=between_joins(_apply_part, _join),
)
