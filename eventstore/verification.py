"""Checks of the stored log: events that cannot be read, versions out of order, snapshots that are wrong.

Nothing is changed and nothing locked. Findings name positions, streams and versions, never a value.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple
from uuid import UUID

import msgspec

from eventstore import codec, log
from eventstore.database import SQL, execute
from eventstore.domain.checkpoint import UserCheckpoint
from eventstore.domain.messages import INSTANCE, Event
from eventstore.domain.user import User, evolve
from eventstore.follower import settled_head
from eventstore.log import Origin, RecordedEvent, Snapshot
from eventstore.streams import SNAPSHOT_SCHEMA

# events to a page
AT_ONCE = 5_000
ORDER = {
    "gap": "versions before it are missing",
    "order": "its position is below that of an earlier version",
    "unknown": "nobody has opened this stream",
}
_decode_origin = msgspec.json.Decoder(Origin).decode
_decode_state = msgspec.json.Decoder(User).decode


class LogFault(msgspec.Struct, frozen=True):
    """``position`` is 0 for a snapshot. ``what``: a sentence without any stored value."""

    kind: str
    stream: int
    version: int
    position: int
    what: str


class KeptState(NamedTuple):
    """A snapshot that a process would load. ``name``: of its stream."""

    stream: int
    snapshot: Snapshot
    name: str


def order(stream: int | None = None) -> list[LogFault]:
    """Streams with missing versions, or positions that do not rise with them; of one stream, or of all."""
    return [
        LogFault(kind, number, version, position, ORDER[kind])
        for number, version, position, kind in execute(SQL["stream_faults"], {"stream": stream})
    ]


def undecodable(reached: Callable[[int, int], None], stream: int | None = None) -> Iterator[LogFault]:
    """Events that cannot be read, or that are another listener's than their stream.

    ``reached`` is called with the position come to and the one to come to.
    """
    if stream is not None:
        yield from _faults_in(log.read_stream(stream))
        return
    after, head = 0, settled_head()
    while rows := log.read_all(after, AT_ONCE, head):
        yield from _faults_in(rows)
        after = rows[-1].position
        reached(after, head)


def unfaithful_snapshots(stream: int | None = None) -> Iterator[LogFault]:
    """Kept states that are not what the events up to them fold to."""
    for kept in _kept_snapshots(stream):
        what = _unfaithful(kept)
        # of one that was replaced meanwhile, the events may be gone too: it is not judged
        if what and log.read_snapshot(kept.stream, SNAPSHOT_SCHEMA) == kept.snapshot:
            yield LogFault("snapshot", kept.stream, kept.snapshot.version, 0, what)


def _kept_snapshots(stream: int | None) -> Iterator[KeptState]:
    """The snapshots of one stream or of all, in the order of the streams, in pages."""
    values = {"after": 0, "schema": SNAPSHOT_SCHEMA, "stream": stream}
    while page := execute(SQL["kept_snapshots"], values).fetchall():
        for number, version, position, state, name in page:
            yield KeptState(number, Snapshot(version, position, bytes(state)), name)
        values["after"] = page[-1][0]


def _faults_in(rows: Sequence[RecordedEvent]) -> Iterator[LogFault]:
    names = execute("SELECT id, name FROM events.streams WHERE id = ANY(%s)", ([row.stream for row in rows],))
    owners: dict[int, UUID | None] = {number: _owner(name) for number, name in names}
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


def _owner(name: str) -> UUID | None:
    if name == "instance":
        return INSTANCE
    return UUID(name.removeprefix("user-")) if name.startswith("user-") else None


def _unfaithful(kept: KeptState) -> str:
    """What is wrong with a kept state; empty where nothing is, or where nobody can tell."""
    owner = _owner(kept.name)
    if owner is None:
        return ""
    try:
        state = _decode_state(kept.snapshot.state)
    except msgspec.DecodeError as error:
        return f"cannot be read: {error}"
    rows = log.read_stream(kept.stream, upto=kept.snapshot.version)
    try:
        events: list[Event] = [codec.decode(row.type, row.schema, row.data) for row in rows]
    except codec.CodecError:
        return ""  # reported for the event itself
    if not rows or rows[-1].version != kept.snapshot.version:
        return "the event that it ends with is not there"
    checkpoints = [number for number, event in enumerate(events) if isinstance(event, UserCheckpoint)]
    if rows[0].version != 1 and not checkpoints:
        return ""  # retention may have deleted what it was folded from
    folded = User(owner)
    for event in events[checkpoints[-1] if checkpoints else 0 :]:
        evolve(folded, event)
    if folded == state:
        return ""
    topics = [field for field in User.__struct_fields__ if getattr(folded, field) != getattr(state, field)]
    return f"not what its events fold to: {', '.join(topics)}"
