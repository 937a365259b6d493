"""The changes in a listener's stream since a version, in the order of arrival, regardless of clocks."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from eventstore import codec, log
from eventstore.database import execute, fetch_value
from eventstore.domain.checkpoint import UserCheckpoint
from eventstore.domain.messages import Event
from eventstore.streams import StreamUnreadable

EXTENT = """
SELECT coalesce((SELECT max(version) FROM events.events WHERE stream = %(stream)s), 0),
       (SELECT min(version) FROM events.events WHERE stream = %(stream)s AND version > %(after)s)
"""
CHANGES = """
SELECT version, type, schema, data, metadata ->> 'device_id' FROM events.events
 WHERE stream = %s AND version > %s AND version <= %s AND type = ANY(%s) ORDER BY version LIMIT %s
"""
# EXISTS stops at the first match; otherwise all of a long stream would be read.
OTHERS = """
SELECT EXISTS (SELECT FROM events.events
                WHERE stream = %s AND version > %s AND version <= %s AND type = ANY(%s)
                  AND metadata ->> 'app_id' IS DISTINCT FROM %s)
"""
# Reads backwards from the newest event to the first that is older.
RECENT = """
SELECT count(*) FROM events.events
 WHERE stream = %(stream)s AND type = ANY(%(types)s) AND metadata ->> 'device_id' = %(device)s
   AND recorded_at > %(after)s
   AND version > coalesce((SELECT version FROM events.events
                            WHERE stream = %(stream)s AND recorded_at <= %(after)s
                            ORDER BY version DESC LIMIT 1), 0)
"""
# in the order in which the events named them
ITEMS_OF = """
SELECT data ->> 'rss_source_feed', data ->> 'rss_source_item'
  FROM (SELECT version, type, data, metadata FROM events.events
         WHERE stream = %s ORDER BY version DESC LIMIT %s) AS newest
 WHERE type = ANY(%s) AND data ->> 'rss_source_feed' = ANY(%s)
   AND coalesce(nullif(data ->> 'device', ''), metadata ->> 'device_id') = %s
 ORDER BY version
"""


class Extent(NamedTuple):
    """How far a stream goes. ``is_whole``: whether the log still holds every event after the requested
    version."""

    head: int
    is_whole: bool


class Change(msgspec.Struct, frozen=True, gc=False):
    """An event, and the device that its request named.

    It is not a tuple: the garbage collector tracks tuples, which took a third of a second for 100,000.
    """

    version: int
    event: Event
    device: str | None


def extent(user_id: UUID, after: int) -> Extent:
    head, first = execute(EXTENT, {"stream": log.stream_of(user_id), "after": after}).fetchone() or (0, None)
    return Extent(head, head <= after or first == after + 1)


def checkpoint(user_id: UUID) -> tuple[int, UserCheckpoint] | None:
    """Return the newest checkpoint of a stream with its version, or None. Raises ``StreamUnreadable``."""
    row = log.read_checkpoint(log.stream_of(user_id))
    if row is None:
        return None
    with _readable():
        event = codec.decode(row.type, row.schema, row.data)
    assert isinstance(event, UserCheckpoint)
    return row.version, event


def since(user_id: UUID, after: int, upto: int, types: Sequence[type[Event]], limit: int) -> list[Change]:
    """Return at most ``limit`` events of these types after a version. Raises ``StreamUnreadable``."""
    names = [one.__name__ for one in types]
    rows = execute(CHANGES, (log.stream_of(user_id), after, upto, names, limit)).fetchall()
    with _readable():
        return [
            Change(version, codec.decode(type_, schema, data), device)
            for version, type_, schema, data, device in rows
        ]


def has_others(user_id: UUID, after: int, upto: int, types: Sequence[type[Event]], app: str) -> bool:
    """Whether an app other than ``app`` has recorded events of these types."""
    if upto <= after:
        return False
    names = [one.__name__ for one in types]
    return bool(fetch_value(OTHERS, (log.stream_of(user_id), after, upto, names, app)))


def count_recent(user_id: UUID, types: Sequence[type[Event]], device: str, after: datetime) -> int:
    """Return how many events of these types a device has sent since a time."""
    names = [one.__name__ for one in types]
    values = {"stream": log.stream_of(user_id), "types": names, "device": device, "after": after}
    return int(fetch_value(RECENT, values))


def items_of(
    user_id: UUID, device: str, feeds: Sequence[str], types: Sequence[type[Event]], among: int = 20_000
) -> list[tuple[str, str]]:
    """Return feed and item of what a device has named of these feeds, among the stream's newest ``among``
    events, newest last."""
    names = [one.__name__ for one in types]
    values = (log.stream_of(user_id), among, names, list(feeds), device)
    return execute(ITEMS_OF, values).fetchall()


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except codec.CodecError as error:
        raise StreamUnreadable(str(error)) from error
