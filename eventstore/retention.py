"""What retention deletes, and when it may.

An event is deleted when it is older than the cutoff, a checkpoint of its user covers it, and every projector
has acknowledged that checkpoint. An event of the instance's stream is deleted when newer events supersede it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from psycopg import sql

from eventstore.database import (
    SQL,
    Cursor,
    deleting,
    discard_when_broken,
    execute,
    fetch_value,
    raw_connection,
)
from eventstore.domain.messages import INSTANCE
from eventstore.log import stream_of

ACKNOWLEDGE = """
INSERT INTO events.projection_versions (projector, position, at)
SELECT key, value::bigint, clock_timestamp() FROM jsonb_each_text(%s::jsonb)
ON CONFLICT (projector) DO UPDATE SET position = excluded.position, at = excluded.at"""
ACKNOWLEDGED_BY_ALL = """
SELECT CASE WHEN count(*) = cardinality(%(names)s::text[]) THEN min(position) ELSE 0 END
  FROM events.projection_versions WHERE projector = ANY(%(names)s::text[])"""
# OFFSET 0 keeps the planner from walking back through all newer events in the hope of meeting an old one soon
LAST_BEFORE = """
SELECT max(position) FROM (SELECT position FROM events.events WHERE recorded_at < {cutoff} OFFSET 0) old"""
END_OF_CHUNK = """
SELECT max(position) FROM (
    SELECT position FROM events.events WHERE position > %s ORDER BY position LIMIT %s) chunk"""
DELETE_OLD_COMMANDS = """
DELETE FROM events.commands WHERE (stream, id) IN (
    SELECT stream, id FROM events.commands WHERE at < %s LIMIT 5000)"""


def acknowledge(positions: Mapping[str, int]) -> None:
    """Record in the store how far projectors have come, which retention checks before it deletes."""
    execute(ACKNOWLEDGE, (msgspec.json.encode(positions).decode(),))


def acknowledged() -> dict[str, int]:
    """Return the position that each projector has acknowledged."""
    return dict(execute("SELECT projector, position FROM events.projection_versions").fetchall())


def acknowledged_by_all(projectors: Iterable[str]) -> int:
    """Return the position that all of these projectors have acknowledged; 0 where one of them never did."""
    return int(fetch_value(ACKNOWLEDGED_BY_ALL, {"names": list(projectors)}) or 0)


def oldest_event() -> datetime | None:
    """Return when the first event of the log was recorded. Positions rise with time, unless a clock was set
    back."""
    found: datetime | None = fetch_value("SELECT recorded_at FROM events.events ORDER BY position LIMIT 1")
    return found


def users_to_checkpoint(cutoff: datetime) -> list[UUID]:
    """Return the users with events recorded before ``cutoff`` that no checkpoint of theirs covers."""
    return _users(_execute_with_cutoff(SQL["users_to_checkpoint"], cutoff))


def note_growth(stream: int, most: int) -> None:
    """Ask the worker for a checkpoint of a stream that has more than ``most`` events since the last one."""
    execute(SQL["note_growth"], {"stream": stream, "most": most})


def users_with_checkpoint_due() -> list[UUID]:
    """Return the users for whom ``note_growth`` asked for a checkpoint."""
    return _users(execute("SELECT name FROM events.streams WHERE checkpoint_due AND tombstone IS NULL"))


def checkpoint_taken(stream: int) -> None:
    execute("UPDATE events.streams SET checkpoint_due = false WHERE id = %s AND checkpoint_due", (stream,))


def users_without_checkpoint() -> list[UUID]:
    """Return the users with events after their newest checkpoint."""
    return _users(execute(SQL["users_without_checkpoint"]))


def delete_covered(
    cutoff: datetime, acknowledged: int, types: Sequence[str], chunk: int
) -> Iterator[tuple[int, int]]:
    """Delete the events before ``cutoff`` that a checkpoint at or below position ``acknowledged`` covers.

    Each ``chunk`` of events is one transaction, after which the position reached and the number deleted are
    yielded. Events of types other than ``types`` stay, and so does the last event of each stream.
    """
    old = _execute_with_cutoff(LAST_BEFORE, cutoff).fetchone()
    last, reached = min(acknowledged, (old and old[0]) or 0), 0
    while reached < last:
        end = min(fetch_value(END_OF_CHUNK, (reached, chunk)) or last, last)
        values = {"after": reached, "upto": end, "acknowledged": acknowledged, "cutoff": cutoff}
        with deleting(durable=False):
            deleted = execute(SQL["delete_covered"], {**values, "types": list(types)}).rowcount
        reached = end
        yield reached, deleted


def delete_superseded(acknowledged: int) -> int:
    """Delete the instance's events up to ``acknowledged`` that newer ones supersede; return how many."""
    values = {"stream": stream_of(INSTANCE), "acknowledged": acknowledged}
    with deleting(durable=False):
        return execute(SQL["delete_superseded"], values).rowcount


def delete_old_commands(before: datetime) -> int:
    """Delete command ids older than ``before``, in chunks; return how many."""
    purged = 0
    while count := execute(DELETE_OLD_COMMANDS, (before,)).rowcount:
        purged += count
    return purged


def _users(names: Cursor) -> list[UUID]:
    return [UUID(name.removeprefix("user-")) for (name,) in names]


def _execute_with_cutoff(statement: str, cutoff: datetime) -> Cursor:
    """Execute with the cutoff in the statement's text: a plan for any time would read the whole log
    (databases.PLANS)."""
    text = sql.SQL(statement).format(cutoff=sql.Literal(cutoff))
    with discard_when_broken():
        return raw_connection().execute(text)
