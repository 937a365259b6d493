"""The event log: append events, read them by stream or by position, and notify projectors.

The connection is in autocommit mode, and every function runs one statement and so costs one round trip. Only
the event store touches event rows: this module, ``appending`` and, built on them, ``retention``, ``erasure``,
``administration``, ``marks`` and ``verification``. Every function raises ``psycopg.OperationalError`` (or
Django's) when the store is unavailable.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import psycopg
from django.db.utils import OperationalError
from psycopg.rows import RowMaker
from psycopg.types.datetime import TimestamptzLoader
from psycopg.types.string import TextLoader

from eventstore import codec, counters
from eventstore.appending import CommandAlreadyRecorded, CommandId, append_large, append_many, append_one
from eventstore.columns import Changes, KeptEntry
from eventstore.database import SQL, discard_when_broken, execute, fetch_value, raw_connection
from eventstore.domain.identifiers import key_of
from eventstore.domain.messages import INSTANCE, Event, Origin
from eventstore.domain.relevance import Relevant
from eventstore.domain.topics import STATE_SCHEMA
from eventstore.failpoints import failpoint
from eventstore.history_filter import EVERYTHING, FILTERS, HistoryFilter, HistorySource
from eventstore.prepared import Prepared

NOTIFICATION_CHANNEL = "balados_events"
# A projector stays awake for a second after each hint (projections.runner), so four hints a second are
# enough.
SECONDS_BETWEEN_HINTS = 0.25
LAST_POSITION = 2**63 - 1
LAST_VERSION = 2**31 - 1
# how many streams a process caches by user id, at 100 bytes each
MOST_STREAMS = 100_000

READ_BY_POSITION = """
SELECT position, stream, version, event_id, type, schema, data, metadata, recorded_at
  FROM events.events WHERE position > %s AND position <= %s ORDER BY position LIMIT %s"""
READ_STREAM = """
SELECT position, stream, version, event_id, type, schema, data, metadata, recorded_at
  FROM events.events WHERE stream = %s AND version > %s AND version <= %s ORDER BY version"""
READ_RELEVANT = """
SELECT position, stream, version, event_id, type, schema, data, metadata, recorded_at
  FROM events.events WHERE stream = %s AND version > %s AND version <= %s
   AND (type = ANY(%s) OR type = ANY(%s) AND data ->> 'rss_source_feed' = ANY(%s)) ORDER BY version"""
READ_HISTORY = """
SELECT position, stream, version, event_id, type, schema, data, metadata, recorded_at
  FROM events.events WHERE stream = %s AND version < %s {conditions} ORDER BY version DESC LIMIT %s"""
# for the newest events: which devices and apps they came from, and which feed they concern
HISTORY_SOURCES = """
SELECT metadata ->> 'app_id', metadata ->> 'device_id', metadata ->> 'device_name',
       data ->> 'rss_source_feed', max(version)
  FROM (SELECT version, metadata, data FROM events.events
         WHERE stream = %s ORDER BY version DESC LIMIT %s) AS newest
 GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC"""
READ_CHECKPOINT = """
SELECT position, stream, version, event_id, type, schema, data, metadata, recorded_at
  FROM events.events WHERE stream = %s AND type = 'UserCheckpoint' ORDER BY version DESC LIMIT 1"""
# without the contents of checkpoints, which hold the whole state
READ_THESE = """
SELECT position, stream, version, event_id, type, schema,
       CASE WHEN type = 'UserCheckpoint' THEN '{}' ELSE data END, metadata, recorded_at
  FROM events.events WHERE position = ANY(%s)"""
# a stream is found under its name, or under the digest that replaces the name when it is erased
FIND_STREAM = """
SELECT id, tombstone FROM events.streams WHERE name = ANY(%s) ORDER BY tombstone NULLS LAST LIMIT 1"""
OPEN_STREAM = """
INSERT INTO events.streams (name, state_schema)
SELECT %s, %s WHERE NOT EXISTS (SELECT FROM events.streams WHERE name = %s) ON CONFLICT (name) DO NOTHING"""


class RecordedEvent(msgspec.Struct, frozen=True, gc=False):
    """A stored event. ``data`` and ``metadata`` are JSON text; ``codec.decode`` reads the data.

    It is not a tuple and holds no ``UUID``: the garbage collector tracks both, which took half of the time of
    reading a log.
    """

    position: int
    stream: int
    version: int
    event_id: str
    type: str
    schema: int
    data: str
    metadata: str
    recorded_at: datetime


class RememberedCommand(NamedTuple):
    fingerprint: bytes
    position: int
    version: int
    answer: bytes


class StreamErased(Exception):
    """The stream's user was erased: a tombstone refuses late writers."""


