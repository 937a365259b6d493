"""The event log: append, read by stream, read by position, notify.

Runs in autocommit, and every function is one statement, so one round trip. Only the event store touches
event rows: this module, and ``retention``, ``erasure``, ``administration``, ``marks`` and ``verification``
over it. Every function raises ``psycopg.OperationalError`` (or Django's) when the store is away.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import psycopg
from django.db.utils import OperationalError
from psycopg.errors import InvalidColumnReference, UniqueViolation
from psycopg.rows import RowMaker
from psycopg.types.datetime import TimestamptzLoader
from psycopg.types.string import TextLoader

from eventstore import codec, counters
from eventstore.database import SQL, discard_when_broken, execute, fetch_value, raw_connection
from eventstore.domain.identifiers import key_of
from eventstore.domain.messages import INSTANCE, Event
from eventstore.domain.topics import STATE_SCHEMA
from eventstore.failpoints import failpoint
from eventstore.prepared import Prepared

NOTIFICATION_CHANNEL = "balados_events"
# A projector stays awake for a second after each hint (projections.runner), so four a second are enough.
SECONDS_BETWEEN_HINTS = 0.25
LAST_POSITION = 2**63 - 1
LAST_VERSION = 2**31 - 1
# the unique key, or that of a partition (docs/sql/partition_events.sql)
VERSION_TAKEN = "events_stream_version"
# entries were folded anew since they were read
ENTRY_TAKEN = "snapshots_pkey"
# how many streams a process knows by their users: 100 bytes each
MOST_STREAMS = 100_000

READ_BY_POSITION = """
SELECT position, stream, version, event_id, type, schema, data, metadata, recorded_at
  FROM events.events WHERE position > %s AND position <= %s ORDER BY position LIMIT %s"""
READ_STREAM = """
SELECT position, stream, version, event_id, type, schema, data, metadata, recorded_at
  FROM events.events WHERE stream = %s AND version > %s AND version <= %s ORDER BY version"""
READ_HISTORY = """
SELECT position, stream, version, event_id, type, schema, data, metadata, recorded_at
  FROM events.events WHERE stream = %s AND version < %s {conditions} ORDER BY version DESC LIMIT %s"""
# of the newest events: how many are from which device and app, and about which feed
HISTORY_SOURCES = """
SELECT metadata ->> 'app_id', metadata ->> 'device_name', data ->> 'rss_source_feed', count(*)
  FROM (SELECT metadata, data FROM events.events WHERE stream = %s ORDER BY version DESC LIMIT %s) AS newest
 GROUP BY 1, 2, 3 ORDER BY 4 DESC"""
READ_CHECKPOINT = """
SELECT position, stream, version, event_id, type, schema, data, metadata, recorded_at
  FROM events.events WHERE stream = %s AND type = 'UserCheckpoint' ORDER BY version DESC LIMIT 1"""
# without what checkpoints hold, which is everything
READ_THESE = """
SELECT position, stream, version, event_id, type, schema,
       CASE WHEN type = 'UserCheckpoint' THEN '{}' ELSE data END, metadata, recorded_at
  FROM events.events WHERE position = ANY(%s)"""
# under its name, or under the digest that is left of an erased one
FIND_STREAM = """
SELECT id, tombstone FROM events.streams WHERE name = ANY(%s) ORDER BY tombstone NULLS LAST LIMIT 1"""
OPEN_STREAM = """
INSERT INTO events.streams (name, state_schema)
SELECT %s, %s WHERE NOT EXISTS (SELECT FROM events.streams WHERE name = %s) ON CONFLICT (name) DO NOTHING"""


class Origin(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who and what sent a command: the events' metadata. ``occurred_at``: the client's own time, as sent.

    ``cause``: why it was done, where not of itself: ``undo`` by the listener, with the ids of the events that
    it ``undoes``; by the server ``feed_moved``, ``removal_unanswered``; ``import``, with the server that it
    came from as ``device_name``.
    """

    app_id: str | None = None
    device_id: str | None = None
    device_name: str | None = None
    occurred_at: datetime | None = None
    cause: str | None = None
    undoes: tuple[str, ...] = ()


