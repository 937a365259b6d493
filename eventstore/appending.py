"""The statements that append events and the snapshot entries that they changed.

One event goes through a prepared statement of libpq, many go as columns of lines in one statement, and
thousands in several: the server inserts the events while this process folds them. ``eventstore.log`` chooses.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial
from typing import Any
from uuid import UUID

import msgspec
from psycopg.abc import PQGen
from psycopg.errors import UniqueViolation
from psycopg.waiting import Wait

from eventstore import codec
from eventstore.columns import LENGTH_OF_ID, Changes, KeptEntry, changes_of, columns_of, event_ids
from eventstore.database import SQL, Connection, discard_when_broken, execute, fetch_value, raw_connection
from eventstore.domain.messages import Event, Origin
from eventstore.prepared import Prepared

# the unique constraint; those of partitions start with the same name (docs/sql/partition_events.sql)
VERSION_TAKEN = "events_stream_version"
# violated where the snapshot entries were rebuilt after they had been read
ENTRY_TAKEN = "snapshots_pkey"
_APPEND = Prepared("append", SQL["append"])
_KEEP = "ON CONFLICT (stream, topic, key) DO UPDATE SET state = excluded.state"
_APPEND_AND_ADD = Prepared(
    "append_and_add", SQL["append_and_keep"].format(append=SQL["append"], on_conflict="")
)
_APPEND_AND_KEEP = Prepared(
    "append_and_keep", SQL["append_and_keep"].format(append=SQL["append"], on_conflict=_KEEP)
)
# the parts of a statement that store entries, by group (``columns.Changes``), and the answer of a command
_PARTS = {
    "added": SQL["add_entries"],
    "kept": SQL["keep_entries"],
    "gone": SQL["drop_entries"],
    "command": SQL["add_command"],
}
# the position of the last event that a statement itself appends, or that the one before has appended
_APPENDED = f"""appended AS ({SQL["append_events"]} RETURNING position),
last AS (SELECT max(position) AS position FROM appended HAVING count(*) > 0)"""  # noqa: S608  no values in it
_BEFORE = """last AS (
    SELECT position FROM events.events
     WHERE stream = %(stream)s AND version = %(version)s AND event_id = %(last_id)s::uuid)"""


def statement(last: str, parts: Iterable[str]) -> str:
    """Return a statement with these of ``_PARTS``: each costs the server 50 µs, even with nothing to do."""
    named = [last, *(f"{name} AS ({_PARTS[name]})" for name in _PARTS if name in parts)]
    return f"WITH {', '.join(named)} SELECT position FROM last"  # noqa: S608  no values in it


APPEND_EVENTS = statement(_APPENDED, ())


class CommandId(msgspec.Struct, frozen=True):
    """An ``Idempotency-Key`` and a digest of the command that it was sent with."""

    key: UUID
    fingerprint: bytes


class CommandAlreadyRecorded(Exception):
    """A concurrent writer has recorded a command with this id."""


def to_append_one(
    stream: int, expected: int, event: Event, origin: Origin, changed: Sequence[KeptEntry]
) -> tuple[Prepared, dict[str, bytes]] | None:
    """Return the statement that appends one event and at most one entry that it ``changed``, which returns
    the event's position, and its parameters; None if the entry was removed."""
    name, schema = codec.name_of(event)
    values = {
        "stream": b"%d" % stream,
        "expected": b"%d" % expected,
        "type": name.encode(),
        "schema": b"%d" % schema,
        "event_id": event_ids(1).encode(),
        "data": codec.encode(event),
        "metadata": msgspec.json.encode(origin),
    }
    statement = _APPEND
    for one in changed:
        if one.state is None:
            return None
        statement = _APPEND_AND_ADD if one.is_new else _APPEND_AND_KEEP
        values |= {"topic": one.topic.encode(), "key": one.digest.encode()}
        values |= {"name": one.name.encode(), "state": one.state.encode()}
    return statement, values


