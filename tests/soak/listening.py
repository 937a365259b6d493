"""Listening as people do it: starting, continuing, pausing, jumping, changing the device, hearing two at
once, offline or online.

A day's listening is placed in the hours before it is reported, as nobody can hear an hour in a second of a
soak. What was really heard is kept beside what devices reported, so that the statistics can be compared with
both.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise, product
from random import Random
from typing import NamedTuple

from tests.soak.device import Device
from tests.soak.memory import Json
from tests.soak.world import Episode, url_safe

LENGTH = 3_600
SPEEDS = (None, 1.0, 1.5)
# seconds
STRETCHES = (20, 60, 300, 900, 1_500)
PAUSES = (45, 600, 3_600)
JUMPS = (-600, -30, 30, 300)
# how long before the time of the report a day's listening begins, and how long before it ends
WAKES, SLEEPS = timedelta(hours=20), timedelta(hours=4)
# by how much the server lets a clock be ahead
TOLERANCE = timedelta(minutes=5)
FASTEST = 3
BREAK = timedelta(minutes=1)
LONGEST_STEP = 6 * 3600
# a checkpoint leaves out older positions at which nothing was heard
FORGOTTEN = timedelta(days=45)


class Stretch(NamedTuple):
    """Listening without a break, in times of the device's clock."""

    starts_at: datetime
    ends_at: datetime
    rate: float

    @property
    def seconds(self) -> float:
        return self.rate * (self.ends_at - self.starts_at).total_seconds()


@dataclass(eq=False)
class Report:
    """A position that a device reported.

    ``heard`` is what was heard since the position reported before; ``lost`` is what was heard before that and
    never reported, as a sync reports only the newest position. ``started`` is where the device says that it
    began to play, and ``rate`` how fast it played. ``by_sync``: a sync reports it, so it is left out if
    something later was known. ``reached`` is when it was sent and when it was answered, by the soak's clock;
    None if it never was.
    """

    device: Device
    episode: Episode
    at: datetime
    position: int
    heard: tuple[Stretch, ...]
    is_ahead: bool
    rate: float = 1.0
    by_sync: bool = False
    started: int | None = None
    lost: tuple[Stretch, ...] = ()
    reached: tuple[datetime, datetime] | None = None

    @property
    def seconds(self) -> float:
        return sum(one.seconds for one in self.heard)

    @property
    def placed(self) -> tuple[Stretch, ...]:
        """When the rules place what was heard: stretches that a sync reports as one are placed without
        pauses, up to its time."""
        if not self.by_sync or not self.heard:
            return self.heard
        return (Stretch(self.at - timedelta(seconds=self.seconds / self.rate), self.at, self.rate),)


@dataclass
class Playing:
    device: Device
    episode: Episode
    position: int
    speed: float | None

    @property
    def rate(self) -> float:
        return self.speed or 1.0


@dataclass
class Sums:
    """Seconds by podcast: what was ``heard``, and by how much the rules may be wrong about it (``error``),
    which ``causes`` splits by cause."""

    heard: Counter[str] = field(default_factory=Counter)
    error: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    # while two devices played at once, it is not defined for which podcast the time counts
    at_once: Counter[str] = field(default_factory=Counter)

    def explain(self, cause: str, report: Report, seconds: float) -> None:
        self.error[report.episode.feed] += round(seconds)
        self.causes[cause] += round(seconds)


