"""Stored events as readers take them: whoever shows a history bears what it cannot decode."""

from collections.abc import Iterable, Sequence

import msgspec

from eventstore import codec
from eventstore.database import SQL, execute
from eventstore.domain.messages import Event
from eventstore.log import Origin, RecordedEvent

READ_BY_ID = """
SELECT position, stream, version, event_id::text, type, schema, data, metadata, recorded_at
  FROM events.events WHERE stream = %s AND event_id = ANY(%s::uuid[])"""
_ORIGIN = msgspec.json.Decoder(Origin).decode


def origin_of(row: RecordedEvent) -> Origin:
    """Where an event came from; of nowhere, if that cannot be read."""
    try:
        return _ORIGIN(row.metadata)
    except msgspec.DecodeError:
        return Origin()


def sender_of(row: RecordedEvent) -> str | None:
    """What the device is called that sent an event, or its app, as far as that is known; None where the
    server did it by itself, and where it was an undo. What came from another server was heard once."""
    origin = origin_of(row)
    if origin.cause not in (None, "import"):
        return None
    return origin.device_name or origin.device_id or origin.app_id or ""


def senders(rows: Iterable[RecordedEvent]) -> list[str | None]:
    """``sender_of`` each."""
    return [sender_of(row) for row in rows]


def decoded(row: RecordedEvent) -> Event | None:
    """The event; None where this program cannot read it."""
    try:
        return codec.decode(row.type, row.schema, row.data)
    except codec.CodecError:
        return None


def read_places(stream: int, feed: str, among: int = 20_000) -> list[RecordedEvent]:
    """The newest play of each device and episode of a feed, of so many newest events of a stream."""
    return [RecordedEvent(*row) for row in execute(SQL["read_places"], (stream, among, feed))]


def read_by_id(stream: int, event_ids: Sequence[str]) -> list[RecordedEvent]:
    """Those of these events that a stream still has, in no order."""
    if not event_ids:
        return []
    return [RecordedEvent(*row) for row in execute(READ_BY_ID, (stream, list(event_ids)))]
