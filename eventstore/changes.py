"""What has changed in a listener's stream since a version, in the order of arrival, whatever clocks say."""

from collections.abc import Sequence
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
# Ends at the first: of a long stream all would be read.
OTHERS = """
SELECT EXISTS (SELECT FROM events.events
                WHERE stream = %s AND version > %s AND version <= %s AND type = ANY(%s)
                  AND metadata ->> 'app_id' IS DISTINCT FROM %s)
"""
# From the newest event backwards, up to the first that is older.
RECENT = """
SELECT count(*) FROM events.events
 WHERE stream = %(stream)s AND type = ANY(%(types)s) AND metadata ->> 'device_id' = %(device)s
   AND recorded_at > %(after)s
   AND version > coalesce((SELECT version FROM events.events
                            WHERE stream = %(stream)s AND recorded_at <= %(after)s
                            ORDER BY version DESC LIMIT 1), 0)
"""
# in the order in which they were named
ITEMS_OF = """
SELECT data ->> 'rss_source_feed', data ->> 'rss_source_item'
  FROM (SELECT version, type, data, metadata FROM events.events
         WHERE stream = %s ORDER BY version DESC LIMIT %s) AS newest
 WHERE type = ANY(%s) AND data ->> 'rss_source_feed' = ANY(%s)
   AND coalesce(nullif(data ->> 'device', ''), metadata ->> 'device_id') = %s
 ORDER BY version
"""


class Extent(NamedTuple):
    """How far a stream goes; ``is_whole``: whether the log still holds everything after the version that was
    asked for."""

    head: int
    is_whole: bool


class Change(msgspec.Struct, frozen=True, gc=False):
    """An event, and the device that its request named.

    No tuple, which the collector watches: of 100,000 it took a third of a second.
    """

    version: int
    event: Event
    device: str | None


def extent(user_id: UUID, after: int) -> Extent:
    head, first = execute(EXTENT, {"stream": log.stream_of(user_id), "after": after}).fetchone() or (0, None)
    return Extent(head, head <= after or first == after + 1)


def checkpoint(user_id: UUID) -> tuple[int, UserCheckpoint] | None:
    """The newest checkpoint of a stream, and its version. Raises ``StreamUnreadable``."""
    row = log.read_checkpoint(log.stream_of(user_id))
    if row is None:
        return None
    event = _decoded(row.type, row.schema, row.data)
    assert isinstance(event, UserCheckpoint)
    return row.version, event


def since(user_id: UUID, after: int, upto: int, types: Sequence[type[Event]], limit: int) -> list[Change]:
    """At most ``limit`` events of these types after a version. Raises ``StreamUnreadable``."""
    names = [one.__name__ for one in types]
    rows = execute(CHANGES, (log.stream_of(user_id), after, upto, names, limit)).fetchall()
    return [
        Change(version, _decoded(type_, schema, data), device)
        for version, type_, schema, data, device in rows
    ]


def has_others(user_id: UUID, after: int, upto: int, types: Sequence[type[Event]], app: str) -> bool:
    """Whether others than ``app`` have recorded any of these types."""
    if upto <= after:
        return False
    names = [one.__name__ for one in types]
    return bool(fetch_value(OTHERS, (log.stream_of(user_id), after, upto, names, app)))


def count_recent(user_id: UUID, types: Sequence[type[Event]], device: str, after: datetime) -> int:
    """How many events of these types a device has sent since a time."""
    names = [one.__name__ for one in types]
    values = {"stream": log.stream_of(user_id), "types": names, "device": device, "after": after}
    return int(fetch_value(RECENT, values))


def items_of(
    user_id: UUID, device: str, feeds: Sequence[str], types: Sequence[type[Event]], among: int = 20_000
) -> list[tuple[str, str]]:
    """Feed and item of what a device has named of these feeds in so many newest events, the newest last."""
    names = [one.__name__ for one in types]
    values = (log.stream_of(user_id), among, names, list(feeds), device)
    return execute(ITEMS_OF, values).fetchall()


def _decoded(type_: str, schema: int, data: str) -> Event:
    try:
        return codec.decode(type_, schema, data)
    except codec.CodecError as error:
        raise StreamUnreadable(str(error)) from error