def append_one(
    stream: int, expected: int, event: Event, origin: Origin, changed: Sequence[KeptEntry]
) -> int | None:
    found = to_append_one(stream, expected, event, origin, changed)
    if found is None:
        return append_many(stream, expected, [event], origin, changed)
    statement, values = found
    try:
        with discard_when_broken():
            position = statement.first_value(raw_connection(), values)
    except UniqueViolation as error:
        if _is_race(error):
            return None
        raise
    return None if position is None else int(position)


def append_many(
    stream: int,
    expected: int,
    events: Sequence[Event],
    origin: Origin,
    changed: Iterable[KeptEntry],
    command_id: CommandId | None = None,
    answer: bytes = b"",
    origins: Sequence[Origin] = (),
) -> int | None:
    parameters = columns_of(stream, expected, events, origin, origins)
    entries = changes_of(changed)
    parameters |= entries.parameters() | _of_command(command_id, answer)
    if command_id is None and raw_connection().autocommit:
        values = {name: str(value).encode() for name, value in parameters.items()}
        return _unless_beaten(partial(_append_prepared, tuple(entries.names()), values))
    parts = [*entries.names(), *(["command"] if command_id else [])]
    return _unless_beaten(lambda: fetch_value(statement(_APPENDED, parts), parameters))


def _append_prepared(parts: tuple[str, ...], values: dict[str, bytes]) -> int | None:
    """Append without a command id: through libpq, which takes a third of the time of psycopg."""
    with discard_when_broken():
        position = _prepared(parts).first_value(raw_connection(), values)
    return None if position is None else int(position)


@cache
def _prepared(parts: tuple[str, ...]) -> Prepared:
    return Prepared("_".join(("append", "many", *parts)), statement(_APPENDED, parts))


def append_large(
    stream: int,
    expected: int,
    parts: Iterable[Sequence[Event]],
    origin: Origin,
    changed: Callable[[], Changes],
    command_id: CommandId | None,
    answer: Callable[[], bytes],
) -> int | None:
    """Append ``parts`` of events, entries and answer in one transaction, each sent as soon as it is known: it
    is computed while the server is busy with what was sent before."""

    def append() -> int | None:
        beside: dict[str, Any] = {"stream": stream, "version": expected}
        with discard_when_broken(), _pipeline(), raw_connection().transaction():
            for events in parts:
                parameters = columns_of(stream, beside["version"], events, origin)
                beside |= {"version": parameters["version"], "last_id": parameters["ids"][-LENGTH_OF_ID:]}
                _send(SQL["append_events"], parameters)
            entries = changed()
            if names := entries.names():
                _send(statement(_BEFORE, names), beside | entries.parameters())
            rendered = answer()
            if command_id is not None:
                _send(statement(_BEFORE, ["command"]), beside | _of_command(command_id, rendered))
            found = _send(statement(_BEFORE, ()), beside)
        position: int | None = next(found, (None,))[0]
        return position

    return _unless_beaten(append)


def _pipeline() -> AbstractContextManager[object]:
    """Let statements be sent before those before them are finished, except inside a transaction of the
    caller's."""
    connection = raw_connection()
    return connection.pipeline() if connection.autocommit else nullcontext()


def _send(text: str, parameters: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Send all of a statement: psycopg returns when the socket is full, and would send the rest with whatever
    comes next. The server begins when it has all of it."""
    connection = raw_connection()
    cursor = execute(text, parameters)
    connection.wait(_flushed(connection))
    return cursor


def _flushed(connection: Connection) -> PQGen[None]:
    while connection.pgconn.flush():
        yield Wait.W


def _of_command(command_id: CommandId | None, answer: bytes) -> dict[str, Any]:
    if command_id is None:
        return {}
    return {"id": command_id.key, "fingerprint": command_id.fingerprint, "answer": answer}


def _unless_beaten(append: Callable[[], int | None]) -> int | None:
    """Return None if a concurrent writer was first. Raises ``CommandAlreadyRecorded``."""
    try:
        return append()
    except UniqueViolation as error:
        if _is_race(error):
            return None
        if error.diag.constraint_name == "commands_pkey":
            raise CommandAlreadyRecorded from error
        raise


def _is_race(error: UniqueViolation) -> bool:
    """Whether a concurrent writer was first."""
    return (error.diag.constraint_name or "").startswith((VERSION_TAKEN, ENTRY_TAKEN))
