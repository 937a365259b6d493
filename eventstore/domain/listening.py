"""Listening: how many seconds somebody really heard, from the positions that devices report.

A device reports now and then how far it has come in an episode. What lies between two such positions was
heard, if the clock allows it; where a device reports the range that it played, that range was heard. Of two
devices that play at once, the one that plays faster counts. Everything here is a function of what was
reported, whenever it arrived.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import pairwise
from operator import itemgetter
from typing import Final, NamedTuple, TypeAlias

import msgspec

from eventstore.domain.messages import Command, Event
from eventstore.domain.plays import PlayRecorded, PositionUpdated

# nobody hears more than this many seconds of an episode in a second
FASTEST: Final = 3.0
SLOWEST: Final = 0.5
# a longer step is not listening: a device came back after a long time, or its positions are those of another
# file
LONGEST_STEP: Final = 6 * 3600
# A break of up to this length counts as part of the listening around it, so that an hour of listening is one
# row of a checkpoint and not 240.
BREAK: Final = timedelta(seconds=60)
# no device reported podcasts before this: an earlier time comes from a broken clock
FIRST: Final = datetime(2000, 1, 1, tzinfo=UTC)
# The spans of time for which a device's listening is known, each with its start and its end: the later a span
# starts, the later it ends.
_Reached: TypeAlias = list[tuple[datetime, datetime]]
replace = msgspec.structs.replace


class Heard(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a device reported up to ``at``, as it was counted: ``seconds`` heard since ``starts_at``, up to
    ``position``. ``finished_at``: when it first reached the end of the episode in that time."""

    device: str
    at: datetime
    position: int
    seconds: int = 0
    starts_at: datetime | None = None
    finished_at: datetime | None = None


class EpisodeHeard(msgspec.Struct, frozen=True, gc=False):
    """All that was heard of an episode, in order of time."""

    rss_source_feed: str
    rss_source_item: str
    heard: tuple[Heard, ...]


class Place(msgspec.Struct, frozen=True, gc=False):
    """A position that a device reported, and the ``seconds`` that are counted for it. ``starts_at``: when the
    listening that led to it began, without breaks longer than ``BREAK``. ``settled``: whether it comes from a
    checkpoint or an import, and stays as it was counted."""

    device: str
    at: datetime
    position: int
    started: int | None = None
    speed: float | None = None
    played: bool = False
    seconds: int = 0
    starts_at: datetime | None = None
    finished_at: datetime | None = None
    settled: bool = False

    @property
    def key(self) -> tuple[datetime, str]:
        """Time and device: an episode has one position for each."""
        return self.at, self.device


class Before(NamedTuple):
    """What was reported of an episode before: the ``last`` position of all, and for each device its ``own``
    last position and the last one up to which something was ``heard``."""

    own: dict[str, Place] = {}
    heard: dict[str, Place] = {}
    last: Place | None = None


NOTHING_BEFORE: Final = Before()


class ImportListening(Command, frozen=True, kw_only=True):
    """Imports what was counted elsewhere (an export): ``listening``, without what is known here already."""

    listening: tuple[EpisodeHeard, ...]


class ListeningImported(Event, frozen=True, kw_only=True, gc=False):
    listening: tuple[EpisodeHeard, ...]
    imported_at: datetime


class Span(NamedTuple):
    """``seconds`` of an episode heard between two times."""

    starts_at: datetime
    ends_at: datetime
    seconds: float
    feed: str
    episode: str
    device: str

    @property
    def rate(self) -> float:
        return self.seconds / (self.ends_at - self.starts_at).total_seconds()


def bring(command: ImportListening) -> list[Event]:
    """Return the event of an import; none where nothing is new."""
    if not command.listening:
        return []
    imported = ListeningImported(
        user_id=command.user_id, listening=command.listening, imported_at=command.now
    )
    return [imported]


