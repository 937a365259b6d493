"""The hours of a time zone, as numbers that PostgreSQL can calculate with."""

from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from itertools import pairwise
from typing import Final, NamedTuple

HOUR: Final = 3600
DAY: Final = timedelta(days=1)
SECOND: Final = timedelta(seconds=1)


class Eras(NamedTuple):
    """Spans of time in which the clocks are not changed. ``edges``: the times between them, in seconds since
    1970, with the beginning of the first and the end of the last. ``shifts``: for each era, how many seconds
    its clocks are ahead of UTC."""

    edges: list[float]
    shifts: list[float]

    def hours(self, begins: float, ends: float) -> Iterator[tuple[int, float]]:
        """Yield the local hours, counted since 1970, in which a span lies, and how many seconds of it lie in
        each; what lies outside of these eras is left out."""
        for (first, last), shift in zip(pairwise(self.edges), self.shifts, strict=True):
            local, until = max(begins, first) + shift, min(ends, last) + shift
            while local < until:
                hour = int(local // HOUR)
                following = min(until, (hour + 1) * HOUR)
                yield hour, following - local
                local = following


def eras(start: datetime, end: datetime, zone: tzinfo) -> Eras:
    """Return the eras of a time zone between two times."""
    edges, shifts = [start.timestamp()], [_shift(start, zone)]
    day = start
    while day < end:
        following = min(day + DAY, end)
        if _shift(following, zone) != shifts[-1]:
            edges.append(_change(day, following, zone).timestamp())
            shifts.append(_shift(following, zone))
        day = following
    return Eras([*edges, end.timestamp()], shifts)


def _change(before: datetime, after: datetime, zone: tzinfo) -> datetime:
    """Return the second between two times at which the clocks are changed."""
    while after - before > SECOND:
        middle = before + (after - before) // SECOND // 2 * SECOND
        if _shift(middle, zone) == _shift(before, zone):
            before = middle
        else:
            after = middle
    return after


def _shift(moment: datetime, zone: tzinfo) -> float:
    offset = moment.astimezone(zone).utcoffset()
    assert offset is not None
    return offset.total_seconds()
