"""/statistics: how long a listener listened, when, to what, and on which device.
Visible to the listener alone."""

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from io import StringIO
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import dateformat, timezone
from django.utils.dates import WEEKDAYS, WEEKDAYS_ABBR
from django.utils.formats import date_format, get_format, number_format
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.models import User
from feeds.queries import feeds_for
from projections import devices
from projections.statistics import ENOUGH, By, Statistics, statistics
from web import charts, display, humanize
from web.charts import Chart
from web.display import Podcast
from web.read_your_writes import caught_up
from web.shortcuts import for_listeners

YEAR, MONTH = 365, 30
# the number of entries of a long list that are visible at once
SEEN_AT_ONCE: Final = 10
# the maximum number of entries on the page: the CSV file has the others
MOST: Final = 100
# seconds a day from which on the day's square is darker
DAY_STEPS: Final = (1, 1800, 3600, 7200)
# characters at the beginning of a cell that make a spreadsheet read it as a formula
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


class Ranked(NamedTuple):
    """A podcast or a device with how long it was listened to. ``share``: in percent of the longest."""

    name: str
    seconds: int
    finished: int
    share: int
    podcast: Podcast | None = None


class Month(NamedTuple):
    first: date
    seconds: int
    finished: int


class Day(NamedTuple):
    day: date
    seconds: int
    finished: int


@require_safe
@for_listeners
def page(request: HttpRequest, user: User) -> HttpResponse:
    """Show a year; the rankings, and when the listener listened, cover 30 days with ``days=30``."""
    year = _read(request, user, YEAR)
    days = _wanted(request)
    chosen = _read(request, user, MONTH) if days == MONTH else year
    longest, lasting = year.streaks()
    context = {
        "year": year,
        "month": sum([*year.days.values()][-MONTH:]),
        "chosen": chosen,
        "days": days,
        "zone": timezone.get_current_timezone_name().replace("_", " "),
        "is_empty": not year.seconds and not year.finished,
        "longest": longest,
        "lasting": lasting,
        "enough": ENOUGH // 60,
    }
    if not context["is_empty"]:
        context |= _pictures(user.pk, year, chosen)
    return render(request, "web/statistics/statistics.html", context)


