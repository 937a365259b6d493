"""A listener's state as the store keeps it: the newest entry of every topic and key, written by the same
statement that appends the events.

A command reads only the entries that it names, so its cost does not grow with the listener's history. The
stored entries can be folded from the log at any time (``fold``), and are rebuilt when their shape changes.
"""

import threading
from collections import OrderedDict
from collections.abc import ItemsView, Iterable, Iterator, Mapping, Sequence, ValuesView
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from eventstore import codec, entries, log
from eventstore.columns import Changes, KeptEntry
from eventstore.domain.listening import EpisodeHeard
from eventstore.domain.messages import Event
from eventstore.domain.partial import PartialEntries
from eventstore.domain.tally import tally
from eventstore.domain.topics import STATE_SCHEMA, TOPICS, WITHOUT_GUID, Keys, User
from eventstore.domain.user import evolve, evolve_all
from eventstore.entries import KeptState
from eventstore.log import LAST_VERSION, RecordedEvent, StreamErased
from eventstore.reading import senders

# How many entries (subscriptions, play statuses) a process may cache for later commands: about 1 KB each.
MOST_ENTRIES = 20_000
MOST_OF_A_STREAM = 1_000

_REGISTERS = {topic.name: topic.register for topic in TOPICS}
_DIGESTS = {topic.name: topic.register.key.digest for topic in TOPICS} | {WITHOUT_GUID: lambda key: key}
ENTRIES = tuple(_DIGESTS)
_DECODERS = {topic.name: msgspec.json.Decoder(topic.register.state).decode for topic in TOPICS}
_DECODERS[WITHOUT_GUID] = msgspec.json.Decoder(bool).decode


class StreamUnreadable(Exception):
    """The stream holds an event that this program cannot read, or has lost events: nothing can be decided on
    it."""


class UnreadableEntry(StreamUnreadable):
    """A snapshot entry, which is stored beside the log, cannot be read."""


class Entries(PartialEntries):
    """The entries of one topic, read from the store when they are accessed."""

    def __init__(self, stream: "Stream", topic: str) -> None:
        self._stream, self._topic = stream, topic
        # the entries that were read; None where the store has none
        self.known: dict[str, Any] = {}
        self.is_whole = False
        # the keys of entries to be stored, and for each whether the store had no such entry
        self.changed: dict[str, bool] = {}

    def __getitem__(self, key: str) -> Any:
        found = self.get(key)
        if found is None:
            raise KeyError(key)
        return found

    def get(self, key: str, default: Any = None) -> Any:
        if key not in self.known and not self.is_whole:
            self._stream.fetch({self._topic: (key,)})
        found = self.known.get(key)
        return default if found is None else found

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self.get(key) is not None

    def __setitem__(self, key: str, entry: Any) -> None:
        self.changed.setdefault(key, self._is_absent(key))
        self.known[key] = entry

    def update(self, new: Mapping[str, Any]) -> None:  # type: ignore[override]  # of a mapping only
        for key in new:
            if key not in self.changed:
                self.changed[key] = self._is_absent(key)
        self.known |= new

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self.changed.setdefault(key, False)
        self.known[key] = None

    def __iter__(self) -> Iterator[str]:
        return iter(self._whole())

    def __len__(self) -> int:
        return len(self._whole())

    def items(self) -> ItemsView[str, Any]:
        return self._whole().items()

    def values(self) -> ValuesView[Any]:
        return self._whole().values()

    def pick(self, keys: Iterable[str]) -> dict[str, Any]:
        keys = list(keys)
        if not self.is_whole and not self.known.keys() >= set(keys):
            self._stream.fetch({self._topic: tuple(key for key in keys if key not in self.known)})
        known = self.known
        return {key: entry for key in keys if (entry := known.get(key)) is not None}

    def holding(self, text: str) -> Mapping[str, Any]:
        if self.is_whole or not _REGISTERS[self._topic].key.of_episode:
            return self._whole()
        self._stream.search(self._topic, text)
        return {key: entry for key, entry in self.known.items() if entry is not None}

    def states(self) -> Iterable[Any]:
        if self.known or self.is_whole:
            return self._whole().values()
        return self._stream.read_states(self._topic)

    def _is_absent(self, key: str) -> bool:
        """Whether the store was asked for this key and had no entry."""
        return self.known.get(key) is None and (key in self.known or self.is_whole)

    def _whole(self) -> dict[str, Any]:
        if not self.is_whole:
            self._stream.fetch_whole(self._topic)
        return {key: entry for key, entry in self.known.items() if entry is not None}