def place_of(event: PlayRecorded | PositionUpdated, device: str) -> Place:
    """Return the position that an event reports. ``device``: the sender, used where the event itself names no
    device."""
    if isinstance(event, PositionUpdated):
        return Place(device, event.updated_at, event.position, speed=event.speed, played=event.played)
    at, named = event.played_at, event.device or device
    return Place(named, at, event.position, event.started, event.speed, event.played)


def recount(places: Iterable[Place], before: Before = NOTHING_BEFORE) -> list[Place]:
    """Return the positions of an episode in order of time, each with what is counted for it: all of them, or
    those that follow what was reported ``before``."""
    own, heard, last = dict(before.own), dict(before.heard), before.last
    counted: list[Place] = []
    for place in sorted(places, key=lambda place: place.key):
        last = _count(place, own.get(place.device), heard.get(place.device), last)
        own[place.device] = last
        if last.seconds:
            heard[place.device] = last
        counted.append(last)
    return counted


def greater(one: Place, other: Place) -> Place:
    """Return which of two positions of one device and time counts; one that was counted already stays."""
    return max(one, other, key=_rank)


def compress(places: Sequence[Place], before: datetime) -> tuple[Heard, ...]:
    """Return what a checkpoint keeps of the positions of an episode, counted and in order: what was heard,
    and the position from which each device continues, unless the device heard nothing and reported it before
    ``before``."""
    newest = {place.device: place for place in places}
    listened = {place.device for place in places if place.seconds}
    kept: dict[tuple[str, datetime], Heard] = {}
    for place in places:
        heard = Heard(*(getattr(place, name) for name in Heard.__struct_fields__))
        if place.starts_at is not None:
            key = place.device, place.starts_at
            kept[key] = _joined(kept.get(key), heard)
        elif newest[place.device] is place and (place.at >= before or place.device in listened):
            kept[place.device, place.at] = heard
    return tuple(sorted(kept.values(), key=lambda heard: (heard.at, heard.device)))


def settled(heard: Iterable[Heard]) -> Iterator[Place]:
    """Yield the positions that a checkpoint or an import stands for."""
    for one in heard:
        yield Place(**msgspec.structs.asdict(one), settled=True)


def lacking(heard: Iterable[Heard], known: Iterable[Heard]) -> Iterator[Heard]:
    """Yield the listening to an episode that is not known yet; where it continues beyond what is known, only
    the rest."""
    every: set[Heard] = set()
    reached: dict[str, _Reached] = {}
    for one in known:
        every.add(one)
        _reach(reached.setdefault(one.device, []), one)
    for one in heard:
        own = reached.setdefault(one.device, [])
        left = one if one.starts_at is None else _without(one, own)
        if left is not None and left not in every:
            every.add(left)
            _reach(own, left)
            yield left


def counted_once(spans: Iterable[Span]) -> Iterator[Span]:
    """Yield the same listening without overlaps: where several play at once, only the fastest of them."""
    cluster: list[Span] = []
    end = datetime.min.replace(tzinfo=UTC)
    for span in sorted(spans):
        if span.starts_at >= end and cluster:
            yield from _without_overlaps(cluster)
            cluster = []
        cluster.append(span)
        end = max(end, span.ends_at)
    yield from _without_overlaps(cluster)


def _rank(of: Place) -> tuple[float, ...]:
    reported = of.position, of.played, -1 if of.started is None else of.started, of.speed or 0.0
    return of.settled, of.seconds if of.settled else 0, *reported


def _count(place: Place, own: Place | None, heard: Place | None, last: Place | None) -> Place:
    if place.settled:
        return place
    seconds = _seconds(place, own, last) if place.at >= FIRST else 0
    if not seconds:
        return replace(place, seconds=0, starts_at=None, finished_at=None)
    starts_at = place.at - timedelta(seconds=seconds / _rate_of(place))
    if own is not None:
        starts_at = max(starts_at, own.at)
    if heard is not None and starts_at - heard.at <= BREAK:
        assert heard.starts_at is not None
        starts_at = heard.starts_at
    finished_at = place.at if place.played else None
    return replace(place, seconds=seconds, starts_at=starts_at, finished_at=finished_at)


