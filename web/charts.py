"""Charts as shapes that a template draws: positions and sizes are in units of the picture."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Final, NamedTuple

from django.utils.html import escape
from django.utils.safestring import SafeString

LEVELS: Final = 4
# of the calendar and the week: a square, and a square with its margin
SQUARE, STEP = 12, 14
LEFT, TOP = 50, 20
# of the bar charts
WIDTH, HEIGHT, BASE = 640, 180, 150


class Shape(NamedTuple):
    """A square or a bar. ``level`` is the amount, from 0 to ``LEVELS``; ``label`` says what it represents."""

    x: float
    y: float
    width: float
    height: float
    level: int
    label: str

    @property
    def drawn(self) -> SafeString:
        """Return the SVG. It is not rendered by a template: with 500 shapes on a page,
        that took a third of the time."""
        place = f'x="{self.x}" y="{self.y}" width="{self.width}" height="{self.height}"'
        title = f"<title>{escape(self.label)}</title>"
        return SafeString(f'<rect class="level-{self.level}" {place} rx="2">{title}</rect>')


class Label(NamedTuple):
    x: float
    y: float
    text: str


class Chart(NamedTuple):
    width: int
    height: int
    shapes: list[Shape]
    labels: list[Label]
    lines: list[Label]

    @property
    def drawn(self) -> SafeString:
        """Return the SVG of its shapes."""
        return SafeString("".join(shape.drawn for shape in self.shapes))


def level_of(seconds: float, steps: Sequence[float]) -> int:
    """Return 0 for nothing, else the number of steps reached, at least 1."""
    return 0 if seconds <= 0 else max(1, sum(seconds >= step for step in steps))


def quarters(most: float) -> list[float]:
    """Return the steps for ``level_of`` relative to the maximum, where no absolute scale exists."""
    return [most * part / LEVELS for part in range(LEVELS)]


def calendar(
    days: Mapping[date, int],
    steps: Sequence[float],
    months: Mapping[date, str],
    weekdays: Sequence[str],
    labels: Mapping[date, str],
) -> Chart:
    """Return a chart with a column for each week, beginning on Monday. ``months`` maps the days at which a
    month's name is shown to these names."""
    first = min(days)
    monday = first - timedelta(days=first.weekday())

    def column(day: date) -> int:
        return LEFT + (day - monday).days // 7 * STEP

    squares = [
        Shape(column(day), TOP + day.weekday() * STEP, SQUARE, SQUARE, level_of(seconds, steps), labels[day])
        for day, seconds in days.items()
    ]
    named = [Label(column(day), TOP - 7, name) for day, name in months.items()]
    named += [Label(0, TOP + row * STEP + 10, weekdays[row]) for row in (0, 2, 4, 6)]
    return Chart(column(max(days)) + STEP, TOP + 7 * STEP, squares, named, [])


def bars(
    values: Sequence[int], top: int, lines: Mapping[int, str], under: Mapping[int, str], labels: Sequence[str]
) -> Chart:
    """Return a bar for each value, up to ``top``. ``lines``: values at which a line is drawn, with their
    labels; ``under``: labels below some of the bars, by number."""
    left = 72
    step = (WIDTH - left) / len(values)

    def height(value: int) -> float:
        return round((BASE - 12) * value / top, 1)

    def bar(number: int, value: int, label: str) -> Shape:
        x, high = round(left + number * step + 2, 1), height(value)
        return Shape(x, BASE - high, round(step - 4, 1), high, LEVELS, label)

    shapes = [
        bar(number, value, label) for number, (value, label) in enumerate(zip(values, labels, strict=True))
    ]
    rules = [Label(left, BASE - height(value), text) for value, text in lines.items()]
    middles = {number: round(left + (number + 0.5) * step, 1) for number in under}
    named = [Label(middles[number], HEIGHT - 8, text) for number, text in under.items()]
    return Chart(WIDTH, HEIGHT, shapes, named, rules)


def week(
    hours: Mapping[tuple[int, int], int], weekdays: Sequence[str], labels: Mapping[tuple[int, int], str]
) -> Chart:
    """Return a chart with a row for each weekday and a column for each hour."""
    steps = quarters(max(hours.values(), default=0))
    wide, side = 24, 22

    def square(day: int, hour: int) -> Shape:
        x, y, level = LEFT + hour * wide, TOP + day * wide, level_of(hours[day, hour], steps)
        return Shape(x, y, side, side, level, labels[day, hour])

    shapes = [square(*of) for of in hours]
    named = [Label(0, TOP + day * wide + 16, name) for day, name in enumerate(weekdays)]
    named += [Label(LEFT + hour * wide, TOP - 7, str(hour)) for hour in range(0, 24, 3)]
    return Chart(LEFT + 24 * wide, TOP + 7 * wide, shapes, named, [])


def rounded_up(most: int) -> int:
    """Return the end of an axis in seconds: rounded up to quarters of an hour,
    above one hour to whole hours."""
    unit = 900 if most <= 3600 else 3600
    return max(unit, -(-most // unit) * unit)


def shares(values: Iterable[float]) -> list[int]:
    """Return each value in percent of the greatest; any value above 0 is at
    least 1, so that it is visible."""
    values = list(values)
    most = max(values, default=0)
    return [max(1, round(100 * value / most)) if value > 0 else 0 for value in values]