class RecordedEvent(msgspec.Struct, frozen=True, gc=False):
    """A stored event. ``data`` and ``metadata`` are JSON text: ``codec.decode`` reads it.

    No tuple and no ``UUID``: the collector watches those, and it took half of the time of reading a log.
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


class HistoryFilter(NamedTuple):
    """Of a history: the stored names of events, the name of a device, an app's id, a normalised feed, the
    items of episodes, and the first version. None of each is all."""

    types: list[str] | None = None
    device_name: str | None = None
    app_id: str | None = None
    feed: str | None = None
    items: list[str] | None = None
    since: int | None = None


EVERYTHING = HistoryFilter()
FILTERS = (
    "type = ANY(%s)",
    "metadata ->> 'device_name' = %s",
    "metadata ->> 'app_id' = %s",
    "data ->> 'rss_source_feed' = %s",
    "data ->> 'rss_source_item' = ANY(%s)",
    "version >= %s",
)


class HistorySource(NamedTuple):
    app_id: str | None
    device_name: str | None
    feed: str | None
    events: int


class CommandId(msgspec.Struct, frozen=True):
    """An ``Idempotency-Key`` and a digest of the command that it was sent with."""

    key: UUID
    fingerprint: bytes


class RememberedCommand(NamedTuple):
    fingerprint: bytes
    position: int
    version: int
    answer: bytes


class KeptEntry(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The newest entry of a topic and key. ``digest``: of the key, which is the ``name`` where that is not
    empty. ``state``: as JSON; None where there is none any more. ``is_new``: there was none before.

    No tuple, which the collector watches: of 50,000 it took a tenth of a second.
    """

    topic: str
    digest: str
    name: str
    state: str | None
    is_new: bool = False


class StreamErased(Exception):
    """The stream's user was erased: a tombstone stops late writers."""


class CommandAlreadyRecorded(Exception):
    """A command with this id was recorded meanwhile."""


class _Line(msgspec.Struct, omit_defaults=True):
    t: str
    s: int
    d: Event
    i: str
    m: Origin | None = None


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
    """Record ``events`` after version ``expected``, all or none, and the entries that they ``changed``; with
    ``command_id`` its ``answer`` as well. ``origins``: of each event its own, in place of one of all.

    Returns the position of the last one once it is committed, or None when the stream is at another version.
    Raises ``CommandAlreadyRecorded`` when the command id is taken.
    """
    is_small = command_id is None and len(events) == 1 and len(changed) < 2 and not origins
    alone = is_small and not _partitioned and raw_connection().autocommit
    position = (
        _append_one(stream, expected, events[0], origin, changed)
        if alone
        else _append_many(stream, expected, events, origin, command_id, answer, changed, origins)
    )
    if position is None:
        counters.count("append_conflicts")
    else:
        counters.add(*((("events", codec.name_of(event)[0]), 1) for event in events))
    return position


def append_to_instance(events: Sequence[Event]) -> int:
    """Record what concerns no user in particular, in one append; returns the position of the last."""
    position = decide_for_instance(lambda: events)
    assert position is not None
    return position


