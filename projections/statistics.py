"""What a listener heard, summed up: by day, podcast, device, and weekday and hour in the listener's time
zone.

Nobody else ever sees it: only the listener can read it, whatever their privacy levels are.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final, Literal, NamedTuple, TypeAlias
from uuid import UUID

from eventstore.domain.listening import Span, counted_once
from projections.queries import Page, fetch

PROJECTOR: Final = "listening"
DAY: Final = timedelta(days=1)
By: TypeAlias = Literal["day", "podcast", "device", "weekday", "hour"]
_KEYS: Final = {"weekday": [str(n) for n in range(1, 8)], "hour": [str(n) for n in range(24)]}
# seconds; a day with less listening is not part of a streak
ENOUGH: Final = 60
# Listening without a break is one span; spans are read from this long before the days asked for.
LONGEST: Final = timedelta(days=1)
SPANS: Final = """
SELECT greatest(starts_at, %s) AS starts_at, max(at), sum(seconds)::float8, min(rss_source_feed),
       item_key::text, min(device), 1
  FROM "users"."listening"
 WHERE user_id = %s AND seconds > 0 AND at > %s AND starts_at < %s
 GROUP BY item_key, device_key, listening.starts_at
"""
# the first time that each episode was finished
FINISHED: Final = """
SELECT * FROM (
    SELECT DISTINCT ON (item_key) finished_at, rss_source_feed, device, 1 FROM "users"."listening"
     WHERE user_id = %s AND finished_at IS NOT NULL
     ORDER BY item_key, finished_at) AS first
 WHERE finished_at >= %s AND finished_at < %s
"""


class Finished(NamedTuple):
    """An episode that was heard to its end."""

    at: datetime
    feed: str
    device: str


class Streak(NamedTuple):
    """Consecutive days with listening; ``first`` and ``last`` are None if there are none."""

    days: int
    first: date | None = None
    last: date | None = None


class Statistics:
    """Seconds and finished episodes from the day ``first`` to ``last``, both included, in a time ``zone``."""

    def __init__(
        self, spans: Iterable[Span], finished: Iterable[Finished], first: date, last: date, zone: tzinfo
    ) -> None:
        self.first, self.last, self.zone = first, last, zone
        start, end = bounds(first, last, zone)
        self._spans = [span for span in spans if span.ends_at > start and span.starts_at < end]
        self.finished = [one for one in finished if start <= one.at < end]
        self.by_hour: Counter[datetime] = Counter()
        self.by_podcast: Counter[str] = Counter()
        self.by_device: Counter[str] = Counter()
        clock = _Clock(zone)
        for span in counted_once(self._spans):
            for hour, seconds in clock.hours(span, start, end):
                self.by_hour[hour] += seconds  # type: ignore[assignment]  # no whole seconds yet
                self.by_podcast[span.feed] += seconds  # type: ignore[assignment]
                self.by_device[span.device] += seconds  # type: ignore[assignment]

    def since(self, first: date) -> "Statistics":
        """Return the statistics of the days from ``first`` on only."""
        return Statistics(self._spans, self.finished, first, self.last, self.zone)

    @property
    def seconds(self) -> int:
        return round(sum(self.by_hour.values()))

    @property
    def days(self) -> dict[date, int]:
        """Seconds by day, including days without any."""
        found: Counter[date] = Counter()
        for hour, seconds in self.by_hour.items():
            found[hour.date()] += seconds
        return {day: round(found[day]) for day in self.every_day()}

    def at_hours(self) -> dict[tuple[int, int], int]:
        """Return seconds by weekday (0 is Monday) and hour."""
        found: Counter[tuple[int, int]] = Counter()
        for hour, seconds in self.by_hour.items():
            found[hour.weekday(), hour.hour] += seconds
        return {(weekday, hour): round(found[weekday, hour]) for weekday in range(7) for hour in range(24)}

    def seconds_by(self, by: By) -> dict[str, float]:
        """Return seconds by key: all days, weekdays or hours in order, podcasts and devices with the most
        first."""
        if by == "podcast":
            return dict(self.by_podcast.most_common())
        if by == "device":
            return dict(self.by_device.most_common())
        found = dict.fromkeys(_KEYS[by] if by in _KEYS else map(str, self.every_day()), 0.0)
        for hour, seconds in self.by_hour.items():
            found[_key(by, hour)] += seconds
        return found

    def finished_by(self, by: By) -> Counter[str]:
        """Count the finished episodes, by the same keys."""
        if by == "podcast":
            return Counter(one.feed for one in self.finished)
        if by == "device":
            return Counter(one.device for one in self.finished)
        return Counter(_key(by, one.at.astimezone(self.zone)) for one in self.finished)

    def every_day(self) -> Iterator[date]:
        return (self.first + n * DAY for n in range((self.last - self.first).days + 1))

    def streaks(self) -> tuple[Streak, Streak]:
        """Return the longest streak, and the current one, which lasts until the last day or the day before
        it."""
        longest, running = Streak(0), Streak(0)
        for day, seconds in self.days.items():
            if seconds >= ENOUGH:
                running = Streak(running.days + 1, running.first or day, day)
            elif day < self.last:
                running = Streak(0)
            longest = max(longest, running, key=lambda streak: streak.days)
        return longest, running


def statistics(user_id: UUID, first: date, last: date, zone: tzinfo) -> Page[Statistics]:
    """Return what a listener heard from one day to another: one row, with the position that it reflects."""
    start, end = bounds(first, last, zone)
    position, spans = fetch(PROJECTOR, SPANS, "1", [start - LONGEST, user_id, start - LONGEST, end])
    _, finished = fetch(PROJECTOR, FINISHED, "1", [user_id, start, end])
    found = Statistics(
        (Span(*row[:-1]) for row in spans), (Finished(*row[:-1]) for row in finished), first, last, zone
    )
    return Page([found], None, position)


def _key(by: By, local: datetime) -> str:
    match by:
        case "weekday":
            return str(local.isoweekday())
        case "hour":
            return str(local.hour)
    return str(local.date())


def bounds(first: date, last: date, zone: tzinfo) -> tuple[datetime, datetime]:
    """Return the beginning of the first day and the end of the last."""
    start, end = (datetime.combine(day, time(), zone).astimezone(UTC) for day in (first, last + DAY))
    return start, end


class _Clock:
    """The hours of a time zone. It remembers the last one, because spans come in order, and asking the zone
    takes longer than all else that a span costs."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._hour = self._begins = self._ends = datetime.min.replace(tzinfo=UTC)

    def hours(self, span: Span, start: datetime, end: datetime) -> Iterator[tuple[datetime, float]]:
        """Yield the seconds of a span by the hours in which they lie, between two times."""
        rate = span.rate
        moment, until = max(span.starts_at, start), min(span.ends_at, end)
        while moment < until:
            if not self._begins <= moment < self._ends:
                self._turn(moment)
            yield self._hour, rate * (min(self._ends, until) - moment).total_seconds()
            moment = self._ends

    def _turn(self, moment: datetime) -> None:
        """Set the local hour of a moment, without a time zone, and when it ends."""
        local = moment.astimezone(self._zone).replace(tzinfo=None)
        self._hour, self._begins = local.replace(minute=0, second=0, microsecond=0), moment
        self._ends = moment + (self._hour + timedelta(hours=1) - local)
