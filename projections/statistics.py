"""What a listener heard, summed up: by day, podcast, device, and weekday and hour in the listener's time
zone.

Nobody else ever sees it: only the listener can read it, whatever their privacy levels are.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import cached_property
from typing import Any, Final, Literal, NamedTuple, TypeAlias
from uuid import UUID

from eventstore.domain.listening import Span, counted_once
from projections.queries import Page, fetch
from projections.zones import Eras, eras

PROJECTOR: Final = "listening"
DAY: Final = timedelta(days=1)
By: TypeAlias = Literal["day", "podcast", "device", "weekday", "hour"]
_KEYS: Final = {"weekday": [str(n) for n in range(1, 8)], "hour": [str(n) for n in range(24)]}
EPOCH: Final = date(1970, 1, 1)
# seconds; a day with less listening is not part of a streak
ENOUGH: Final = 60
# Listening without a break is one span; spans are read from this long before the days asked for.
LONGEST: Final = timedelta(days=1)
# The seconds of each local hour (since 1970) and of each podcast on each device. Spans that overlap with
# others, or with the edge of an era, come back one by one and are split by ``_hours``. In SQL because 20,000
# spans take four times as long in Python.
HEARD: Final = """
WITH span AS (
SELECT date_part('epoch', greatest(starts_at, %s)) AS begins, date_part('epoch', max(at)) AS ends,
       sum(seconds)::float8 AS seconds, min(rss_source_feed) AS feed, item_key, min(device) AS device
  FROM "users"."listening"
 WHERE user_id = %s AND seconds > 0 AND at > %s AND starts_at < %s
 GROUP BY item_key, device_key, listening.starts_at
), placed AS (
SELECT *, width_bucket(begins, %s::float8[]) AS era, width_bucket(ends, %s::float8[]) AS last_era,
       coalesce(begins < max(ends) OVER (earliest ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), false)
       OR coalesce(ends > lead(begins) OVER earliest, false) AS overlapping
  FROM span WINDOW earliest AS (ORDER BY begins)
), shifted AS (
SELECT *, CASE WHEN era = last_era AND NOT overlapping THEN (%s::float8[])[era] END AS shift
  FROM placed
), local AS MATERIALIZED (
SELECT *, begins + shift AS first, ends + shift AS last,
       floor((begins + shift) / 3600)::int AS hour, ceil((ends + shift) / 3600)::int - 1 AS last_hour
  FROM shifted
), hourly AS (
SELECT hour, seconds FROM local WHERE hour = last_hour
 UNION ALL
SELECT each, seconds / (last - first) * (least(last, (each + 1) * 3600) - greatest(first, each * 3600))
  FROM local CROSS JOIN generate_series(hour, last_hour) AS each WHERE hour < last_hour)
SELECT hour, NULL AS feed, NULL AS device, NULL AS item, NULL::float8 AS begins, NULL::float8 AS ends,
       sum(seconds), 1
  FROM hourly GROUP BY hour
 UNION ALL
SELECT NULL, feed, device, NULL, NULL, NULL, sum(seconds), 1
  FROM local WHERE shift IS NOT NULL GROUP BY feed, device
 UNION ALL
SELECT NULL, feed, device, item_key::text, begins, ends, seconds, 1 FROM local WHERE shift IS NULL
"""
# how often an episode was finished for the first time, by the same local hours, podcasts and devices
FINISHED: Final = """
WITH first AS (
SELECT DISTINCT ON (item_key) date_part('epoch', finished_at) AS at, rss_source_feed AS feed, device
  FROM "users"."listening"
 WHERE user_id = %s AND finished_at IS NOT NULL
 ORDER BY item_key, finished_at
), local AS MATERIALIZED (
SELECT feed, device,
       floor((at + (%s::float8[])[width_bucket(at, %s::float8[])]) / 3600)::int AS hour
  FROM first)
SELECT hour, NULL AS feed, NULL AS device, count(*), 1 FROM local WHERE hour IS NOT NULL GROUP BY hour
 UNION ALL