def decide_for_instance(decide: Callable[[], Sequence[Event]]) -> int | None:
    """Append what ``decide`` returns to the instance's stream; call it again where another append came first.

    Returns the position of the last event, or None where ``decide`` returned nothing.
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
        # another process came first, and its events stand beside ours; or a reset has closed the stream
        _streams.pop(INSTANCE, None)


def remember_command(stream: int, command_id: CommandId, position: int, version: int, answer: bytes) -> None:
    """Remember a command that recorded nothing.

    Raises ``CommandAlreadyRecorded`` when its id is taken or its stream erased: see ``check_not_erased``.
    """
    parameters = {"stream": stream, "id": command_id.key, "fingerprint": command_id.fingerprint}
    parameters |= {"position": position, "version": version, "answer": answer}
    if execute(SQL["remember_command"], parameters).rowcount == 0:
        raise CommandAlreadyRecorded


def remembered_command(stream: int, key: UUID) -> RememberedCommand | None:
    """What is remembered of the command with this ``Idempotency-Key``."""
    statement = (
        "SELECT fingerprint, position, version, answer FROM events.commands WHERE stream = %s AND id = %s"
    )
    row = execute(statement, (stream, key)).fetchone()
    return RememberedCommand(*row) if row else None


def read_all(after: int, limit: int, upto: int = LAST_POSITION) -> list[RecordedEvent]:
    """What is visible now after position ``after``. A follower must not trust its gaps: see ``follower``."""
    return _recorded(READ_BY_POSITION, (after, upto, limit))


def has_after(position: int) -> bool:
    """Whether anything is visible now after a position: a quarter of the work of a ``read_all`` that finds
    nothing."""
    with discard_when_broken():
        return _ANY_AFTER.first_value(raw_connection(), {"after": b"%d" % position}) is not None


def read_stream(stream: int, after: int = 0, upto: int = LAST_VERSION) -> list[RecordedEvent]:
    """The events of one stream, in order, after version ``after``."""
    return _recorded(READ_STREAM, (stream, after, upto))


def read_history(
    stream: int, before: int = LAST_VERSION, limit: int = 100, only: HistoryFilter = EVERYTHING
) -> list[RecordedEvent]:
    """The newest events of a stream below version ``before``, the newest first, that pass a filter."""
    where = {condition: value for condition, value in zip(FILTERS, only, strict=True) if value is not None}
    statement = READ_HISTORY.format(conditions=" ".join(f"AND {condition}" for condition in where))
    return _recorded(statement, (stream, before, *where.values(), limit))


def history_sources(stream: int, among: int) -> list[HistorySource]:
    """Where the newest ``among`` events of a stream came from, and which feeds they are about, the most
    frequent first."""
    return [HistorySource._make(row) for row in execute(HISTORY_SOURCES, (stream, among))]


def read_these(positions: Sequence[int]) -> list[RecordedEvent]:
    """The events at these positions, in any order; of a checkpoint not what it holds."""
    return _recorded(READ_THESE, (list(positions),))


def read_checkpoint(stream: int) -> RecordedEvent | None:
    """The newest checkpoint of a stream, where it has one."""
    found = _recorded(READ_CHECKPOINT, (stream,))
    return found[0] if found else None


def head() -> int:
    """The highest visible position; 0 when there is none."""
    return int(fetch_value("SELECT coalesce(max(position), 0) FROM events.events"))


def count_events(upto: int) -> int:
    """How many events there are up to a position."""
    return int(fetch_value("SELECT count(*) FROM events.events WHERE position <= %s", [upto]))


def privacy_fence() -> int:
    """The position of the newest event that may take something out of public sight; 0 when there is none."""
    return int(fetch_value(SQL["privacy_fence"]))


def lag(positions: Sequence[int]) -> list[tuple[int, float]]:
    """For each position: how many events come after it, and how many seconds the first of them has waited."""
    return execute(SQL["lag"], (list(positions),)).fetchall()


def inflight_writers() -> frozenset[str]:
    """The virtual transactions that may still commit an event whose position is already drawn."""
    return frozenset(row[0] for row in execute(SQL["inflight_writers"]))


def notify(*, is_awaited: bool = False) -> None:
    """A hint to sleeping projectors, after the commit and outside of it, at most four times a second unless
    somebody waits for them.

    Nothing depends on it, because projectors poll. So its failing is no failure of the caller.
    """
    global _hinted
    now = time.monotonic()
    if now - _hinted < SECONDS_BETWEEN_HINTS and not is_awaited:
        return
    _hinted = now
    with suppress(psycopg.Error, OperationalError), discard_when_broken():
        raw_connection().execute(f"NOTIFY {NOTIFICATION_CHANNEL}")


def stream_of(user_id: UUID) -> int:
    """The stream of a user, or of the instance, opened when there is none. Raises ``StreamErased``."""
    stream = _streams.get(user_id)
    if stream is not None:
        return stream
    names = [stream_name(user_id), tombstone_name(user_id)]
    row = execute(FIND_STREAM, (names,)).fetchone()
    if row is None:
        execute(OPEN_STREAM, (names[0], STATE_SCHEMA, names[1]))
        row = execute(FIND_STREAM, (names,)).fetchone()
    assert row is not None
    if row[1] is not None:
        raise StreamErased(names[1])
    if len(_streams) >= MOST_STREAMS:
        _streams.clear()
    _streams[user_id] = row[0]
    return int(row[0])


def known_stream(user_id: UUID) -> int | None:
    """The stream of a user, where there is one: opens none, so it may be called while nothing is written."""
    if (stream := _streams.get(user_id)) is not None:
        return stream
    found: int | None = fetch_value(FIND_STREAM, ([stream_name(user_id)],))
    return found


def stream_name(user_id: UUID) -> str:
    return "instance" if user_id == INSTANCE else f"user-{user_id}"


def tombstone_name(user_id: UUID) -> str:
    """What the stream of an erased user is called: after a digest of his random id."""
    return f"erased-{key_of(str(user_id))}"


def users_of(streams: Sequence[int]) -> dict[int, UUID]:
    """Of these streams the users; of the instance's own and of erased ones nobody."""
    statement = "SELECT id, name FROM events.streams WHERE id = ANY(%s) AND starts_with(name, 'user-')"
    return {stream: UUID(name.removeprefix("user-")) for stream, name in execute(statement, [list(streams)])}


