"""Plays: how far each episode was heard.

There is one status per episode. Of two statuses the later wins, or on equal times the one with the further
position; the other fields only make the order total, so that merging never depends on which comes first.
"""

from collections.abc import Mapping, MutableMapping
from datetime import datetime
from typing import Annotated, TypeAlias, assert_never

import msgspec

from eventstore.domain import times
from eventstore.domain.errors import DomainError
from eventstore.domain.fields import EPISODE_KEY, FEED, ITEM, episode_named
from eventstore.domain.identifiers import episode_key
from eventstore.domain.messages import Event, Order
from eventstore.domain.registers import LastWriter
from eventstore.domain.topic import Topic


class RecordPlay(Order, frozen=True, kw_only=True):
    """Records a play. ``position`` in whole seconds, ``speed`` as a factor; ``started``: the position where
    playing began, ``total``: the length of the file by the player, ``duration``: its length by the feed.

    Where position and played are None, they stay as they are known, or else are 0 and false, and the speed
    stays as well. Where only played is None, it is true if the position is near the end, and otherwise stays
    as it is known. A status that is newer than ``unless_since`` is left alone.
    """

    feed: str
    item: str
    position: int | None
    played: bool | None
    speed: float | None = None
    unless_since: datetime | None = None
    started: int | None = None
    total: int | None = None
    duration: int | None = None
    device: str | None = None


class UpdatePosition(Order, frozen=True, kw_only=True):
    """``feed`` is needed only for an item that is not known yet, or is known in several feeds. Without a
    speed, the known one stays."""

    item: str
    position: int
    speed: float | None = None
    feed: str | None = None


class PlayRecorded(Event, frozen=True, kw_only=True, gc=False):
    """``claimed_at``: the client's own time, where it was too far ahead and was replaced by the server's.
    ``device``: given where the app names one for each play. ``is_undo``: whether it restores an earlier
    status, so that nobody has played anything."""

    rss_source_feed: str
    rss_source_item: str
    position: int
    played: bool
    speed: float | None = None
    started: int | None = None
    total: int | None = None
    device: str | None = None
    is_undo: bool = False
    played_at: datetime
    claimed_at: datetime | None = None


class PositionUpdated(Event, frozen=True, kw_only=True, gc=False):
    """Carries ``played`` as it was, so that the fold compares whole statuses."""

    rss_source_feed: str
    rss_source_item: str
    position: int
    played: bool
    speed: float | None = None
    updated_at: datetime
    claimed_at: datetime | None = None


# An episode counts as played to the end when at most this many seconds are left, or when this part was
# played.
CREDITS = 30
ALMOST = 0.95

PlayCommand: TypeAlias = RecordPlay | UpdatePosition


class PlayStatus(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    feed: str
    item: str
    position: int
    played: bool
    updated_at: datetime
    speed: float | None = None
    started: int | None = None
    total: int | None = None
    skewed: times.Skewed = ()
    facts: times.Facts = ()


class PlayEntry(msgspec.Struct, frozen=True, gc=False):
    """An episode as a device knows it. The later time decides; on equal times the further position."""

    rss_source_feed: str
    rss_source_item: str
    position: int
    played: bool
    updated_at: datetime
    speed: float | None = None
    started: int | None = None
    total: int | None = None
    guid: str | None = None
    enclosure_url: str | None = None


REGISTER = LastWriter(
    PlayStatus,
    PlayEntry,
    key=EPISODE_KEY,
    names={"feed": FEED, "item": ITEM},
    time="updated_at",
    by=("position", "played", "item", "speed", "started", "total"),
    shown=("position", "played", "speed"),
    distinguishing=("position", "started", "total"),
    nothing={"position": 0, "played": False, "speed": None, "started": None, "total": None},
    events={PlayRecorded: {"updated_at": "played_at"}, PositionUpdated: {}},
    tie="further_position_wins_a_tie",
)


def decide(entries: Mapping[str, PlayStatus], command: PlayCommand) -> list[Event]:
    """Record every play and position, even one that is older than the status; only a repeat is not recorded.

    Raises ``DomainError`` ``feed_required`` for the position of an unknown item without its feed.
    """
    if command.feed is None:
        raise DomainError("feed_required", "This episode has no earlier play: give rss_source_feed.")
    key = episode_key(command.feed, command.item)
    known = entries.get(key)
    started, total = getattr(command, "started", None), getattr(command, "total", None)
    accepted = REGISTER.accept(known, command)
    if accepted.at is None:
        accepted = REGISTER.accept_other(known, command, (command.position, started, total))
    if accepted.at is None:
        return []
    match command:
        case RecordPlay():
            if known and command.unless_since and known.updated_at > command.unless_since:
                return []
            event: type[Event] = PlayRecorded
            position, played, speed = _played(known, command)
        case UpdatePosition():
            event, position = PositionUpdated, command.position
            played, speed = _as_it_was(known, command)
        case _:
            assert_never(command)
    status = PlayStatus(
        command.feed, command.item, position, played, accepted.at, speed, started=started, total=total
    )
    if known is not None and _is_repeat(known, status, command, accepted.skewed):
        return []
    device = getattr(command, "device", None)
    more = {} if device is None else {"device": device}
    return REGISTER.record(event, command, key, status, accepted.skewed, **more)


def _played(known: PlayStatus | None, command: RecordPlay) -> tuple[int, bool, float | None]:
    """Return position, played and speed; they stay as they are known where the player gives none."""
    if command.position is None:
        return (0, False, None) if known is None else (known.position, known.played, known.speed)
    played = _is_finished(known, command) if command.played is None else command.played
    return command.position, played, command.speed


def _is_finished(known: PlayStatus | None, command: RecordPlay) -> bool:
    """Whether a position is near the end. An episode that was played stays so, unless it is started from the
    beginning again."""
    assert command.position is not None
    if command.position == 0 and command.started == 0:
        return False
    return _is_near_end(command) or (known is not None and known.played)


def _is_near_end(command: RecordPlay) -> bool:
    length = command.total or command.duration
    if not length or command.position is None:
        return False
    return command.position >= length - CREDITS or command.position >= length * ALMOST


def is_finishing(command: RecordPlay) -> bool:
    """Whether the command itself says that the episode was heard to the end, rather than keeping that it once
    was."""
    if command.position is None:
        return False
    return _is_near_end(command) if command.played is None else command.played


def _as_it_was(known: PlayStatus | None, command: UpdatePosition) -> tuple[bool, float | None]:
    """Return what a new position leaves unchanged: whether the episode was played, and the speed."""
    if known is None:
        return False, command.speed
    return known.played, known.speed if command.speed is None else command.speed


def _is_repeat(known: PlayStatus, status: PlayStatus, command: PlayCommand, skewed: datetime | None) -> bool:
    if skewed is None and REGISTER.is_repeat(known, status):
        return True
    if status.item != known.item:
        return False
    if command.at is None and known.updated_at >= command.now and REGISTER.has_same_values(status, known):
        return True  # the same action, decided again
    # a replaced time is recorded even where it loses, so that it is recognised when it is sent again
    same = REGISTER.has_same_values(status, known) and (status.started, status.total) == (
        known.started,
        known.total,
    )
    return skewed is None and same and status.updated_at == known.updated_at


TOPIC = Topic(
    name="plays",
    plural="play_statuses",
    kind="play_status",
    register=REGISTER,
    commands={RecordPlay: decide, UpdatePosition: decide},
    keys=episode_named,
)
Plays: TypeAlias = Annotated[MutableMapping[str, PlayStatus], TOPIC]
