"""Checks of the stored log: events that cannot be read, versions out of order, and snapshot entries that
differ from the log.

Nothing is changed and nothing is locked. Findings name positions, streams and versions, never a stored value.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from uuid import UUID

import msgspec

from eventstore import codec, log
from eventstore.database import SQL, execute
from eventstore.domain.messages import Event, Origin
from eventstore.follower import settled_head
from eventstore.log import RecordedEvent, StreamErased
from eventstore.streams import ENTRIES, Stream, StreamUnreadable, UnreadableEntry, fold

# events per page
AT_ONCE = 5_000
ORDER = {
    "gap": "versions before it are missing",
    "order": "its position is below that of an earlier version",
    "unknown": "nobody has opened this stream",
}
OWNERS = """
SELECT id, substring(name FROM 6)::uuid FROM events.streams WHERE starts_with(name, 'user-') AND id = ANY(%s)
"""
_decode_origin = msgspec.json.Decoder(Origin).decode


class LogFault(msgspec.Struct, frozen=True):
    """A fault in the log. ``what``: a sentence without any stored value."""

    kind: str
    stream: int
    version: int
    position: int
    what: str


def order() -> list[LogFault]:
    """Return the faults of streams with missing versions, or with positions that do not rise with the
    versions."""
    return [
        LogFault(kind, number, version, position, ORDER[kind])
        for number, version, position, kind in execute(SQL["stream_faults"])
    ]


def undecodable(reached: Callable[[int, int], None]) -> Iterator[LogFault]:
    """Yield a fault for each event that cannot be read, or whose listener is not the one of its stream.

    ``reached`` is called with the number of events checked and the total.
    """
    after, done, head = 0, 0, settled_head()
    total = log.count_events(head)
    while rows := log.read_all(after, AT_ONCE, head):
        yield from _faults_in(rows)
        after, done = rows[-1].position, done + len(rows)
        reached(min(done, total), total)


def kept(reached: Callable[[int, int], None]) -> Iterator[LogFault]:
    """Yield a fault for each topic of a stream whose snapshot entries differ from what the log leads to; each
    stream is read at one moment.

    ``reached`` is called with the number of streams checked and the total.
    """
    users = log.users()
    for number, user_id in enumerate(users, 1):
        with suppress(StreamErased, StreamUnreadable):  # erased meanwhile, or reported by ``undecodable``
            yield from _faults_of(Stream(user_id))
        reached(number, len(users))


def _faults_of(stream: Stream) -> Iterator[LogFault]:
    try:
        found = stream.read_whole()
    except UnreadableEntry as error:
        yield LogFault("entry", stream.id, stream.version, stream.position, str(error))
        return
    expected = fold(stream.id, stream.user_id, stream.version)
    for topic in ENTRIES:
        stored, folded = getattr(found, topic), getattr(expected, topic)
        wrong = sum(stored.get(key) != folded.get(key) for key in stored.keys() | folded.keys())
        if wrong:
            what = f"{topic}: {wrong:,} kept entries are not what the events make of them (rebuild_state)"
            yield LogFault("entry", stream.id, stream.version, stream.position, what)


def _faults_in(rows: Sequence[RecordedEvent]) -> Iterator[LogFault]:
    owners: dict[int, UUID] = dict(execute(OWNERS, [[row.stream for row in rows]]).fetchall())
    for row in rows:
        if what := _reading_fault(row, owners.get(row.stream)):
            yield LogFault("event", row.stream, row.version, row.position, what)


def _reading_fault(row: RecordedEvent, owner: UUID | None) -> str:
    try:
        event: Event = codec.decode(row.type, row.schema, row.data)
    except codec.CodecError as error:
        return f"{type(error).__name__}: {error}"
    try:
        _decode_origin(row.metadata)
    except msgspec.DecodeError as error:
        return f"its metadata cannot be read: {error}"
    if owner is not None and event.user_id != owner:
        return f"{row.type} of another listener than its stream"
    return ""
