"""Stored events for readers that show a history and must tolerate events that cannot be decoded."""

from collections.abc import Iterable, Sequence

import msgspec

from eventstore import codec
from eventstore.database import SQL, execute
from eventstore.domain.messages import Event, Origin
from eventstore.log import RecordedEvent

READ_BY_ID = """
SELECT position, stream, version, event_id::text, type, schema, data, metadata, recorded_at
  FROM events.events WHERE stream = %s AND event_id = ANY(%s::uuid[])"""
_ORIGIN = msgspec.json.Decoder(Origin).decode


def origin_of(row: RecordedEvent) -> Origin:
    """Return the origin of an event; an empty one if it cannot be read."""
    try:
        return _ORIGIN(row.metadata)
    except msgspec.DecodeError:
        return Origin()


def sender_of(row: RecordedEvent) -> str | None:
    """Return the name of the device that sent an event, else its id or its app, or an empty text where none
    is known; None where the server acted by itself or the event is an undo. An imported event counts as sent,
    because it was heard on another server."""
    origin = origin_of(row)
    if origin.cause not in (None, "import"):
        return None
    return origin.device_name or origin.device_id or origin.app_id or ""


def senders(rows: Iterable[RecordedEvent]) -> list[str | None]:
    """Return ``sender_of`` each row."""
    return [sender_of(row) for row in rows]


def decoded(row: RecordedEvent) -> Event | None:
    """Decode the event; None where this program cannot read it."""
    try:
        return codec.decode(row.type, row.schema, row.data)
    except codec.CodecError:
        return None


def read_places(stream: int, feed: str, among: int = 20_000) -> list[RecordedEvent]:
    """Return the newest play of each device and episode of a feed, among the newest ``among`` events of a
    stream."""
    return [RecordedEvent(*row) for row in execute(SQL["read_places"], (stream, among, feed))]


def read_by_id(stream: int, event_ids: Sequence[str]) -> list[RecordedEvent]:
    """Return those of the given events that a stream still has, in no particular order."""
    if not event_ids:
        return []
    return [RecordedEvent(*row) for row in execute(READ_BY_ID, (stream, list(event_ids)))]