class Stream:
    """One listener's stream as of ``version``; its last event is at ``position``."""

    def __init__(self, user_id: UUID, version: int = 0, position: int = 0) -> None:
        self.user_id = user_id
        self._id = log.cached_stream(user_id)
        self._entries: dict[str, Entries] = {}
        self._forget(version, position)

    @property
    def id(self) -> int:
        """The stream's id; one is opened where there is none. Raises ``StreamErased``."""
        if self._id is None:
            self._id = log.stream_of(self.user_id)
        return self._id

    @property
    def size(self) -> int:
        """How many entries are loaded."""
        return sum(len(one.known) for one in self._entries.values())

    def read(self, keys: Keys | None) -> bool:
        """Load the entries of ``keys``, or all for None. Return whether they had to be read, in which case
        every loaded entry is current.

        Raises ``StreamErased``, ``StreamUnreadable``.
        """
        if keys is None:
            self._load_whole()
            return True
        missing = (key for topic, named in keys.items() for key in named if self._lacks(topic, key))
        if self.version and next(missing, None) is None:
            return False
        # all of them, not only those that are missing: if another process has appended meanwhile, what is
        # loaded is outdated as well
        version, position, rows = self._read(keys)
        if version != self.version:
            self._forget(version, position)
        self._take(rows, keys)
        return True

    def refresh(self, keys: Keys | None) -> None:
        """Drop what is loaded, and read the current entries of ``keys``."""
        self._forget(0, 0)
        self.read(keys)

    def read_whole(self) -> User:
        """Load all current entries; return a copy of the state."""
        self._load_whole()
        return User(self.user_id, **{topic: dict(one) for topic, one in self._entries.items()})

    def fetch(self, keys: Keys) -> None:
        """Read entries that an append after ``version`` may already have changed: merging tolerates that, and
        an append detects it."""
        self._take(self._read(keys)[2], keys)

    def fetch_whole(self, topic: str) -> None:
        self._take(entries.read_topic(self.id, topic), {})
        self._entries[topic].is_whole = True

    def read_states(self, topic: str) -> list[Any]:
        """Return the states of all entries of a topic, in the order of their keys, without loading them."""
        with self._readable():
            return list(map(_DECODERS[topic], entries.read_states(self.id, topic)))

    def search(self, topic: str, text: str) -> None:
        self._take(entries.search(self.id, topic, text), {})

    def apply(self, events: Iterable[Event]) -> list[KeptEntry]:
        """Fold in events; return the snapshot entries to store."""
        for event in events:
            evolve(self.user, event)
        return self.changed()

    def changed(self) -> list[KeptEntry]:
        """Return the snapshot entries to store for the events that were folded into the state."""
        return [
            kept(topic, key, one.known[key], is_new)
            for topic, one in self._entries.items()
            for key, is_new in one.changed.items()
        ]

    def changes(self, events: Iterable[Event]) -> Changes:
        """Fold in events; return the snapshot entries to store like ``apply``, in less than half of the time
        for thousands."""
        evolve_all(self.user, events)
        found = Changes()
        for topic in sorted(self._entries):
            one = self._entries[topic]
            groups: dict[str, list[str]] = {"added": [], "kept": [], "gone": []}
            for key, is_new in one.changed.items():
                groups["gone" if one.known[key] is None else "added" if is_new else "kept"].append(key)
            for group, keys in groups.items():
                digests, ordered = _in_order(topic, keys)
                names = [""] * len(keys) if digests is ordered else ordered
                states = [one.known[key] for key in ordered] if group != "gone" else []
                found.add(group, topic, digests, names, [codec.encode_lines(states)] if states else [])
        return found

    def recorded(self, events: Sequence[Event], position: int) -> None:
        """Note that the events that were folded in have been appended."""
        for one in self._entries.values():
            one.changed.clear()
        self.version += len(events)
        self.position = position

    def _load_whole(self) -> None:
        version, position, rows = self._read(None)
        self._forget(version, position)
        self._take(rows, {})
        for one in self._entries.values():
            one.is_whole = True

    def _lacks(self, topic: str, key: str) -> bool:
        one = self._entries[topic]
        return key not in one.known and not one.is_whole

    def _forget(self, version: int, position: int) -> None:
        self.version, self.position = version, position
        self._entries = {topic: Entries(self, topic) for topic in ENTRIES}
        self.user = User(self.user_id, **self._entries)

    def _read(self, keys: Keys | None) -> tuple[int, int, list[tuple[str, str, str]]]:
        digests = None if keys is None else digests_of(keys)
        found = self._find(digests) or entries.read_state(self.id, digests)
        if found.is_erased:
            raise StreamErased(str(found.stream))
        self._id = found.stream
        if found.schema != STATE_SCHEMA:
            rebuild(self.user_id)
            found = entries.read_state(self.id, digests)
        return found.version, found.position, found.entries

    def _find(self, digests: Sequence[tuple[str, str]] | None) -> KeptState | None:
        """Read the state of a stream whose id this process does not know, in the same round trip; None where
        it is known, there is no stream yet, or much is to be read."""
        if self._id is not None or digests is None or len(digests) > entries.FEW:
            return None
        found = entries.find_state(log.names_of(self.user_id), digests)
        if found is not None and not found.is_erased:
            log.cache_stream(self.user_id, found.stream)
        return found

    def _take(self, rows: Iterable[tuple[str, str, str]], asked: Keys) -> None:
        for topic, named in asked.items():
            known = self._entries[topic].known
            for key in named:
                known.setdefault(key, None)
        with self._readable():
            for topic, key, state in rows:
                one = self._entries[topic]
                # an entry that was changed here is newer
                if one.known.get(key) is None and key not in one.changed:
                    one.known[key] = _DECODERS[topic](state)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except msgspec.DecodeError as error:
            raise UnreadableEntry(f"an entry of the stream at version {self.version}: {error}") from error


