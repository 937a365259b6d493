"""Deletes what a listener may withdraw: the whole stream of an erased account, and the events of a removal.

A tombstone refuses every later append to the stream of an erased user. All that remains of the user is a
digest of a random id: enough to refuse appends, too little to identify anybody.
"""

from collections.abc import Iterable, Iterator, Sequence
from uuid import UUID

import psycopg

from eventstore import entries, log
from eventstore.appending import CommandId
from eventstore.columns import KeptEntry
from eventstore.database import SQL, deleting, execute, fetch_column, fetch_value, raw_connection
from eventstore.domain.identifiers import key_of
from eventstore.domain.messages import Event, Origin
from eventstore.domain.topics import STATE_SCHEMA

DELETE_COMMANDS = "DELETE FROM events.commands WHERE stream = %s"
DELETE_ENTRIES = "DELETE FROM events.snapshots WHERE stream = %s"
# these run with the rights of the schema's owner (schema.sql), because most programs may not delete events
DELETE_CHUNK = "SELECT events.purge_erased(%s, %s)"
DELETE_REMOVED = "SELECT events.delete_removed(%s, %s::integer[])"
# a second stream of an erased user has its number after the digest (tombstone_stream.sql)
TOMBSTONES = "SELECT DISTINCT split_part(name, '-', 2) FROM events.streams WHERE tombstone IS NOT NULL"
TOMBSTONED = """
SELECT id FROM events.streams WHERE starts_with(name, %s) AND tombstone IS NOT NULL ORDER BY id"""
TOMBSTONED_WITH_EVENTS = """
SELECT id FROM events.streams s
 WHERE tombstone IS NOT NULL AND EXISTS (SELECT FROM events.events WHERE stream = s.id) ORDER BY id"""


def digest_of(user_id: UUID) -> str:
    """Return what identifies an erased user: 32 hexadecimal digits, the digest of a random id, which cannot
    be traced back."""
    return key_of(str(user_id))


def tombstone_stream(user_id: UUID) -> list[int]:
    """Put a tombstone on a user's stream; return the streams to purge."""
    names = {"name": log.stream_name(user_id), "tombstone": log.tombstone_name(user_id)}
    with raw_connection().transaction():
        execute(SQL["tombstone_stream"], names)
    log.clear_caches(user_id)
    return fetch_column(TOMBSTONED, [names["tombstone"]])


def tombstones() -> set[str]:
    """Return ``digest_of`` every erased user."""
    return set(fetch_column(TOMBSTONES))


def tombstoned_with_events() -> list[int]:
    """Return the tombstoned streams that still have events."""
    return fetch_column(TOMBSTONED_WITH_EVENTS)


def purge_stream(stream: int, chunk: int) -> Iterator[int]:
    """Delete the contents of a tombstoned stream in transactions of ``chunk`` events each; yield how many
    each one deleted."""
    execute(DELETE_COMMANDS, [stream])
    while True:
        with deleting():
            execute(DELETE_ENTRIES, [stream])
            deleted = int(fetch_value(DELETE_CHUNK, (stream, chunk)))
        if not deleted:
            return
        yield deleted


def replace_history(
    stream: int,
    expected: int,
    removed: Sequence[int],
    events: Sequence[Event],
    kept: Iterable[KeptEntry],
    origin: Origin,
    command_id: CommandId | None = None,
    answer: bytes = b"",
) -> int | None:
    """Do what ``log.append`` does and, in the same transaction, delete the versions ``removed`` and the
    remembered commands, and replace the snapshot entries with ``kept``. Raises and returns as ``append``
    does; where nothing was appended, nothing is deleted."""
    position = None
    with deleting():
        execute(DELETE_COMMANDS, [stream])
        position = log.append(stream, expected, events, origin, command_id, answer)
        if position is None:
            raise psycopg.Rollback
        execute(DELETE_REMOVED, (stream, list(removed)))
        entries.replace(stream, kept, STATE_SCHEMA)
    return position
