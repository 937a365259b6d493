"""The snapshot entries that the store keeps beside a stream's events: the newest one of every topic and key.

``log.append`` writes an entry in the statement that records its event. Every function raises
``psycopg.OperationalError`` (or Django's) when the store is unavailable.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from eventstore.columns import KeptEntry
from eventstore.database import SQL, discard_when_broken, execute, raw_connection
from eventstore.log import StreamErased
from eventstore.prepared import Prepared

LONGEST_WAIT = "5s"
# Up to this many entries, reading through libpq takes 27 µs where psycopg takes 60; for 50,000 it takes twice
# as long as psycopg.
FEW = 100
KEEP_ENTRIES = "COPY events.snapshots (stream, topic, key, name, state) FROM STDIN"
# For large commands: skips the lookup of each key in topics that have no entries, as in a first sync.
OF_KEPT_TOPICS = """k.topic = ANY(ARRAY(
    SELECT asked FROM unnest(string_to_array(%(asked)s::text, ' ')) AS asked
    WHERE (SELECT true FROM events.snapshots WHERE stream = %(stream)s::bigint AND topic = asked LIMIT 1)))"""
READ_ENTRIES = """
SELECT topic, coalesce(nullif(name, ''), replace(key::text, '-', '')), state
  FROM events.snapshots WHERE stream = %s AND topic = %s ORDER BY key"""
READ_STATES = "SELECT state FROM events.snapshots WHERE stream = %s AND topic = %s ORDER BY key"

BY_ID = "%(stream)s::bigint"
BY_NAME = """(
    SELECT id FROM events.streams WHERE name = ANY(string_to_array(%(names)s::text, ' '))
    ORDER BY tombstone NULLS LAST LIMIT 1)"""
READ_MANY = SQL["read_state"].format(stream=BY_ID, among=OF_KEPT_TOPICS)
_READ_STATE = Prepared("read_state", SQL["read_state"].format(stream=BY_ID, among="true"))
_FIND_STATE = Prepared("find_state", SQL["read_state"].format(stream=BY_NAME, among="true"))


class KeptState(NamedTuple):
    """The stored state of a stream at ``version``; its last event is at ``position``. ``entries``: topic, key
    and JSON of each. ``schema``: the version of the entries' shape."""

    stream: int
    schema: int
    is_erased: bool
    version: int
    position: int
    entries: list[tuple[str, str, str]]


class Question(NamedTuple):
    """A statement that reads the state of a stream, and its parameters."""

    statement: Prepared
    values: dict[str, bytes]


def question(of: int | Sequence[str], keys: Sequence[tuple[str, str]]) -> Question:
    """Return what asks for the entries of pairs of topic and key digest; ``of``: the id of a stream, or the
    names that it may have. At most ``FEW`` keys."""
    topics, digests = (" ".join(one) for one in zip(*keys, strict=True)) if keys else ("", "")
    values = {"topics": topics.encode(), "keys": digests.encode()}
    if isinstance(of, int):
        return Question(_READ_STATE, {"stream": b"%d" % of, **values})
    return Question(_FIND_STATE, {"names": " ".join(of).encode(), **values})


def state_in(rows: Sequence[Sequence[bytes | None]]) -> KeptState | None:
    """Return the state that the rows hold which answer a question; None where there is no such stream."""
    if not rows:
        return None
    return _kept_state([[None if cell is None else cell.decode() for cell in row] for row in rows])


def read_state(stream: int, keys: Sequence[tuple[str, str]] | None = None) -> KeptState:
    """Return a stream's version and its snapshot entries for pairs of topic and key digest; for None, all of
    them."""
    if keys is None:
        return _kept_state(execute(SQL["read_whole_state"], {"stream": stream}).fetchall())
    # in the middle of a large append, libpq answers no single statement
    if len(keys) > FEW or raw_connection().pgconn.pipeline_status:
        topics, digests = (" ".join(one) for one in zip(*keys, strict=True)) if keys else ("", "")
        values = {"stream": stream, "topics": topics, "keys": digests}
        asked = " ".join({topic for topic, _ in keys})
        return _kept_state(execute(READ_MANY, values | {"asked": asked}).fetchall())
    found = _read(question(stream, keys))
    assert found is not None  # streams are never deleted
    return found


def find_state(names: Sequence[str], keys: Sequence[tuple[str, str]]) -> KeptState | None:
    """Like ``read_state``, for the stream with one of these names; None where there is none. At most ``FEW``
    keys."""
    return _read(question(names, keys))


def read_topic(stream: int, topic: str) -> list[tuple[str, str, str]]:
    """Return topic, key and JSON of every entry of a topic."""
    return execute(READ_ENTRIES, (stream, topic)).fetchall()


def read_states(stream: int, topic: str) -> list[str]:
    """Return the JSON of every entry of a topic, without keys: half of the cost of ``read_topic``, on both
    sides. Joined by ``string_agg`` it would be twice as much for PostgreSQL."""
    return [state for (state,) in execute(READ_STATES, (stream, topic)).fetchall()]


def search(stream: int, topic: str, text: str) -> list[tuple[str, str, str]]:
    """Return the entries of a topic whose items contain a text."""
    return execute(SQL["search_entries"], {"stream": stream, "topic": topic, "text": text}).fetchall()


@contextmanager
def blocked_appends() -> Iterator[None]:
    """Open a transaction during which every append by others that changes an entry waits.

    Raises ``psycopg.errors.LockNotAvailable`` where an append that has begun takes longer than
    ``LONGEST_WAIT``.
    """
    with discard_when_broken(), raw_connection().transaction():
        execute(f"SET LOCAL lock_timeout = '{LONGEST_WAIT}'")
        execute("LOCK TABLE events.snapshots IN SHARE ROW EXCLUSIVE MODE")
        yield


def replace(stream: int, entries: Iterable[KeptEntry], schema: int) -> None:
    """Replace all entries of a stream with these. Must run in a transaction that blocks the stream's appends.

    Raises ``StreamErased``.
    """
    updated = "UPDATE events.streams SET state_schema = %s WHERE id = %s AND tombstone IS NULL"
    if not execute(updated, (schema, stream)).rowcount:
        raise StreamErased(str(stream))
    execute("DELETE FROM events.snapshots WHERE stream = %s", (stream,))
    with raw_connection().cursor() as cursor, cursor.copy(KEEP_ENTRIES) as copy:
        for one in entries:
            copy.write_row((stream, one.topic, one.digest, one.name, one.state))


def _read(asked: Question) -> KeptState | None:
    with discard_when_broken():
        return state_in(asked.statement.rows(raw_connection(), asked.values))


def _kept_state(rows: Sequence[Sequence[Any]]) -> KeptState:
    stream, schema, erased, version, position, *_ = rows[0]
    entries = [(topic, key, state) for *_, topic, key, state in rows if topic is not None]
    return KeptState(int(stream), int(schema), erased in (True, "t"), int(version), int(position), entries)
