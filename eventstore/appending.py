"""The statements that append events and the snapshot entries that they changed, with their parameters.

One event goes through a prepared statement of libpq, many go as columns of lines in one statement.
``eventstore.log.append`` chooses.
"""

import os
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any
from uuid import UUID

import msgspec
from psycopg.errors import UniqueViolation

from eventstore import codec
from eventstore.database import SQL, discard_when_broken, execute, fetch_value, raw_connection
from eventstore.domain.messages import Event, Origin
from eventstore.prepared import Prepared

# the unique constraint; those of partitions start with the same name (docs/sql/partition_events.sql)
VERSION_TAKEN = "events_stream_version"
# violated where the snapshot entries were rebuilt after they had been read
ENTRY_TAKEN = "snapshots_pkey"
# the bits of a random UUID that are not random (RFC 9562)
_AS_VERSION_4 = bytes(byte & 0x0F | 0x40 for byte in range(256))
_AS_VARIANT = bytes(byte & 0x3F | 0x80 for byte in range(256))
_APPEND = Prepared("append", SQL["append"])
_KEEP = "ON CONFLICT (stream, topic, key) DO UPDATE SET state = excluded.state"
_APPEND_AND_ADD = Prepared(
    "append_and_add", SQL["append_and_keep"].format(append=SQL["append"], on_conflict="")
)
_APPEND_AND_KEEP = Prepared(
    "append_and_keep", SQL["append_and_keep"].format(append=SQL["append"], on_conflict=_KEEP)
)


class CommandId(msgspec.Struct, frozen=True):
    """An ``Idempotency-Key`` and a digest of the command that it was sent with."""

    key: UUID
    fingerprint: bytes


class KeptEntry(msgspec.Struct, frozen=True, gc=False):
    """The newest snapshot entry of a topic and key. ``digest``: the digest of the key. ``name``: the key
    itself, or empty where the key is its own digest. ``state``: JSON, or None where the entry was removed.
    ``is_new``: whether there was no such entry before.

    It is not a tuple: the garbage collector tracks tuples, which took a tenth of a second for 50,000 entries.
    """

    topic: str
    digest: str
    name: str
    state: str | None
    is_new: bool = False


class CommandAlreadyRecorded(Exception):
    """A concurrent writer has recorded a command with this id."""


def append_one(
    stream: int, expected: int, event: Event, origin: Origin, changed: Sequence[KeptEntry]
) -> int | None:
    name, schema = codec.name_of(event)
    values = {
        "stream": b"%d" % stream,
        "expected": b"%d" % expected,
        "type": name.encode(),
        "schema": b"%d" % schema,
        "event_id": _event_ids(1)[0].encode(),
        "data": codec.encode(event),
        "metadata": msgspec.json.encode(origin),
    }
    statement = _APPEND
    for one in changed:
        if one.state is None:
            return append_many(stream, expected, [event], origin, None, b"", changed)
        statement = _APPEND_AND_ADD if one.is_new else _APPEND_AND_KEEP
        values |= {"topic": one.topic.encode(), "key": one.digest.encode()}
        values |= {"name": one.name.encode(), "state": one.state.encode()}
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
    command_id: CommandId | None,
    answer: bytes,
    changed: Sequence[KeptEntry],
    origins: Sequence[Origin] = (),
    meanwhile: Callable[[], None] | None = None,
) -> int | None:
    parameters = lines_to_append(stream, expected, events, origin, changed, origins)
    parameters |= {"id": None, "fingerprint": None, "answer": answer}
    if command_id is not None:
        parameters |= {"id": command_id.key, "fingerprint": command_id.fingerprint}
    try:
        if meanwhile is None or not raw_connection().autocommit:
            position: int | None = fetch_value(SQL["append_many"], parameters)
        else:
            with discard_when_broken(), raw_connection().pipeline():
                cursor = execute(SQL["append_many"], parameters)
                meanwhile()
            position = next(cursor, (None,))[0]
    except UniqueViolation as error:
        if _is_race(error):
            return None
        if error.diag.constraint_name == "commands_pkey":
            raise CommandAlreadyRecorded from error
        raise
    return position


def _is_race(error: UniqueViolation) -> bool:
    """Whether a concurrent writer was first."""
    return (error.diag.constraint_name or "").startswith((VERSION_TAKEN, ENTRY_TAKEN))


def lines_to_append(
    stream: int,
    expected: int,
    events: Sequence[Event],
    origin: Origin,
    changed: Sequence[KeptEntry] = (),
    origins: Sequence[Origin] = (),
) -> dict[str, Any]:
    """Return the parameters of ``append_many.sql`` apart from those of a command."""
    names = [codec.name_of(event) for event in events]
    # sorted in the order of the index: thousands then take two thirds of the time
    new = (one for one in changed if one.state is not None and one.is_new)
    added = sorted(new, key=attrgetter("topic", "digest"))
    return {
        "stream": stream,
        "expected": expected,
        "version": expected + len(events),
        "metadata": msgspec.json.encode(origin).decode(),
        "ids": " ".join(_event_ids(len(events))),
        "types": " ".join(name for name, _ in names),
        "schemas": " ".join(str(schema) for _, schema in names),
        "data": codec.encode_lines(events),
        "origins": codec.encode_lines(origins),
        **_lines_of("added", added),
        **_lines_of("kept", [one for one in changed if one.state is not None and not one.is_new]),
        **_lines_of("gone", [one for one in changed if one.state is None]),
    }


def _lines_of(name: str, entries: Sequence[KeptEntry]) -> dict[str, str]:
    """Return the columns of entries as parameters. Names, which may contain any text, are left out where none
    has one."""
    names = [one.name for one in entries]
    return {
        f"{name}_topics": " ".join(one.topic for one in entries),
        f"{name}_keys": " ".join(one.digest for one in entries),
        f"{name}_names": msgspec.json.encode(names if any(names) else []).decode(),
        f"{name}_states": "\n".join(one.state for one in entries if one.state is not None),
    }


def _event_ids(count: int) -> list[str]:
    """Return random ids (version 4) in hexadecimal. PostgreSQL would make a system call for each, which was
    more than half of the cost of an append of thousands of events."""
    drawn = bytearray(os.urandom(16 * count))
    drawn[6::16] = drawn[6::16].translate(_AS_VERSION_4)
    drawn[8::16] = drawn[8::16].translate(_AS_VARIANT)
    digits = drawn.hex()
    return [digits[start : start + 32] for start in range(0, len(digits), 32)]