class NotAtHand(Exception):
    """An entry is needed that has not been read."""


class StreamAtHand(Stream):
    """A stream of which the state that was ``found`` for some ``keys`` is known, and no more can be read.
    Raises ``UnreadableEntry``."""

    def __init__(self, user_id: UUID, found: KeptState, keys: Keys) -> None:
        super().__init__(user_id, found.version, found.position)
        self._id = found.stream
        self._take(found.entries, keys)

    def fetch(self, keys: Keys) -> None:
        raise NotAtHand

    def fetch_whole(self, topic: str) -> None:
        raise NotAtHand

    def read_states(self, topic: str) -> list[Any]:
        raise NotAtHand

    def search(self, topic: str, text: str) -> None:
        raise NotAtHand


def digests_of(keys: Keys) -> list[tuple[str, str]]:
    """Return the topics and the digests of keys."""
    return [(topic, _DIGESTS[topic](key)) for topic, named in keys.items() for key in named]


class Streams:
    """Streams that commands have read, cached for the listener's next command; the least recently used are
    dropped first. Only one thread uses a stream at a time: another reads its own copy, and the store decides
    which of them wins."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # each stream with its size when it was cached
        self._kept: OrderedDict[UUID, tuple[Stream, int]] = OrderedDict()
        self._entries = 0

    def take(self, user_id: UUID) -> Stream:
        with self._lock:
            kept = self._kept.pop(user_id, None)
            if kept is not None:
                self._entries -= kept[1]
                return kept[0]
        return Stream(user_id)

    def give_back(self, stream: Stream) -> None:
        with self._lock:
            size = stream.size
            if size > MOST_OF_A_STREAM or stream.user_id in self._kept:
                return
            self._kept[stream.user_id] = stream, size
            self._entries += size
            while self._entries > MOST_ENTRIES:
                _, (_, oldest) = self._kept.popitem(last=False)
                self._entries -= oldest

    def clear(self, user_id: UUID | None = None) -> None:
        """Drop the stream of a user, or all of them."""
        with self._lock:
            if user_id is None:
                self._kept.clear()
                self._entries = 0
            elif (kept := self._kept.pop(user_id, None)) is not None:
                self._entries -= kept[1]


def fold(stream: int, user_id: UUID, upto: int = LAST_VERSION) -> User:
    """Return the state that the log leads to at version ``upto``, folded from its newest checkpoint.

    Raises ``StreamUnreadable``.
    """
    return folded(user_id, decode(read_from_checkpoint(stream, upto)))


def fold_listening(stream: int, before: datetime, upto: int = LAST_VERSION) -> tuple[EpisodeHeard, ...]:
    """Return the listening (``tally``) that the log leads to, like ``fold``. Raises ``StreamUnreadable``."""
    rows = read_from_checkpoint(stream, upto)
    return tally(zip(decode(rows), senders(rows), strict=True), before)


def read_from_checkpoint(stream: int, upto: int = LAST_VERSION) -> list[RecordedEvent]:
    """Return the newest checkpoint of a stream and the events after it. Raises ``StreamUnreadable``."""
    checkpoint = log.read_checkpoint(stream)
    rows = [] if checkpoint is None else [checkpoint]
    version = rows[0].version if rows else 0
    rows += log.read_stream(stream, version, upto)
    if len(rows) != (rows[-1].version - version + (version > 0) if rows else 0):
        raise StreamUnreadable(f"events after version {version} are gone")
    return rows


def folded(user_id: UUID, events: Iterable[Event]) -> User:
    user = User(user_id)
    for event in events:
        evolve(user, event)
    return user


def rebuild(user_id: UUID) -> None:
    """Rebuild the snapshot entries of a stream from the log, while appends wait. Raises
    ``StreamUnreadable``."""
    stream = log.stream_of(user_id)
    with entries.blocked_appends():
        entries.replace(stream, kept_entries(fold(stream, user_id)), STATE_SCHEMA)


def _in_order(topic: str, keys: list[str]) -> tuple[list[str], list[str]]:
    """Return the digests of keys, and the keys, in the order of the index of entries: thousands are then
    inserted in two thirds of the time. Both are the same list where keys are their own digests."""
    digests = list(map(_DIGESTS[topic], keys))
    if digests == keys:
        digests.sort()
        return digests, digests
    pairs = sorted(zip(digests, keys, strict=True))
    return [digest for digest, _ in pairs], [key for _, key in pairs]


def kept_entries(user: User) -> Iterator[KeptEntry]:
    """Yield the snapshot entries to store for a state."""
    for topic in ENTRIES:
        for key, entry in getattr(user, topic).items():
            yield kept(topic, key, entry)


def kept(topic: str, key: str, entry: Any, is_new: bool = False) -> KeptEntry:
    """Return an entry as it is stored; None stands for a removed entry."""
    digest = _DIGESTS[topic](key)
    state = None if entry is None else msgspec.json.encode(entry).decode()
    return KeptEntry(topic, digest, "" if key == digest else key, state, is_new)


def decode(rows: Sequence[RecordedEvent]) -> list[Event]:
    """Decode the events of stored rows. Raises ``StreamUnreadable``."""
    try:
        return [codec.decode(row.type, row.schema, row.data) for row in rows]
    except codec.CodecError as error:
        raise StreamUnreadable(str(error)) from error
