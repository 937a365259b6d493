"""What was listened to, as exports carry it to another account."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import Struct, structs

from api.clock import now
from api.episodes import NamedEpisode, show_episodes
from api.errors import FieldError
from api.fields import LONGEST_CAPTION, Feed, Position, Seconds, Time, meta
from eventstore import log
from eventstore.domain.identifiers import episode_key
from eventstore.domain.listening import FASTEST, EpisodeHeard, Heard, ImportListening, lacking
from eventstore.domain.times import NEVER, is_ahead
from eventstore.streams import fold_listening

DeviceName = Annotated[str, meta("The device's name; empty if it has none.", max_length=LONGEST_CAPTION)]


class HeardEntry(Struct):
    """`seconds` of listening on a device since `starts_at`, up to `position` at the time `at`; `seconds` is 0
    and `starts_at` is left out if the device only reported that position. `finished_at`: when it first
    reached the end."""

    device: DeviceName
    at: Time
    position: Position
    seconds: Seconds = 0
    starts_at: Time | None = None
    finished_at: Time | None = None

    def errors(self) -> Iterator[FieldError]:
        if is_ahead(self.at, now()):
            yield FieldError("out_of_range", "It has not happened yet.", "at")
        if (self.starts_at is None) is not (self.seconds == 0):
            yield FieldError("required", "Give it where something was heard, and only there.", "starts_at")
        elif self.starts_at is not None:
            yield from self._errors_of_time(self.starts_at)

    def _errors_of_time(self, starts_at: datetime) -> Iterator[FieldError]:
        passed = (self.at - starts_at).total_seconds()
        if passed <= 0:
            yield FieldError("reversed", "It begins after its end.", "starts_at")
        elif self.seconds > FASTEST * passed:
            yield FieldError("too_many", f"At most {FASTEST:.0f} times what the clock went on.", "seconds")


class ListeningEntry(NamedEpisode, kw_only=True):
    """An episode, and all that was listened of it. It is never shown to others."""

    rss_source_feed: Feed
    heard: list[HeardEntry]


def exported(user_id: UUID) -> list[ListeningEntry]:
    """Return what the history of a listener says. Raises ``StreamUnreadable``."""
    entries = [
        ListeningEntry(
            rss_source_feed=one.rss_source_feed,
            rss_source_item=one.rss_source_item,
            heard=[HeardEntry(**structs.asdict(heard)) for heard in one.heard],
        )
        for one in _known(user_id)
    ]
    show_episodes(entries)
    return entries


def import_of(entries: Iterable[ListeningEntry], user_id: UUID, at: datetime) -> ImportListening:
    """Return the command that imports what is not known yet. Raises ``StreamUnreadable``."""
    entries = list(entries)
    known = {_key(one): one.heard for one in _known(user_id)} if entries else {}
    new = []
    for entry in entries:
        heard = (Heard(**structs.asdict(one)) for one in entry.heard)
        assert entry.rss_source_item is not None  # ensured by the parser
        of = EpisodeHeard(entry.rss_source_feed, entry.rss_source_item, ())
        left = tuple(lacking(heard, known.get(_key(of), ())))
        if left:
            new.append(structs.replace(of, heard=left))
    return ImportListening(user_id=user_id, now=at, listening=tuple(new))


def _known(user_id: UUID) -> tuple[EpisodeHeard, ...]:
    stream = log.known_stream(user_id)
    return () if stream is None else fold_listening(stream, NEVER)


def _key(of: EpisodeHeard) -> str:
    return episode_key(of.rss_source_feed, of.rss_source_item)