@require_safe
@for_listeners
def as_csv(request: HttpRequest, user: User, by: str) -> HttpResponse:
    """Export the figures of a chart of the page for a spreadsheet."""
    chosen = _read(request, user, _wanted(request))
    head: tuple[str, ...]
    rows: Sequence[tuple[object, ...]]
    match by:
        case "days":
            head, rows = (_("Day"), _("Seconds"), _("Episodes finished")), _days(chosen)
        case "podcasts":
            head, rows = (_("Podcast"), _("Seconds"), _("Episodes finished")), _podcasts(user.pk, chosen)
        case "devices":
            head, rows = (_("Device"), _("Seconds"), _("Episodes finished")), _devices(user.pk, chosen)
        case "hours":
            head = (_("Weekday"), _("Hour"), _("Seconds"))
            rows = [(WEEKDAYS[day], hour, seconds) for (day, hour), seconds in chosen.at_hours().items()]
        case _:
            raise Http404
    text = StringIO()
    writer = csv.writer(text)
    writer.writerow(head)
    writer.writerows([_harmless(cell) for cell in row[: len(head)]] for row in rows)
    # with a byte order mark, by which spreadsheets recognise the encoding
    response = HttpResponse(text.getvalue().encode("utf-8-sig"), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="balados-{by}.csv"'
    return response


def _read(request: HttpRequest, user: User, days: int) -> Statistics:
    """Return the statistics of the last days, today included."""
    today = timezone.localdate()
    with caught_up(request, "listening"):
        first = today - timedelta(days=days - 1)
        (found,) = statistics(user.pk, first, today, timezone.get_current_timezone()).rows
    return found


def _wanted(request: HttpRequest) -> int:
    """Return the number of days that the rankings cover."""
    return MONTH if request.GET.get("days") == str(MONTH) else YEAR


def _pictures(user_id: UUID, year: Statistics, chosen: Statistics) -> dict[str, Any]:
    days = _days(year)
    podcasts = _podcasts(user_id, chosen)
    hours = chosen.at_hours()
    weekdays = [str(WEEKDAYS[day]) for day in range(7)]
    durations = {seconds: humanize.duration(seconds) if seconds else "–" for seconds in hours.values()}
    labels = {
        (day, hour): f"{weekdays[day]}, {_clock(hour)}: {durations[seconds]}"
        for (day, hour), seconds in hours.items()
    }
    return {
        "calendar": _calendar(year),
        "legend": _legend(),
        "months": _months(days),
        "bars": _bars(days[-MONTH:]),
        "last_days": days[-MONTH:][::-1],
        "podcasts": podcasts[:SEEN_AT_ONCE],
        "more_podcasts": podcasts[SEEN_AT_ONCE:MOST],
        "left_out": max(0, len(podcasts) - MOST),
        "devices": _devices(user_id, chosen),
        "week": charts.week(hours, [str(WEEKDAYS_ABBR[day]) for day in range(7)], labels),
        "weekdays": weekdays,
        "hours": [(_clock(hour), [durations[hours[day, hour]] for day in range(7)]) for hour in range(24)],
    }


def _calendar(year: Statistics) -> Chart:
    days = year.days
    written = get_format("DATE_FORMAT")
    labels = {
        day: f"{dateformat.format(day, written)}: {humanize.duration(n) if n else _('nothing')}"
        for day, n in days.items()
    }
    # no label for a month with less than two weeks in the chart: there is no room for its name
    months = {day: date_format(day, "M") for day in days if day.day == 1 and (year.last - day).days > 13}
    return charts.calendar(days, DAY_STEPS, months, [str(WEEKDAYS_ABBR[n]) for n in range(7)], labels)


def _legend() -> list[tuple[int, str]]:
    """Return the legend of the calendar: levels with their meaning."""
    steps = [*map(_axis, DAY_STEPS[1:])]
    from_to = [_("below %(less)s") % {"less": steps[0]}]
    from_to += [_("from %(least)s") % {"least": step} for step in steps]
    return [(0, _("nothing")), *enumerate(from_to, 1)]


def _bars(days: list[Day]) -> Chart:
    top = charts.rounded_up(max(day.seconds for day in days))
    lines = {value: _axis(value) for value in (0, top // 2, top)}
    labels = [f"{date_format(day.day, 'DATE_FORMAT')}: {humanize.duration(day.seconds)}" for day in days]
    under = {number: str(day.day.day) for number, day in enumerate(days) if number % 5 == 4}
    return charts.bars([day.seconds for day in days], top, lines, under, labels)


def _days(of: Statistics) -> list[Day]:
    finished = of.finished_by("day")
    return [Day(day, seconds, finished.get(str(day), 0)) for day, seconds in of.days.items()]


def _months(days: Iterable[Day]) -> list[Month]:
    """Return the months, the newest first."""
    seconds: Counter[date] = Counter()
    finished: Counter[date] = Counter()
    for day in days:
        first = day.day.replace(day=1)
        seconds[first] += day.seconds
        finished[first] += day.finished
    return [Month(first, seconds[first], finished[first]) for first in sorted(seconds, reverse=True)]


def _podcasts(user_id: UUID, of: Statistics) -> list[Ranked]:
    seconds, finished = _counted(of, "podcast")
    known = feeds_for(user_id, seconds)
    podcasts = {feed: display.named(feed, known.get(feed)) for feed in seconds}
    return _ranked(seconds, finished, {feed: one.title for feed, one in podcasts.items()}, podcasts)


def _devices(user_id: UUID, of: Statistics) -> list[Ranked]:
    seconds, finished = _counted(of, "device")
    captions = devices.captions(user_id)
    names = {name: captions.get(name) or humanize.device(name) if name else _("Unknown") for name in seconds}
    return _ranked(seconds, finished, names, {})


def _counted(of: Statistics, by: By) -> tuple[dict[str, float], Mapping[str, int]]:
    """Return the seconds and the finished episodes for each key; also keys that have finished episodes, but
    whose listening time counts for another device."""
    finished = of.finished_by(by)
    seconds = of.seconds_by(by)
    return {key: seconds.get(key, 0.0) for key in (*seconds, *finished)}, finished


def _ranked(
    seconds: Mapping[str, float],
    finished: Mapping[str, int],
    names: Mapping[str, str],
    podcasts: Mapping[str, Podcast],
) -> list[Ranked]:
    return [
        Ranked(names[key], round(seconds[key]), finished.get(key, 0), share, podcasts.get(key))
        for key, share in zip(seconds, charts.shares(seconds.values()), strict=True)
    ]


def _axis(seconds: int) -> str:
    """Return a duration in its shortest form, to label an axis."""
    if seconds and seconds % 3600 == 0:
        return _("%(hours)s h") % {"hours": number_format(seconds // 3600)}
    return humanize.duration(seconds) if seconds else "0"


def _clock(hour: int) -> str:
    return f"{hour}:00"


def _harmless(cell: object) -> object:
    """Quote a title that a spreadsheet would take for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell
