"""The event store: the only code that touches event rows.

Runs on the ``events`` alias, in autocommit: every function is one statement, so one round trip. The psycopg
connection under Django's is used directly, which is half of what an append costs (docs/performance.md).
Every function raises ``psycopg.OperationalError`` (or Django's) when the store is away.
"""

import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, cast
from uuid import UUID

import msgspec
import psycopg
from django.db import connections, transaction
from django.db.utils import OperationalError
from psycopg import sql
from psycopg.errors import InvalidColumnReference, UniqueViolation
from psycopg.rows import RowMaker
from psycopg.types.datetime import TimestamptzLoader
from psycopg.types.string import TextLoader

from eventstore import codec, counters
from eventstore.domain.identifiers import key_of
from eventstore.domain.messages import INSTANCE, Event
from eventstore.domain.retention import FeedMarked, PublicHistoryTrimmed, UserCheckpoint
from eventstore.failpoints import reach
from eventstore.prepared import Connection, Prepared

ALIAS = "events"
NOTIFICATION_CHANNEL = "balados_events"
# A projector stays awake for a second after each hint (projections.runner), so four a second are enough.
SECONDS_BETWEEN_HINTS = 0.25
# What a restore leaves out: more than a server can have recorded since the backup (at 1,000 a second in 11
# days), so that no position and no stream's number means two things.
DISTANCE = 1_000_000_000
# In a log in partitions, how many positions have a place after a restore: as many as docs/sql gives each.
ROOM = 100_000_000
LAST = 2**63 - 1
LAST_VERSION = 2**31 - 1
# the unique key, or that of a partition (docs/sql/partition_events.sql)
VERSION_TAKEN = "events_stream_version"

# Readers that are still at it when all is dropped.
LOCK_PATIENCE = "10s"

SQL = {file.stem: file.read_text() for file in (Path(__file__).parent / "sql").glob("*.sql")}


class Origin(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who and what sent a command: the events' metadata. ``occurred_at``: the client's own time, as sent."""

    app_id: str | None = None
    device_id: str | None = None
    device_name: str | None = None
    occurred_at: datetime | None = None


class Recorded(msgspec.Struct, frozen=True, gc=False):
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


class CommandId(msgspec.Struct, frozen=True):
    """An ``Idempotency-Key`` and what it stands for: a digest of the command."""

    key: UUID
    fingerprint: bytes


class Remembered(NamedTuple):
    fingerprint: bytes
    position: int
    version: int
    answer: bytes


class Snapshot(NamedTuple):
    version: int
    position: int
    state: bytes


class StreamFault(NamedTuple):
    """What is wrong with the order of a stream at a version: ``gap``, ``order`` or ``unknown``."""

    stream: int
    version: int
    position: int
    kind: str


class KeptState(NamedTuple):
    """A snapshot that a process would load. ``name``: of its stream."""

    stream: int
    snapshot: Snapshot
    name: str


class StreamErased(Exception):
    """The stream's user was erased: a tombstone stops late writers."""


class SameCommand(Exception):
    """A command with this id was recorded meanwhile."""


class _Line(msgspec.Struct):
    t: str
    s: int
    d: Event


def append(
    stream: int,
    expected: int,
    events: Sequence[Event],
    origin: Origin,
    command_id: CommandId | None = None,
    answer: bytes = b"",
) -> int | None:
    """Record ``events`` after version ``expected``, all or none; with ``command_id`` its ``answer`` as well.

    Returns the position of the last one once it is committed, or None when the stream is at another version.
    Raises ``SameCommand`` when the command id is taken.
    """
    position = _append(stream, expected, events, origin, command_id, answer)
    if position is None:
        counters.count("append_conflicts")
    elif len(events) == 1:
        counters.count("events", codec.name_of(events[0])[0])
    else:
        types = Counter(codec.name_of(event)[0] for event in events)
        counters.add(*((("events", type_), number) for type_, number in types.items()))
    return position


def _append(
    stream: int,
    expected: int,
    events: Sequence[Event],
    origin: Origin,
    command_id: CommandId | None,
    answer: bytes,
) -> int | None:
    global _partitioned
    if command_id is None and len(events) == 1 and not _partitioned and _connection().autocommit:
        with suppress(InvalidColumnReference):
            return _append_one(stream, expected, events[0], origin)
        _partitioned = True  # the log was cut into partitions while we ran: its versions have no one index
    parameters: dict[str, Any] = {
        "stream": stream,
        "expected": expected,
        "metadata": msgspec.json.encode(origin).decode(),
    }
    lines = [_Line(*codec.name_of(event), event) for event in events]
    parameters["events"] = msgspec.json.encode(lines).decode()
    if command_id is not None:
        parameters |= {"id": command_id.key, "fingerprint": command_id.fingerprint}
        parameters |= {"version": expected + len(events), "answer": answer}
    try:
        row = _run("append_many" if command_id is None else "append_once", parameters).fetchone()
    except UniqueViolation as error:
        taken = error.diag.constraint_name or ""
        if taken.startswith(VERSION_TAKEN):
            return None
        if taken == "commands_pkey":
            raise SameCommand from error
        raise
    return row[0] if row else None


def append_to_instance(events: Sequence[Event]) -> int:
    """Record what concerns nobody in particular, in one append; returns the position of the last."""
    position = decide_for_instance(lambda: events)
    assert position is not None
    return position


def feed_marks(feed_key: UUID | None = None) -> list[FeedMarked]:
    """The newest mark by each marker, of every feed or of one; retention deletes those that lift."""
    values = {"feed_key": None if feed_key is None else str(feed_key)}
    return [cast(FeedMarked, codec.decode(*row)) for row in _run("feed_marks", values)]


def decide_for_instance(decide: Callable[[], Sequence[Event]]) -> int | None:
    """As ``append_to_instance``, of what is decided on all that was recorded before, and decided again where
    another append comes first; None where that is nothing.
    """
    while True:
        stream = stream_of(INSTANCE)
        version = _run("version_of", (stream,)).fetchall()[0][0]
        events = decide()
        if not events:
            return None
        position = append(stream, version, events, Origin())
        if position is not None:
            reach("told")
            return position
        # another process came first, and its events stand beside ours; or a reset has closed the stream
        _streams.pop(INSTANCE, None)


def remember(stream: int, command_id: CommandId, position: int, version: int, answer: bytes) -> None:
    """Remember a command that recorded nothing. Raises ``SameCommand`` when its id is taken, or its stream
    erased: ``check_not_erased`` tells.
    """
    parameters = {"stream": stream, "id": command_id.key, "fingerprint": command_id.fingerprint}
    parameters |= {"position": position, "version": version, "answer": answer}
    if _run("remember", parameters).rowcount == 0:
        raise SameCommand


def remembered(stream: int, key: UUID) -> Remembered | None:
    row = _run("remembered", (stream, key)).fetchone()
    return Remembered(*row) if row else None


def purge_commands(before: datetime) -> int:
    """Forget command ids older than ``before``, in chunks; returns how many."""
    purged = 0
    while count := _run("purge_commands", (before,)).rowcount:
        purged += count
    return purged


def read_all(after: int, limit: int, upto: int = LAST) -> list[Recorded]:
    """What is visible now after position ``after``. A follower must not trust its gaps: see ``follower``."""
    return _recorded("read_all", (after, upto, limit))


def read_stream(stream: int, after: int = 0, upto: int = LAST_VERSION) -> list[Recorded]:
    """The events of one stream, in order, after version ``after``."""
    return _recorded("read_stream", (stream, after, upto))


def read_history(stream: int, before: int = LAST_VERSION, limit: int = 100) -> list[Recorded]:
    """The newest events of a stream below version ``before``, the newest first."""
    return _recorded("read_history", (stream, before, limit))


def read_checkpoint(stream: int) -> Recorded | None:
    """The newest checkpoint of a stream, where it has one."""
    found = _recorded("read_checkpoint", (stream,))
    return found[0] if found else None


def head() -> int:
    """The highest visible position; 0 when there is none."""
    return cast(int, _run("head").fetchall()[0][0])


def privacy_fence() -> int:
    """The position of the newest event that may take something out of public sight; 0 when there is none."""
    return cast(int, _run("privacy_fence").fetchall()[0][0])


def replica_fence() -> int:
    """The same for a copy of the read models, where it also comes late what is erased beside the log."""
    return cast(int, _run("replica_fence").fetchall()[0][0])


def behind(positions: Sequence[int]) -> list[tuple[int, float]]:
    """For each position: how many events come after it, and how many seconds the first of them has waited."""
    return _run("behind", (list(positions),)).fetchall()


def holders() -> frozenset[str]:
    """The virtual transactions that may still commit an event whose position is already drawn."""
    return frozenset(row[0] for row in _run("holders").fetchall())


def acknowledge(positions: Mapping[str, int]) -> None:
    """Tell the store how far projectors have come: what retention asks before it deletes."""
    _run("acknowledge", (msgspec.json.encode(positions).decode(),))


def notify() -> None:
    """A hint to sleeping projectors, after the commit and outside of it, at most four times a second.

    Nothing depends on it: projectors poll. So its failing is no failure of the caller.
    """
    global _hinted
    now = time.monotonic()
    if now - _hinted < SECONDS_BETWEEN_HINTS:
        return
    _hinted = now
    with suppress(psycopg.Error, OperationalError), _giving_back_when_broken():
        _connection().execute(f"NOTIFY {NOTIFICATION_CHANNEL}")


def stream_of(user_id: UUID) -> int:
    """The stream of a user, or of the instance, opened when there is none. Raises ``StreamErased``."""
    stream = _streams.get(user_id)
    if stream is not None:
        return stream
    name, buried = _name(user_id), _buried(user_id)
    row = _run("find_stream", ([name, buried],)).fetchone()
    if row is None:
        _run("open_stream", (name, buried))
        row = _run("find_stream", ([name, buried],)).fetchone()
    assert row is not None
    if row[1] is not None:
        raise StreamErased(buried)
    if len(_streams) >= MOST_STREAMS:
        _streams.clear()
    _streams[user_id] = row[0]
    return cast(int, row[0])


def known_stream(user_id: UUID) -> int | None:
    """The stream of a user, where he has one: opens none, so it may be asked while nothing is written."""
    if (stream := _streams.get(user_id)) is not None:
        return stream
    row = _run("find_stream", ([_name(user_id)],)).fetchone()
    return row[0] if row else None


def read_snapshot(stream: int, schema: int) -> Snapshot | None:
    """The newest folded state, unless it was written by another state schema."""
    row = _run("read_snapshot", (stream, schema)).fetchone()
    return Snapshot(*row) if row else None


def write_snapshot(stream: int, schema: int, snapshot: Snapshot) -> None:
    """Keep a folded state to load from; an older one never replaces a newer one."""
    _run("write_snapshot", {"stream": stream, "schema": schema, **snapshot._asdict()})


def check_not_erased(stream: int) -> None:
    """Raises ``StreamErased``: for streams that this process has known for long."""
    row = _run("is_erased", (stream,)).fetchone()
    if row is None or row[0]:
        raise StreamErased(str(stream))


def database_time() -> datetime:
    """The clock that recorded the events: what retention goes by, whatever the machines' clocks say."""
    return cast(datetime, _run("database_time").fetchall()[0][0])


def oldest_event() -> datetime | None:
    """When the first event of the log was recorded."""
    row = _run("oldest").fetchone()
    return row[0] if row else None


def due(cutoff: datetime) -> list[UUID]:
    """The users with events recorded before ``cutoff`` that no checkpoint of theirs covers."""
    return [UUID(name.removeprefix("user-")) for (name,) in _run_before("due", cutoff)]


def unchecked() -> list[UUID]:
    """The users with events after their newest checkpoint."""
    return [UUID(name.removeprefix("user-")) for (name,) in _run("unchecked")]


def passed(projectors: Iterable[str]) -> int:
    """The position that every one of these has passed for good, as acknowledged; 0 where one never ran."""
    row = _run("passed", {"names": list(projectors)}).fetchone()
    return int(row[0] or 0) if row else 0


def delete_covered(
    cutoff: datetime, passed: int, types: Sequence[str], chunk: int
) -> Iterator[tuple[int, int]]:
    """Delete the events before ``cutoff`` that a checkpoint at or below the position ``passed`` covers.

    A transaction for each ``chunk`` of events, after which the position reached and the number deleted are
    yielded. Events of other ``types`` than these, and the last of each stream, stay.
    """
    row = _run_before("last_before", cutoff).fetchone()
    last, reached = min(passed, (row and row[0]) or 0), 0
    while reached < last:
        end = _run("end_of_chunk", (reached, chunk)).fetchall()[0][0] or last
        values = {"after": reached, "upto": min(end, last), "passed": passed, "cutoff": cutoff}
        with _deleting(lasting=False):
            deleted = _run("delete_covered", {**values, "types": list(types)}).rowcount
        reached = min(end, last)
        yield reached, deleted


def delete_superseded(passed: int) -> int:
    """Delete what newer events of the instance's stream, up to ``passed``, have made pointless."""
    with _deleting(lasting=False):
        return _run("delete_superseded", {"stream": stream_of(INSTANCE), "passed": passed}).rowcount


def delete_outdated_snapshots() -> int:
    return _run("delete_outdated_snapshots").rowcount


def replace_history(
    stream: int,
    expected: int,
    gone: Sequence[int],
    events: Sequence[Event],
    origin: Origin,
    command_id: CommandId | None = None,
    answer: bytes = b"",
) -> int | None:
    """``append``, and in the same transaction delete the versions ``gone``, the snapshot and the answers kept
    for repeats. Raises and returns as ``append`` does, and then deletes nothing.
    """
    position = None
    with _deleting():
        _run("delete_commands", (stream,))
        position = append(stream, expected, events, origin, command_id, answer)
        if position is None:
            raise psycopg.Rollback
        _run("delete_versions", (stream, list(gone)))
        _run("delete_snapshot", (stream,))
    return position


def bury(user_id: UUID) -> list[int]:
    """Put a tombstone on a user's stream, which refuses every later append; returns the streams to empty.

    All that is left to know him by is a digest of his random id: enough to refuse, too little to find.
    """
    with _connection().transaction():
        _run("bury", {"name": _name(user_id), "buried": _buried(user_id)})
    _streams.pop(user_id, None)
    return [row[0] for row in _run("buried", (_buried(user_id),))]


def is_buried(user_id: UUID) -> bool:
    """Whether a user's stream was ever given a tombstone: no stream of his can be opened again."""
    return _run("buried", (_buried(user_id),)).fetchone() is not None


def empty(stream: int, chunk: int) -> Iterator[int]:
    """Delete all of a buried stream; yields how many events went, a transaction for each ``chunk``."""
    _run("delete_commands", (stream,))
    while True:
        with _deleting():
            deleted = _run("delete_some", (stream, chunk)).rowcount
        if not deleted:
            return
        yield deleted


def users() -> list[UUID]:
    """Whose streams there are, erased ones left out."""
    return [UUID(name.removeprefix("user-")) for (name,) in _run("users")]


def tombstones() -> set[str]:
    """What is left of erased users: ``digest_of`` their ids."""
    return {digest for (digest,) in _run("tombstones")}


def unemptied() -> list[int]:
    """The buried streams that still have events."""
    return [stream for (stream,) in _run("unemptied")]


def digest_of(user_id: UUID) -> str:
    """What stands for an erased user, in 32 hexadecimal digits: of a random id, so nothing leads back."""
    return key_of(str(user_id))


def epoch() -> str:
    """Which life of the log this is: empty for the first, another after each restore.

    Versions mean the same only within one. Asked once per process, which no restore outlasts.
    """
    global _epoch
    if _epoch is None:
        row = _run("epoch").fetchone()
        _epoch = row[0] if row else ""
    return _epoch


def begin_epoch(known: int) -> int:
    """After a restore: number on far beyond ``known``, the highest position that anybody is known to
    remember, and beyond the log; forget what projectors have acknowledged. Returns the next position.

    A log in partitions gets one that reaches far enough. Nobody else writes meanwhile.
    """
    values = {"known": known, "distance": DISTANCE, "epoch": secrets.token_hex(4)}
    with _connection().transaction():
        _run("forget_acknowledgements")
        following = cast(int, _run("begin_epoch", values).fetchall()[0][0])
        _make_room(following + ROOM)
    forget()
    return following


def leaps() -> list[tuple[int, int]]:
    """For each restore two positions: after the first and up to the second there never are any."""
    return _run("leaps").fetchall()


def of_somebody(connection: Connection) -> dict[str, int]:
    """How many rows of these tables ("schema.table") say something of somebody, unlike what a reset leaves.

    ``connection``: to a store that has them. Raises ``psycopg.Error``.
    """
    events, snapshots = connection.execute(SQL["of_somebody"]).fetchall()[0]
    return {"events.events": events, "events.snapshots": snapshots}


def begin_anew(recreate: Callable[[], None], known: int, *, keep: bool) -> None:
    """Let ``recreate`` drop and make all tables of the store, in one transaction.

    Processes and devices that knew the old log are not deceived: positions, above ``known`` too, and the
    numbers of streams go on. With ``keep`` the same listeners have the same streams, each of which begins
    with a checkpoint of nothing; else every stream that was refuses what comes late.
    Raises ``psycopg.errors.LockNotAvailable``.
    """
    with transaction.atomic(using=ALIAS):
        connection = _connection()
        connection.execute(f"SET LOCAL lock_timeout = '{LOCK_PATIENCE}'")
        whole = all(_exists(f"events.{name}") for name in ("streams", "events", "snapshots"))
        if whole:
            connection.execute("LOCK TABLE events.events, events.streams, events.snapshots")
            _run("end_log")
        if restored := _exists("events.restores"):
            _run("end_restores")
        position, stream = _last("events.events", "position"), _last("events.streams", "id")
        recreate()
        if restored:
            _run("keep_restores")
        _run("go_on_counting", {"position": max(position, known), "stream": stream})
        if whole:
            if keep:
                _run("keep_streams")
            _run("close_streams", {"kept": keep})
            name, schema = codec.name_of(UserCheckpoint(user_id=INSTANCE, taken_at=database_time()))
            if keep:
                _run("begin_streams", {"type": name, "schema": schema, "at": database_time()})
        if not (keep and whole):
            forget()
        if keep:
            # all that the public saw is too old; and the head is above every position that was given out
            append_to_instance([PublicHistoryTrimmed(before=database_time())])
    notify()


def stream_faults(stream: int | None = None) -> list[StreamFault]:
    """Where versions are missing or out of order, of one stream or of all."""
    return [StreamFault(*row) for row in _run("stream_faults", {"stream": stream})]


def names_of(streams: Iterable[int]) -> dict[int, str]:
    """The names of those streams that there are."""
    return dict(_run("owners", (list(streams),)).fetchall())


def acknowledged() -> dict[str, int]:
    """How far projectors have said that they came."""
    return dict(_run("acknowledged").fetchall())


def kept_states(schema: int, stream: int | None = None) -> Iterator[KeptState]:
    """The snapshots of one stream or of all, in the order of the streams."""
    after = 0
    while page := _run("snapshots_after", {"after": after, "schema": schema, "stream": stream}).fetchall():
        for number, version, position, state, name in page:
            yield KeptState(number, Snapshot(version, position, bytes(state)), name)
        after = page[-1][0]


def forget() -> None:
    """Drop what this process remembers of the store (after a reset)."""
    global _epoch
    _streams.clear()
    _epoch = None


# 100 bytes each
MOST_STREAMS = 100_000
_streams: dict[UUID, int] = {}
_epoch: str | None = None
_hinted = 0.0
_partitioned = False


_APPEND = Prepared("append", SQL["append"])


def _append_one(stream: int, expected: int, event: Event, origin: Origin) -> int | None:
    name, schema = codec.name_of(event)
    values = {
        "stream": b"%d" % stream,
        "expected": b"%d" % expected,
        "type": name.encode(),
        "schema": b"%d" % schema,
        "data": codec.encode(event),
        "metadata": msgspec.json.encode(origin),
    }
    with _giving_back_when_broken():
        position = _APPEND.first_value(_connection(), values)
    return None if position is None else int(position)


def _exists(relation: str) -> bool:
    row = _connection().execute("SELECT to_regclass(%s) IS NOT NULL", [relation]).fetchone()
    return bool(row and row[0])


def _last(table: str, column: str) -> int:
    """The last number that an identity column has given out; 0 for none, also where it is lost."""
    if not _exists(table):
        return 0
    statement = "SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence(%s, %s)::regclass), 0)"
    row = _connection().execute(statement, [table, column]).fetchone()
    return int(row[0]) if row else 0


def _make_room(upto: int) -> None:
    """Let every position below ``upto`` have a partition, where the log is in partitions."""
    (bound,) = _run("bound").fetchall()[0]
    if bound is None or bound >= upto:
        return
    number = next(
        number
        for number in count(1)
        if not _exists(f"events.events_p{number}") and not _exists(f"events.{VERSION_TAKEN}_p{number}")
    )
    _connection().execute(
        sql.SQL(SQL["add_partition"]).format(
            table=sql.Identifier("events", f"events_p{number}"),
            versions=sql.Identifier(f"{VERSION_TAKEN}_p{number}"),
            bound=sql.Literal(bound),
            to=sql.Literal(upto),
        )
    )


def _name(user_id: UUID) -> str:
    return "instance" if user_id == INSTANCE else f"user-{user_id}"


def _buried(user_id: UUID) -> str:
    return f"erased-{digest_of(user_id)}"


@contextmanager
def _deleting(*, lasting: bool = True) -> Iterator[None]:
    """A transaction in which events may be deleted; it waits for the disk only if it must be ``lasting``.

    What retention deletes may come back in a crash, and goes again: of its hundred commits a second none has
    to keep the disk from those who play.
    """
    with _giving_back_when_broken(), _connection().transaction():
        _run("allow_deletion")
        if not lasting:
            _connection().execute("SET LOCAL synchronous_commit = off")
        yield


def _connection() -> Connection:
    wrapper = connections[ALIAS]
    wrapper.ensure_connection()
    return cast(Connection, wrapper.connection)


def _run(
    statement: str, parameters: Mapping[str, Any] | Sequence[Any] = ()
) -> "psycopg.Cursor[tuple[Any, ...]]":
    with _giving_back_when_broken():
        return _connection().execute(SQL[statement], parameters, prepare=True)


def _run_before(statement: str, cutoff: datetime) -> "psycopg.Cursor[tuple[Any, ...]]":
    """The cutoff as part of the text: a plan for any time would read the whole log (databases.PLANS)."""
    text = sql.SQL(SQL[statement]).format(cutoff=sql.Literal(cutoff))
    with _giving_back_when_broken():
        return _connection().execute(text)


@contextmanager
def _giving_back_when_broken() -> Iterator[None]:
    """A broken connection goes back to the pool, which replaces it."""
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError):
        with suppress(OperationalError, psycopg.Error):
            connections[ALIAS].close()
        raise


def _recorded(statement: str, parameters: Sequence[Any]) -> list[Recorded]:
    with _giving_back_when_broken():
        cursor = psycopg.Cursor(_connection(), row_factory=_as_recorded)
        # psycopg's own loader, in C; Django's took 3 of the 5.5 µs that reading an event cost
        cursor.adapters.register_loader("timestamptz", TimestamptzLoader)
        cursor.adapters.register_loader("uuid", TextLoader)
        return cursor.execute(SQL[statement], parameters, prepare=True).fetchall()


def _as_recorded(cursor: Any) -> RowMaker[Recorded]:
    return lambda row: Recorded(*row)