SELECT NULL, feed, device, count(*), 1 FROM local WHERE hour IS NOT NULL GROUP BY feed, device
"""


def _hour_of_week(hour: int) -> int:
    """Return the hours since Monday; 1970 began on a Thursday."""
    return (hour + 3 * 24) % (7 * 24)


def _day(number: int) -> str:
    """Return a day, counted since 1970."""
    return str(EPOCH + DAY * number)


# by what hours are grouped: from an hour to a number, and from that number to a key
_GROUPS: Final[Mapping[By, tuple[Callable[[int], int], Callable[[int], str]]]] = {
    "day": (lambda hour: hour // 24, _day),
    "weekday": (lambda hour: _hour_of_week(hour) // 24 + 1, str),
    "hour": (lambda hour: hour % 24, str),
}


class Streak(NamedTuple):
    """Consecutive days with listening; ``first`` and ``last`` are None if there are none."""

    days: int
    first: date | None = None
    last: date | None = None


class Sums:
    """Amounts by the hour in local time, counted since 1970, by podcast, and by device."""

    def __init__(self) -> None:
        self.hours: defaultdict[int, float] = defaultdict(float)
        self.feeds: defaultdict[str, float] = defaultdict(float)
        self.devices: defaultdict[str, float] = defaultdict(float)

    def add(self, hour: int | None, feed: str | None, device: str | None, amount: float) -> None:
        """Add an amount; what is None is counted by another call."""
        if hour is not None:
            self.hours[hour] += amount
        if feed is not None and device is not None:
            self.feeds[feed] += amount
            self.devices[device] += amount

    def by(self, by: By) -> Mapping[str, float]:
        """Return the amounts by podcast or device with the most first, or by those days, weekdays or hours
        that have any."""
        if by in ("podcast", "device"):
            found = self.feeds if by == "podcast" else self.devices
            return dict(sorted(found.items(), key=lambda each: (-round(each[1]), each[0])))
        sums: defaultdict[int, float] = defaultdict(float)
        number_of, name_of = _GROUPS[by]
        for hour, amount in self.hours.items():
            sums[number_of(hour)] += amount
        return {name_of(number): amount for number, amount in sums.items()}


class Statistics:
    """Seconds heard and episodes finished from the day ``first`` to ``last``, both included."""

    def __init__(self, heard: Sums, ended: Sums, first: date, last: date) -> None:
        self.heard, self.ended, self.first, self.last = heard, ended, first, last

    @property
    def seconds(self) -> int:
        return round(sum(self.heard.hours.values()))

    @property
    def finished(self) -> int:
        """How many episodes were heard to their end."""
        return int(sum(self.ended.hours.values()))

    @cached_property
    def days(self) -> dict[date, int]:
        """Seconds by day, including days without any."""
        found = self.seconds_by("day")
        return {day: round(found[str(day)]) for day in self.every_day()}

    def at_hours(self) -> dict[tuple[int, int], int]:
        """Return seconds by weekday (0 is Monday) and hour."""
        found: defaultdict[int, float] = defaultdict(float)
        for hour, seconds in self.heard.hours.items():
            found[_hour_of_week(hour)] += seconds
        return {divmod(hour, 24): round(found[hour]) for hour in range(7 * 24)}

    def seconds_by(self, by: By) -> dict[str, float]:
        """Return seconds by key: all days, weekdays or hours in order, podcasts and devices with the most
        first."""
        found = self.heard.by(by)
        if by in ("podcast", "device"):
            return dict(found)
        keys = _KEYS[by] if by in _KEYS else map(str, self.every_day())
        return {key: found.get(key, 0.0) for key in keys}

    def finished_by(self, by: By) -> dict[str, int]:
        """Count the finished episodes, by the same keys, as far as there are any."""
        return {key: int(count) for key, count in self.ended.by(by).items()}

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
    within = eras(start, end, zone)
    edges, shifts, before = within.edges, within.shifts, start - LONGEST
    position, heard = fetch(PROJECTOR, HEARD, "1", [before, user_id, before, end, edges, edges, shifts])
    _, finished = fetch(PROJECTOR, FINISHED, "1", [user_id, shifts, edges])
    return Page([Statistics(_heard(heard, within), _ended(finished), first, last)], None, position)


def bounds(first: date, last: date, zone: tzinfo) -> tuple[datetime, datetime]:
    """Return the beginning of the first day and the end of the last."""
    start, end = (datetime.combine(day, time(), zone).astimezone(UTC) for day in (first, last + DAY))
    return start, end


def _heard(rows: Iterable[tuple[Any, ...]], within: Eras) -> Sums:
    sums, spans = Sums(), []
    for hour, feed, device, item, begins, ends, seconds, _ in rows:
        if item is None:
            sums.add(hour, feed, device, seconds)
        else:
            starts_at, ends_at = datetime.fromtimestamp(begins, UTC), datetime.fromtimestamp(ends, UTC)
            spans.append(Span(starts_at, ends_at, seconds, feed, item, device))
    for span in counted_once(spans):
        for hour, seconds in within.hours(span.starts_at.timestamp(), span.ends_at.timestamp()):
            sums.add(hour, span.feed, span.device, span.rate * seconds)
    return sums


def _ended(rows: Iterable[tuple[Any, ...]]) -> Sums:
    sums = Sums()
    for hour, feed, device, count, _ in rows:
        sums.add(hour, feed, device, count)
    return sums