def append(
    stream: int,
    expected: int,
    events: Sequence[Event],
    origin: Origin,
    command_id: CommandId | None = None,
    answer: bytes = b"",
    changed: Sequence[KeptEntry] = (),
    origins: Sequence[Origin] = (),
) -> int | None:
    """Record ``events`` after version ``expected`` and the snapshot entries that they ``changed``, all or
    none; with a ``command_id``, record its ``answer`` as well. ``origins``: one per event, in place of
    ``origin`` for all.

    Return the position of the last event once it is committed, or None when the stream is at another version.
    Raises ``CommandAlreadyRecorded`` when the command id is taken.
    """
    is_small = command_id is None and len(events) == 1 and len(changed) < 2 and not origins
    alone = is_small and raw_connection().autocommit
    position = (
        append_one(stream, expected, events[0], origin, changed)
        if alone
        else append_many(stream, expected, events, origin, changed, command_id, answer, origins)
    )
    return counted(events, position)


def append_while(
    stream: int,
    expected: int,
    parts: Iterable[Sequence[Event]],
    origin: Origin,
    changed: Callable[[], Changes],
    command_id: CommandId | None,
    answer: Callable[[], bytes],
) -> int | None:
    """Like ``append``, for so many events that the server needs a while: further ``parts`` of the events,
    ``changed`` and ``answer`` are computed in the meantime. They should not use this thread's connection,
    which would wait for the server."""
    recorded: list[Event] = []

    def noted() -> Iterator[Sequence[Event]]:
        for events in parts:
            recorded.extend(events)
            yield events

    position = append_large(stream, expected, noted(), origin, changed, command_id, answer)
    return counted(recorded, position)


def counted(events: Sequence[Event], position: int | None) -> int | None:
    """Count what an append has recorded, or a conflict if there is no ``position``, which is returned."""
    if position is None:
        counters.count("append_conflicts")
    else:
        kinds = Counter(map(type, events))
        counters.add(*((("events", kind.__name__), count) for kind, count in kinds.items()))
    return position


def append_to_instance(events: Sequence[Event]) -> int:
    """Record events that concern no particular user, in one append; return the position of the last one."""
    position = decide_for_instance(lambda: events)
    assert position is not None
    return position


def decide_for_instance(decide: Callable[[], Sequence[Event]]) -> int | None:
    """Append what ``decide`` returns to the instance's stream; call it again if another append came first.

    Return the position of the last event, or None where ``decide`` returned nothing.
    """
    while True:
        stream = stream_of(INSTANCE)
        version = fetch_value(
            "SELECT coalesce(max(version), 0) FROM events.events WHERE stream = %s", [stream]
        )
        events = decide()
        if not events:
            return None
        position = append(stream, version, events, Origin())
        if position is not None:
            failpoint("instance_appended")
            return position
        # another process appended first, so decide again on both; or a reset has closed the stream
        _streams.pop(INSTANCE, None)


def remember_command(stream: int, command_id: CommandId, position: int, version: int, answer: bytes) -> None:
    """Remember a command that recorded no events.

    Raises ``CommandAlreadyRecorded`` when its id is taken or its stream is erased; ``check_not_erased`` tells
    which.
    """
    parameters = {"stream": stream, "id": command_id.key, "fingerprint": command_id.fingerprint}
    parameters |= {"position": position, "version": version, "answer": answer}
    if execute(SQL["remember_command"], parameters).rowcount == 0:
        raise CommandAlreadyRecorded


def remembered_command(stream: int, key: UUID) -> RememberedCommand | None:
    """Return what is remembered of the command with this ``Idempotency-Key``, or None."""
    statement = (
        "SELECT fingerprint, position, version, answer FROM events.commands WHERE stream = %s AND id = %s"
    )
    row = execute(statement, (stream, key)).fetchone()
    return RememberedCommand(*row) if row else None


def read_all(after: int, limit: int, upto: int = LAST_POSITION) -> list[RecordedEvent]:
    """Return the events after position ``after`` that are visible now. Gaps in their positions may still be
    filled, so a follower must not trust them: see ``follower``."""
    return _recorded(READ_BY_POSITION, (after, upto, limit))


