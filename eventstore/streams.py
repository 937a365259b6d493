"""The folded streams that a process keeps, so that a command costs the same however long the history is."""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

import msgspec

from eventstore import codec, log
from eventstore.domain.checkpoint import UserCheckpoint
from eventstore.domain.errors import DomainError
from eventstore.domain.messages import Event
from eventstore.domain.user import User, evolve
from eventstore.log import RecordedEvent, Snapshot

# Changes whenever the shape of User does: older snapshots are then ignored.
SNAPSHOT_SCHEMA = 2
# A load that had to fold more events than this leaves a snapshot behind.
SNAPSHOT_EVERY = 500
# How many entries (subscriptions, play statuses) all kept states may hold: about 0.5 KB each.
MOST_ENTRIES = 400_000
MOST_STREAMS = 10_000
# How long a command waits for another one of the same user in this process.
LOCK_SECONDS = 10.0

_decode_state = msgspec.json.Decoder(User).decode


class Busy(Exception):
    """Another command of the same user has held the stream for too long."""


class StreamUnreadable(Exception):
    """The stream holds an event that this program cannot read, or has lost some: no ground to decide on."""


class Folded:
    """One user's stream, folded up to ``version``; the lock lets one command at a time use it."""

    def __init__(self, user_id: UUID) -> None:
        self.lock = threading.Lock()
        self.user_id = user_id
        self.loaded = False
        self.size = 0
        # the version of the newest checkpoint, where it is known
        self.checkpoint: int | None = None

    def reset(self) -> None:
        """Fold anew next time: after an append of which nobody knows whether it was recorded."""
        self.loaded = False

    def catch_up(self) -> int:
        """Fold what is newer in the store; returns how many events. Raises ``StreamUnreadable``."""
        if not self.loaded:
            self._load()
        newer = log.read_stream(self.stream, after=self.version)
        if newer and newer[0].version != self.version + 1:
            # deleted meanwhile: a checkpoint or a newer snapshot stands for what is missing
            self._load()
            newer = log.read_stream(self.stream, after=self.version)
        self._fold(newer)
        if len(newer) > SNAPSHOT_EVERY:
            snapshot = Snapshot(self.version, self.position, msgspec.json.encode(self.user))
            log.write_snapshot(self.stream, SNAPSHOT_SCHEMA, snapshot)
        return len(newer)

    def recorded(self, events: list[Event], position: int) -> None:
        """Take in what this process has just appended."""
        self.apply(events)
        self.confirm(self.version + len(events), position)

    def confirm(self, version: int, position: int) -> None:
        """The state is that of ``version``, recorded at ``position``."""
        self.version, self.position = version, position
        self.loaded = True

    def since_checkpoint(self) -> int:
        """How many events were recorded since the newest checkpoint of the stream."""
        if self.checkpoint is None:
            found = log.read_checkpoint(self.stream)
            self.checkpoint = found.version if found else 0
        return self.version - self.checkpoint

    def apply(self, events: Sequence[Event]) -> None:
        for number, event in enumerate(events, self.version + 1):
            if isinstance(event, UserCheckpoint):
                self.checkpoint = number
            evolve(self.user, event)

    def _load(self) -> None:
        """Start from the snapshot, else from the newest checkpoint, else from nothing."""
        self.stream = log.stream_of(self.user_id)
        self.user, self.version, self.position = User(self.user_id), 0, 0
        self.checkpoint = None
        snapshot = log.read_snapshot(self.stream, SNAPSHOT_SCHEMA)
        if snapshot is not None:
            self.user = _restored(snapshot)
            self.version, self.position = snapshot.version, snapshot.position
        elif (checkpoint := log.read_checkpoint(self.stream)) is not None:
            self.version = checkpoint.version - 1
            self._fold([checkpoint])
        self.loaded = True

    def _fold(self, rows: list[RecordedEvent]) -> None:
        if not rows:
            return
        if rows[0].version != self.version + 1:
            # deleted by retention, and the snapshot that stands for them is of another program
            raise StreamUnreadable(f"the events after version {self.version} are gone")
        self.apply(decode(rows))
        self.version, self.position = rows[-1].version, rows[-1].position


def decode(rows: Sequence[RecordedEvent]) -> list[Event]:
    """The events of stored rows. Raises ``StreamUnreadable``."""
    try:
        return [codec.decode(row.type, row.schema, row.data) for row in rows]
    except codec.CodecError as error:
        raise StreamUnreadable(str(error)) from error


def _restored(snapshot: Snapshot) -> User:
    try:
        return _decode_state(snapshot.state)
    except msgspec.DecodeError as error:
        raise StreamUnreadable(f"the snapshot of version {snapshot.version}: {error}") from error


class Streams:
    """A bounded store of folded streams, least recently used out first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[UUID, Folded] = OrderedDict()
        self._entries = 0

    @contextmanager
    def hold(self, user_id: UUID) -> Iterator[Folded]:
        """The user's folded stream, for this thread alone. Raises ``Busy``."""
        with self._lock:
            folded = self._kept.get(user_id)
            if folded is None:
                folded = self._kept[user_id] = Folded(user_id)
            self._kept.move_to_end(user_id)
        if not folded.lock.acquire(timeout=LOCK_SECONDS):
            raise Busy
        try:
            yield folded
        except DomainError:
            raise  # refused: the state is as it was
        except BaseException:
            folded.reset()
            raise
        finally:
            self._weigh(folded)
            folded.lock.release()

    def forget(self) -> None:
        with self._lock:
            self._kept.clear()
            self._entries = 0

    def _weigh(self, folded: Folded) -> None:
        size = folded.user.size if folded.loaded else 0
        with self._lock:
            if self._kept.get(folded.user_id) is not folded:
                return  # evicted meanwhile
            self._entries += size - folded.size
            folded.size = size
            while self._entries > MOST_ENTRIES or len(self._kept) > MOST_STREAMS:
                _, oldest = self._kept.popitem(last=False)
                self._entries -= oldest.size