def _seconds(place: Place, own: Place | None, last: Place | None) -> int:
    """Return the seconds to count for a position. ``own``: the position that the device reported before;
    ``last``: the last one that any device reported."""
    passed = None if own is None else (place.at - own.at).total_seconds()
    if place.started is not None:
        step = place.position - _begun(place, own)
        step = step if passed is None else min(step, int(FASTEST * passed))
        return step if 0 < step <= LONGEST_STEP else 0
    if own is None or passed is None or _is_taken_over(place, last):
        return 0
    step = place.position - own.position
    return step if 0 < step <= min(LONGEST_STEP, FASTEST * passed) else 0


def _begun(place: Place, own: Place | None) -> int:
    """Return the position where listening began after the last report: some apps report the same start again
    and again."""
    assert place.started is not None
    if own is None or not place.started < own.position < place.position:
        return place.started
    heard_for = timedelta(seconds=min(place.position - place.started, LONGEST_STEP) / _rate_of(place))
    return own.position if place.at - heard_for < own.at else place.started


def _is_taken_over(place: Place, last: Place | None) -> bool:
    """Whether a device repeats the position that another one had reported, for which nothing was heard."""
    return last is not None and last.device != place.device and last.position == place.position


def _rate_of(place: Place) -> float:
    return min(max(place.speed or 1.0, SLOWEST), FASTEST)


def _reach(reached: _Reached, heard: Heard) -> None:
    if heard.starts_at is None:
        return
    place = bisect_right(reached, heard.starts_at, key=itemgetter(0))
    if place and reached[place - 1][1] >= heard.at:
        return
    first = place - 1 if place and reached[place - 1][0] == heard.starts_at else place
    while place < len(reached) and reached[place][1] <= heard.at:
        place += 1
    reached[first:place] = [(heard.starts_at, heard.at)]


def _without(heard: Heard, reached: _Reached) -> Heard | None:
    """Return the part of ``heard`` after the known listening that covers its beginning; None where nothing is
    left."""
    assert heard.starts_at is not None
    starts_at = heard.starts_at
    # one known span may end within the next; of one device, two that start at the same time are the same
    # listening
    while place := bisect_right(reached, starts_at, key=itemgetter(0)):
        end = reached[place - 1][1]
        if end <= starts_at:
            break
        if end >= heard.at:
            return None
        starts_at = end
    seconds = heard.seconds * (heard.at - starts_at) // (heard.at - heard.starts_at)
    return replace(heard, starts_at=starts_at, seconds=seconds)


def _joined(known: Heard | None, heard: Heard) -> Heard:
    if known is None:
        return heard
    seconds, finished_at = known.seconds + heard.seconds, known.finished_at or heard.finished_at
    return replace(heard, seconds=seconds, finished_at=finished_at)


def _without_overlaps(cluster: Sequence[Span]) -> Iterator[Span]:
    """Yield, between each start or end and the next, the fastest of the spans that play then. A heap holds
    the spans that play, the fastest first; those that have ended are removed when they reach its top."""
    if len(cluster) < 2:
        yield from cluster
        return
    fastest = sorted(cluster, key=lambda span: (span.rate, span.device, span.episode), reverse=True)
    beginning = sorted(range(len(fastest)), key=lambda place: fastest[place].starts_at, reverse=True)
    playing: list[int] = []
    for start, end in pairwise(sorted({time for span in cluster for time in (span.starts_at, span.ends_at)})):
        while beginning and fastest[beginning[-1]].starts_at <= start:
            heappush(playing, beginning.pop())
        while playing and fastest[playing[0]].ends_at <= start:
            heappop(playing)
        if playing:
            span = fastest[playing[0]]
            seconds = span.rate * (end - start).total_seconds()
            yield span._replace(starts_at=start, ends_at=end, seconds=seconds)