def has_after(position: int) -> bool:
    """Whether any event after a position is visible now; takes a quarter of the work of a ``read_all`` that
    finds nothing."""
    with discard_when_broken():
        return _ANY_AFTER.first_value(raw_connection(), {"after": b"%d" % position}) is not None


def read_stream(stream: int, after: int = 0, upto: int = LAST_VERSION) -> list[RecordedEvent]:
    """Return the events of one stream after version ``after``, in order."""
    return _recorded(READ_STREAM, (stream, after, upto))


def read_relevant(stream: int, after: int, upto: int, which: Relevant) -> list[RecordedEvent]:
    """Return those events of one stream after version ``after``, up to ``upto``, that an undo depends on."""
    names = ([codec.stored_name(type_) for type_ in types] for types in (which.types, which.types_by_feed))
    return _recorded(READ_RELEVANT, (stream, after, upto, *names, list(which.feeds)))


def read_history(
    stream: int, before: int = LAST_VERSION, limit: int = 100, only: HistoryFilter = EVERYTHING
) -> list[RecordedEvent]:
    """Return the newest events of a stream below version ``before`` that pass a filter, newest first."""
    where = {condition: value for condition, value in zip(FILTERS, only, strict=True) if value is not None}
    statement = READ_HISTORY.format(conditions=" ".join(f"AND {condition}" for condition in where))
    return _recorded(statement, (stream, before, *where.values(), limit))


def history_sources(stream: int, among: int) -> list[HistorySource]:
    """Return the apps and devices that sent the newest ``among`` events of a stream, and the feeds that these
    concern, latest first."""
    return [HistorySource._make(row) for row in execute(HISTORY_SOURCES, (stream, among))]


def read_these(positions: Sequence[int]) -> list[RecordedEvent]:
    """Return the events at these positions, in any order; checkpoints come without their contents."""
    return _recorded(READ_THESE, (list(positions),))


def read_checkpoint(stream: int) -> RecordedEvent | None:
    """Return the newest checkpoint of a stream, or None."""
    found = _recorded(READ_CHECKPOINT, (stream,))
    return found[0] if found else None


def head() -> int:
    """Return the highest visible position; 0 when there is none."""
    return int(fetch_value("SELECT coalesce(max(position), 0) FROM events.events"))


def count_events(upto: int) -> int:
    """Return how many events there are up to a position."""
    return int(fetch_value("SELECT count(*) FROM events.events WHERE position <= %s", [upto]))


def privacy_fence() -> int:
    """Return the position of the newest event that may hide something from the public; 0 when there is
    none."""
    return int(fetch_value(SQL["privacy_fence"]))


def lag(positions: Sequence[int]) -> list[tuple[int, float]]:
    """Return for each position how many events follow it, and for how many seconds the first of them has
    waited."""
    return execute(SQL["lag"], (list(positions),)).fetchall()


def inflight_writers() -> frozenset[str]:
    """Return the virtual transactions that may still commit an event whose position is already drawn."""
    return frozenset(row[0] for row in execute(SQL["inflight_writers"]))


def notify(*, is_awaited: bool = False) -> None:
    """Send a hint to sleeping projectors, after and outside the transaction, at most four times a second
    unless somebody waits for the projectors.

    Nothing depends on the hint, because projectors poll, so a failure to send it is ignored.
    """
    if not may_notify(is_awaited=is_awaited):
        return
    with suppress(psycopg.Error, OperationalError), discard_when_broken():
        raw_connection().execute(f"NOTIFY {NOTIFICATION_CHANNEL}")


def may_notify(*, is_awaited: bool = False) -> bool:
    """Whether it is time for a hint, which the caller then sends: this process has sent none for a while."""
    global _hinted
    now = time.monotonic()
    if now - _hinted < SECONDS_BETWEEN_HINTS and not is_awaited:
        return False
    _hinted = now
    return True


def stream_of(user_id: UUID) -> int:
    """Return the stream of a user or of the instance, and open one when there is none. Raises
    ``StreamErased``."""
    stream = cached_stream(user_id)
    if stream is not None:
        return stream
    names = names_of(user_id)
    row = execute(FIND_STREAM, (names,)).fetchone()
    if row is None:
        execute(OPEN_STREAM, (names[0], STATE_SCHEMA, names[1]))
        row = execute(FIND_STREAM, (names,)).fetchone()
    assert row is not None
    if row[1] is not None:
        raise StreamErased(names[1])
    cache_stream(user_id, row[0])
    return int(row[0])


