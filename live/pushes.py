"""What is pushed to a listener's connections: the entries that a run of events has changed, in their current
state."""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib import import_module
from typing import Final
from uuid import UUID

import msgspec
from msgspec import Raw, Struct

from accounts.scopes import allows
from api.episodes import show_episodes
from api.v1.sync import cursor_of
from eventstore import log
from eventstore.domain import sync
from eventstore.domain.checkpoint import EventsRemoved, UserCheckpoint
from eventstore.domain.messages import Event
from eventstore.domain.topics import TOPICS
from eventstore.log import RecordedEvent
from eventstore.reading import origin_of
from eventstore.streams import Stream, StreamUnreadable, decode
from live.messages import Changes, Resync, write

# An app and a device, as the origins of events name them.
Source = tuple[str, str]
WHOLE_SYNC: Final = "user.sync"


class Entry(Struct, frozen=True):
    """A changed entry. ``sources``: which apps and devices changed it; None if a change named no app or
    device."""

    topic: str
    content: Raw
    sources: frozenset[Source] | None


class Push(Struct, frozen=True):
    """What changed after the version ``after`` of a stream, up to ``upto``. ``entries``: None if the changes
    cannot be sent singly."""

    after: int
    upto: int
    cursor: str
    entries: tuple[Entry, ...] | None

    @property
    def size(self) -> int:
        """The approximate size in bytes."""
        return sum(len(memoryview(entry.content)) for entry in self.entries or ())

    def message(self, scopes: frozenset[str], own: Source | None) -> bytes | None:
        """Return what a connection with these scopes is sent; None for nothing.

        Entries that only its ``own`` device has changed are left out.
        """
        if self.entries is None:
            return write(Resync(self.cursor))
        data: dict[str, list[Raw]] = {}
        for entry in self.entries:
            if is_own(entry, own) or not may_read(entry.topic, scopes):
                continue
            data.setdefault(PLURALS[entry.topic], []).append(entry.content)
        return write(Changes(self.cursor, data)) if data else None


def is_own(entry: Entry, source: Source | None) -> bool:
    """Whether only this ``source`` has changed the entry."""
    return source is not None and entry.sources == frozenset({source})


PLURALS: Final = {topic.name: topic.plural for topic in TOPICS}


@cache
def may_read(topic: str, scopes: frozenset[str]) -> bool:
    """Whether an app with these scopes may read a topic over HTTP: in a list of its own, or in a sync."""
    view: Callable[..., object] = import_module(f"api.v1.{topic}").paths[0].callback
    return allows(scopes, WHOLE_SYNC) or allows(scopes, view.cls.scopes["GET"])  # type: ignore[attr-defined]


def read_page(user_id: UUID, after: int, upto: int) -> Push:
    """Return what changed after ``after`` up to ``upto``, read from the log; ``entries`` is None if the log
    does not reach back that far."""
    rows = log.read_stream(log.stream_of(user_id), after, upto)
    if len(rows) != upto - after:
        return Push(after, upto, cursor_of(upto, user_id), None)
    return of_rows(user_id, rows)


def of_rows(user_id: UUID, rows: Sequence[RecordedEvent]) -> Push:
    """Return what these events changed, which follow each other in one stream. Queries the store."""
    after, upto = rows[0].version - 1, rows[-1].version
    try:
        events = decode(rows)
    except StreamUnreadable:
        return Push(after, upto, cursor_of(upto, user_id), None)
    # what was removed, or left out of a checkpoint, shows only by being absent, so it cannot be sent as
    # entries
    if any(isinstance(event, EventsRemoved | UserCheckpoint) for event in events):
        return Push(after, upto, cursor_of(upto, user_id), None)
    return Push(after, upto, cursor_of(upto, user_id), tuple(_entries(user_id, rows, events)))


def _entries(user_id: UUID, rows: Sequence[RecordedEvent], events: Sequence[Event]) -> Iterable[Entry]:
    state = Stream(user_id)
    sources: dict[tuple[str, str], set[Source | None]] = {}
    for row, event in zip(rows, events, strict=True):
        origin = origin_of(row)
        source = (origin.app_id, origin.device_id) if origin.app_id and origin.device_id else None
        for topic, keys in sync.changed_keys(state.user, [event]).items():
            for key in keys:
                sources.setdefault((topic, key), set()).add(source)
    wanted: dict[str, list[str]] = {}
    for topic, key in sources:
        wanted.setdefault(topic, []).append(key)
    state.fetch({topic: tuple(keys) for topic, keys in wanted.items()})
    for one in TOPICS:
        for key in wanted.get(one.name, ()):
            shown = one.register.to_entries(getattr(state.user, one.name), [key])
            show_episodes(shown)
            found = sources[one.name, key]
            known = None if None in found else frozenset(each for each in found if each)
            yield from (Entry(one.name, Raw(msgspec.json.encode(each)), known) for each in shown)