def users() -> list[UUID]:
    """The users who have streams, erased ones left out."""
    statement = (
        "SELECT name FROM events.streams WHERE tombstone IS NULL AND starts_with(name, 'user-') ORDER BY id"
    )
    return [UUID(name.removeprefix("user-")) for (name,) in execute(statement)]


def check_not_erased(stream: int) -> None:
    """Raise ``StreamErased`` if it is: a process may have known the stream since before."""
    if fetch_value("SELECT tombstone IS NOT NULL FROM events.streams WHERE id = %s", (stream,)) is not False:
        raise StreamErased(str(stream))


def database_time() -> datetime:
    """The clock that recorded the events: what retention goes by, whatever the machines' clocks say."""
    now: datetime = fetch_value("SELECT clock_timestamp()")
    return now


def epoch() -> str:
    """Which life of the log this is: empty for the first, another after each restore.

    Versions mean the same only within one. Asked once per process, which no restore outlasts.
    """
    global _epoch
    if _epoch is None:
        _epoch = fetch_value("SELECT epoch FROM events.restores ORDER BY next DESC LIMIT 1") or ""
    return _epoch


def clear_caches(user_id: UUID | None = None) -> None:
    """Drop what this process remembers of the store, or of one user's stream."""
    global _epoch
    if user_id is not None:
        _streams.pop(user_id, None)
        return
    _streams.clear()
    _epoch = None


_streams: dict[UUID, int] = {}
_epoch: str | None = None
_hinted = 0.0
_partitioned = False
_ANY_AFTER = Prepared("any_after", "SELECT 1 FROM events.events WHERE position > %(after)s::bigint LIMIT 1")
_APPEND = Prepared("append", SQL["append"])
_APPEND_AND_KEEP = Prepared("append_and_keep", SQL["append_and_keep"].format(append=SQL["append"]))