def cached_stream(user_id: UUID) -> int | None:
    """Return the stream of a user where this process knows it."""
    return _streams.get(user_id)


def cache_stream(user_id: UUID, stream: int) -> None:
    if len(_streams) >= MOST_STREAMS:
        _streams.clear()
    _streams[user_id] = stream


def known_stream(user_id: UUID) -> int | None:
    """Return the stream of a user, or None. It opens no stream, so it may be called where nothing is to be
    written."""
    if (stream := cached_stream(user_id)) is not None:
        return stream
    found: int | None = fetch_value(FIND_STREAM, ([stream_name(user_id)],))
    return found


def names_of(user_id: UUID) -> list[str]:
    """Return the names that a user's stream may have: its own, and the one after an erasure."""
    return [stream_name(user_id), tombstone_name(user_id)]


def stream_name(user_id: UUID) -> str:
    return "instance" if user_id == INSTANCE else f"user-{user_id}"


def tombstone_name(user_id: UUID) -> str:
    """Return the name of an erased user's stream, made from a digest of the random user id."""
    return f"erased-{key_of(str(user_id))}"


def users_of(streams: Sequence[int]) -> dict[int, UUID]:
    """Map streams to their users; the instance's own stream and erased ones are left out."""
    statement = "SELECT id, name FROM events.streams WHERE id = ANY(%s) AND starts_with(name, 'user-')"
    return {stream: UUID(name.removeprefix("user-")) for stream, name in execute(statement, [list(streams)])}


def users() -> list[UUID]:
    """Return the users who have streams, except erased ones."""
    statement = (
        "SELECT name FROM events.streams WHERE tombstone IS NULL AND starts_with(name, 'user-') ORDER BY id"
    )
    return [UUID(name.removeprefix("user-")) for (name,) in execute(statement)]


def check_not_erased(stream: int) -> None:
    """Raise ``StreamErased`` if the stream is erased: this process may have cached it before the erasure."""
    if fetch_value("SELECT tombstone IS NOT NULL FROM events.streams WHERE id = %s", (stream,)) is not False:
        raise StreamErased(str(stream))


def database_time() -> datetime:
    """Return the time of the clock that timestamps events, which retention uses whatever the machines' clocks
    say."""
    now: datetime = fetch_value("SELECT clock_timestamp()")
    return now


def epoch() -> str:
    """Return the epoch of this log: empty for the first one, another after each restore.

    Versions are comparable only within one epoch. It is read once per process, because no process outlives a
    restore.
    """
    global _epoch
    if _epoch is None:
        _epoch = fetch_value("SELECT epoch FROM events.restores ORDER BY next DESC LIMIT 1") or ""
    return _epoch


def clear_caches(user_id: UUID | None = None) -> None:
    """Drop what this process has cached of the store, or of one user's stream."""
    global _epoch
    if user_id is not None:
        _streams.pop(user_id, None)
        return
    _streams.clear()
    _epoch = None


_streams: dict[UUID, int] = {}
_epoch: str | None = None
_hinted = 0.0
# A hint for projectors, from a caller that sends statements itself (``may_notify``); its commit does not wait
# for the disk.
HINT = Prepared(
    "hint",
    f"SELECT set_config('synchronous_commit', 'off', true), pg_notify('{NOTIFICATION_CHANNEL}', '')",
)
_ANY_AFTER = Prepared("any_after", "SELECT 1 FROM events.events WHERE position > %(after)s::bigint LIMIT 1")


def _recorded(statement: str, parameters: Sequence[Any]) -> list[RecordedEvent]:
    with discard_when_broken():
        cursor = psycopg.Cursor(raw_connection(), row_factory=_as_recorded)
        # psycopg's own loader is in C; Django's took 3 of the 5.5 µs that reading an event cost
        cursor.adapters.register_loader("timestamptz", TimestamptzLoader)
        cursor.adapters.register_loader("uuid", TextLoader)
        return cursor.execute(statement, parameters, prepare=True).fetchall()


def _as_recorded(cursor: Any) -> RowMaker[RecordedEvent]:
    return lambda row: RecordedEvent(*row)