class ListeningLog:
    """What a listener plays, and all positions that were reported. ``checkpoints`` are the times
    at which the server wrote a checkpoint for the listener."""

    def __init__(self, devices: list[Device], rng: Random) -> None:
        self.devices, self.rng = devices, rng
        self.playing: Playing | None = None
        self.reports: list[Report] = []
        self.removed: set[str] = set()
        self.checkpoints: set[datetime] = set()
        self._moment = datetime.min.replace(tzinfo=UTC)
        self._places: dict[tuple[Device, Episode], tuple[datetime, int]] = {}

    def listen(self, device: Device, episode: Episode, *, online: bool) -> None:
        """Do something that a person does with a player."""
        now = device.clock.now()
        self._moment = max(self._moment, now - WAKES)
        if self._moment > now - SLEEPS:
            return
        if self.playing is None or self.playing.device is not device:
            self._begin(device, episode, online)
            return
        (do,) = self.rng.choices((self._go_on, self._pause, self._jump, self._beside), (5, 2, 2, 1))
        do(self.playing, episode, online)

    def remove(self, feed: str) -> None:
        """Note that a feed has left the history for good."""
        self.removed.add(feed)
        if self.playing is not None and self.playing.episode.feed == feed:
            self.playing = None

    def _begin(self, device: Device, episode: Episode, online: bool) -> None:
        """Begin another episode, or continue on this device the one that played on another."""
        if self.playing is not None and self.rng.random() < 0.6:
            episode = self.playing.episode
        self._moment += timedelta(seconds=30)
        self.playing = Playing(device, episode, self._place(device, episode), self.rng.choice(SPEEDS))
        self._tell(self.playing, online)

    def _go_on(self, playing: Playing, _: Episode, online: bool) -> None:
        self._tell(playing, online, self._hear(playing))
        if playing.position == LENGTH:
            self.playing = None

    def _pause(self, playing: Playing, episode: Episode, online: bool) -> None:
        """Pause and continue. Some players report where they continue, and some do not."""
        self._moment += timedelta(seconds=self.rng.choice(PAUSES))
        if self.rng.random() < 0.5:
            self._tell(playing, online)
        self._go_on(playing, episode, online)

    def _jump(self, playing: Playing, episode: Episode, online: bool) -> None:
        self._moment += timedelta(seconds=2)
        playing.position = min(max(playing.position + self.rng.choice(JUMPS), 0), LENGTH - 2)
        if self.rng.random() < 0.7:
            self._tell(playing, online)
        self._go_on(playing, episode, online)

    def _beside(self, playing: Playing, episode: Episode, online: bool) -> None:
        """Let somebody else hear something on another device at the same time."""
        device = self.rng.choice([one for one in self.devices if one is not playing.device])
        self._moment += timedelta(seconds=1)
        beside = Playing(device, episode, self._place(device, episode), 1.0)
        if beside.episode == playing.episode:
            return
        self._tell(beside, online=False)
        heard = self._hear(playing)
        long = min(heard.ends_at - heard.starts_at, timedelta(seconds=LENGTH - beside.position))
        begun = self._moment - (heard.ends_at - heard.starts_at)
        ended, self._moment = self._moment, begun + timedelta(seconds=long // timedelta(seconds=1))
        error = device.error
        beside.position += (self._moment - begun) // timedelta(seconds=1)
        self._tell(beside, False, Stretch(begun + error, self._moment + error, 1.0))
        self._moment = ended
        self._tell(playing, online, heard)
        if playing.position == LENGTH:
            self.playing = None

    def _place(self, device: Device, episode: Episode) -> int:
        """Return where a device continues an episode, by what it played and by what the server sent."""
        known = [self._places[device, episode]] if (device, episode) in self._places else []
        known += [
            (datetime.fromisoformat(entry["updated_at"]), entry["position"])
            for entry in device.memory.of("play_statuses").values()
            if (entry["rss_source_feed"], entry["rss_source_item"]) == episode
        ]
        position = max(known)[1] if known else 0
        return position if position < LENGTH - 60 else 0

    def _hear(self, playing: Playing) -> Stretch:
        long = self.rng.choice(STRETCHES)
        seconds = min(int(long * playing.rate), LENGTH - playing.position)
        playing.position += seconds
        begun = self._moment + playing.device.error
        self._moment += timedelta(seconds=seconds / playing.rate)
        return Stretch(begun, self._moment + playing.device.error, playing.rate)

    def _tell(self, playing: Playing, online: bool, *heard: Stretch) -> None:
        device, at = playing.device, self._moment + playing.device.error
        is_ahead = at > device.clock.now() + TOLERANCE
        report = Report(device, playing.episode, at, playing.position, heard, is_ahead, playing.rate)
        self.reports.append(report)
        self._places[device, playing.episode] = at, playing.position
        played = playing.position == LENGTH
        if online:
            self._ask(report, playing, played)
        elif device.queues_plays:
            device.later.append((_body(report, playing, played), report))
        else:
            self._leave_for_sync(report, playing, played)

    def _ask(self, report: Report, playing: Playing, played: bool) -> None:
        body = _body(report, playing, played)
        if not played and report.heard and self.rng.random() < 0.3:
            body["updated_at"] = body.pop("played_at")
            path = f"/api/v1/plays/{url_safe(body.pop('rss_source_item'))}/position"
            report.device.tell([report], "PUT", path, body)
        else:
            report.device.tell([report], "POST", "/api/v1/plays", body)

    def _leave_for_sync(self, report: Report, playing: Playing, played: bool) -> None:
        """Leave a position for the next sync, with where playing began; the server never sees what the device
        left before in the same payload."""
        device, key = report.device, playing.episode.item
        report.by_sync = True
        report.started = report.position - round(report.seconds)
        before = device.unsynced.get(key)
        if before is not None and before.episode == report.episode:
            report.lost = before.lost
            assert before.started is not None
            if report.started == before.position:
                report.started, report.heard = before.started, (*before.heard, *report.heard)
            else:
                report.lost += before.heard
        device.unsynced[key] = report
        entry = _body(report, playing, played) | {
            "started": report.started,
            "updated_at": report.at.isoformat(),
        }
        del entry["played_at"]
        device.act("play_statuses", entry)

    def sums(self) -> Sums:
        """Return the sums by podcast, without removed feeds."""
        reports = sorted((one for one in self.reports if one.reached), key=lambda one: one.at)
        sums = Sums()
        _add_heard(sums, reports, self.removed)
        by_episode: dict[Episode, list[Report]] = defaultdict(list)
        for one in reports:
            by_episode[one.episode].append(one)
        for places in by_episode.values():
            _explain(sums, places, self.checkpoints)
        for feed in self.removed:
            for sum_ in (sums.heard, sums.error, sums.at_once):
                sum_.pop(feed, None)
        return sums


def _body(report: Report, playing: Playing, played: bool) -> Json:
    feed, item = report.episode
    body: Json = {"rss_source_feed": feed, "rss_source_item": item, "position": report.position}
    return body | {"played": played, "speed": playing.speed, "played_at": report.at.isoformat()}


def _add_heard(sums: Sums, reports: list[Report], removed: set[str]) -> None:
    """Add what was heard. Two at once count once, and the faster one counts."""
    heard = [(one, stretch) for one in reports for stretch in (*one.lost, *one.heard)]
    kept = [(one, stretch) for one, stretch in heard if one.episode.feed not in removed]
    for start, end, playing in _moments(kept):
        rate, feed = max((stretch.rate, one.episode.feed) for one, stretch in playing)
        seconds = rate * (end - start).total_seconds()
        sums.heard[feed] += seconds  # type: ignore[assignment]
        if len(playing) > 1:
            for one, _ in playing:
                sums.at_once[one.episode.feed] += seconds  # type: ignore[assignment]
    placed = [(one, stretch) for one in reports for stretch in one.placed]
    for one in reports:
        if one.placed == one.heard:
            continue
        # it is not at once with what was heard then, and seems to be with others
        for of, stretches in ((heard, one.heard), (placed, one.placed)):
            for other, seconds in _beside(one, stretches, of):
                sums.explain("reported by a sync as one", one, seconds)
                sums.at_once[other.episode.feed] += round(seconds)
    for one, start, end in _breaks(kept):
        # a short break counts for what is heard around it, and hides what another device played in it
        for other, stretch in kept:
            within = (min(end, stretch.ends_at) - max(start, stretch.starts_at)).total_seconds()
            if within > 0:
                sums.explain("in a short break of another", other, stretch.rate * within)
                sums.at_once[one.episode.feed] += round(FASTEST * within)
    if removed:
        # devices that have not heard of the removal may report the feed again
        for start, end, playing in _moments(heard):
            gone = [one for one, _ in playing if one.episode.feed in removed]
            for one, stretch in playing if gone else ():
                sums.explain("removed", one, stretch.rate * (end - start).total_seconds())


def _beside(
    report: Report, stretches: Iterable[Stretch], of: Iterable[tuple[Report, Stretch]]
) -> Iterator[tuple[Report, float]]:
    """What else was told of the same time, with the seconds by which two are more than one of them."""
    for mine, (one, stretch) in product(stretches, of):
        within = (min(mine.ends_at, stretch.ends_at) - max(mine.starts_at, stretch.starts_at)).total_seconds()
        if one is not report and within > 0:
            yield one, min(mine.rate, stretch.rate) * within


def _breaks(heard: Iterable[tuple[Report, Stretch]]) -> Iterator[tuple[Report, datetime, datetime]]:
    """Yield the short breaks between two stretches of an episode on the same device."""
    of_player: dict[tuple[Device, Episode], list[tuple[Stretch, Report]]] = defaultdict(list)
    for one, stretch in heard:
        of_player[one.device, one.episode].append((stretch, one))
    for stretches in of_player.values():
        for (before, one), (after, _) in pairwise(sorted(stretches, key=lambda each: each[0])):
            if timedelta() < after.starts_at - before.ends_at <= BREAK:
                yield one, before.ends_at, after.starts_at


def _moments(
    heard: list[tuple[Report, Stretch]],
) -> Iterator[tuple[datetime, datetime, list[tuple[Report, Stretch]]]]:
    """Yield each interval from one start or end to the next, with what plays in it."""
    times = sorted({time for _, stretch in heard for time in stretch[:2]})
    for start, end in pairwise(times):
        playing = [each for each in heard if each[1].starts_at <= start and end <= each[1].ends_at]
        if playing:
            yield start, end, playing


def _explain(sums: Sums, places: list[Report], checkpoints: Iterable[datetime]) -> None:
    """By how much the rules may be wrong in an episode, given the places in order of their times.

    The rules take the step between two places of a device for what was heard, where the clock allows it: that
    is wrong where it jumped untold, and where others had gone on meanwhile. What a sync told is left out
    where something later was known already. Where a checkpoint has forgotten the place from which a device
    goes on, the step from there is not known.
    """
    before: dict[Device, Report] = {}
    listened: set[Device] = set()
    last: Report | None = None
    for place in places:
        sums.explain("never reported", place, sum(one.seconds for one in place.lost))
        is_kept = _is_kept(place, places)
        if is_kept is False:
            sums.explain("older than what a sync found", place, place.seconds)
            continue
        own = before.get(place.device)
        counted = _counted(place, own, last)
        is_unsure = is_kept is None or any(
            one.is_ahead or _is_kept(one, places) is None for one in places if one is not place
        )
        if place.is_ahead:
            sums.explain("a clock that is ahead", place, max(place.seconds, counted))
        elif is_unsure:
            sums.explain("in whatever order it came", place, max(place.seconds, counted))
        elif place.device not in listened and _may_be_forgotten(own, place, checkpoints):
            unknown = abs(_counted(place, None, last) - place.seconds)
            sums.explain("a place forgotten", place, max(abs(counted - place.seconds), unknown))
        else:
            sums.explain("steps that were no listening", place, abs(counted - place.seconds))
            # of what is known to have been heard, a checkpoint forgets nothing
            if counted:
                listened.add(place.device)
        before[place.device] = last = place


def _is_kept(place: Report, places: list[Report]) -> bool | None:
    """Whether a position counted when it arrived; None if that cannot be said because it arrived at the same
    time as another."""
    if not place.by_sync or place.is_ahead:
        return True
    assert place.reached is not None
    later = [one for one in places if (one.is_ahead or one.at > place.at) and one.reached]
    if any(one.reached[1] <= place.reached[0] for one in later if one.reached):
        return False
    return None if any(one.reached[0] <= place.reached[1] for one in later if one.reached) else True


def _may_be_forgotten(own: Report | None, place: Report, checkpoints: Iterable[datetime]) -> bool:
    """Whether a checkpoint between the two may have left out a place so old, where nothing was heard."""
    if own is None:
        return False
    assert own.reached is not None
    assert place.reached is not None
    sent, answered, forgets = own.reached[0], place.reached[1], own.at + FORGOTTEN
    return any(max(sent, forgets) <= at <= answered for at in checkpoints)


def _counted(place: Report, own: Report | None, last: Report | None) -> float:
    if place.started is not None:
        return place.position - place.started
    if own is None or (
        last is not None and last.device is not place.device and last.position == place.position
    ):
        return 0
    step, passed = place.position - own.position, (place.at - own.at).total_seconds()
    return step if 0 < step <= min(LONGEST_STEP, FASTEST * passed) else 0