def _append_one(
    stream: int, expected: int, event: Event, origin: Origin, changed: Sequence[KeptEntry]
) -> int | None:
    global _partitioned
    name, schema = codec.name_of(event)
    values = {
        "stream": b"%d" % stream,
        "expected": b"%d" % expected,
        "type": name.encode(),
        "schema": b"%d" % schema,
        "event_id": next(_event_ids(1)).encode(),
        "data": codec.encode(event),
        "metadata": msgspec.json.encode(origin),
    }
    statement = _APPEND
    for one in changed:
        if one.state is None:
            return _append_many(stream, expected, [event], origin, None, b"", changed)
        statement = _APPEND_AND_KEEP
        values |= {"topic": one.topic.encode(), "key": one.digest.encode()}
        values |= {"name": one.name.encode(), "state": one.state.encode()}
    try:
        with discard_when_broken():
            position = statement.first_value(raw_connection(), values)
    except InvalidColumnReference:
        # the log was partitioned while we ran: no one index is unique over (stream, version)
        _partitioned = True
        return _append_many(stream, expected, [event], origin, None, b"", changed)
    return None if position is None else int(position)


def _append_many(
    stream: int,
    expected: int,
    events: Sequence[Event],
    origin: Origin,
    command_id: CommandId | None,
    answer: bytes,
    changed: Sequence[KeptEntry],
    origins: Sequence[Origin] = (),
) -> int | None:
    ids = _event_ids(len(events))
    lines = [_Line(*codec.name_of(event), event, id_) for event, id_ in zip(events, ids, strict=True)]
    for line, own in zip(lines, origins, strict=False):
        line.m = own
    kept = [one for one in changed if one.state is not None and not one.is_new]
    # in the order of the index: thousands take two thirds of the time
    new = (one for one in changed if one.state is not None and one.is_new)
    added = sorted(new, key=attrgetter("topic", "digest"))
    gone = [(one.topic, one.digest) for one in changed if one.state is None]
    parameters: dict[str, Any] = {
        "stream": stream,
        "expected": expected,
        "metadata": msgspec.json.encode(origin).decode(),
        "events": msgspec.json.encode(lines).decode(),
        "added": msgspec.json.encode(added).decode(),
        "kept": msgspec.json.encode(kept).decode(),
        "gone": msgspec.json.encode(gone).decode(),
        "version": expected + len(events),
        "id": command_id and command_id.key,
        "fingerprint": command_id and command_id.fingerprint,
        "answer": answer,
    }
    try:
        position: int | None = fetch_value(SQL["append_many"], parameters)
    except UniqueViolation as error:
        taken = error.diag.constraint_name or ""
        if taken.startswith((VERSION_TAKEN, ENTRY_TAKEN)):
            return None
        if taken == "commands_pkey":
            raise CommandAlreadyRecorded from error
        raise
    return position


def _event_ids(count: int) -> Iterator[str]:
    """Random ids (version 4), in hexadecimal. PostgreSQL's own take a call of the system for each, which was
    more than half of what an append of thousands of events cost it."""
    digits = os.urandom(16 * count).hex()
    for start in range(0, len(digits), 32):
        one = digits[start : start + 32]
        yield f"{one[:12]}4{one[13:16]}{'89ab'[int(one[16], 16) % 4]}{one[17:]}"


def _recorded(statement: str, parameters: Sequence[Any]) -> list[RecordedEvent]:
    with discard_when_broken():
        cursor = psycopg.Cursor(raw_connection(), row_factory=_as_recorded)
        # psycopg's own loader, in C; Django's took 3 of the 5.5 µs that reading an event cost
        cursor.adapters.register_loader("timestamptz", TimestamptzLoader)
        cursor.adapters.register_loader("uuid", TextLoader)
        return cursor.execute(statement, parameters, prepare=True).fetchall()


def _as_recorded(cursor: Any) -> RowMaker[RecordedEvent]:
    return lambda row: RecordedEvent(*row)
