"""How long a listener actually listened, and which episodes were finished."""

from datetime import UTC, date, timedelta, tzinfo
from typing import Annotated, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from django.urls import path
from msgspec import Struct
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import User
from api import answers
from api.auth import caller_of
from api.clock import now
from api.errors import FieldError, Invalid
from api.fields import meta
from api.operations import operation
from api.views import View
from feeds.queries import feeds_for
from projections.devices import captions
from projections.statistics import Statistics, statistics

MOST_DAYS = 366
DEFAULT_DAYS = 30
EARLIEST = date(2000, 1, 1)
By = Annotated[
    Literal["day", "podcast", "device", "weekday", "hour"],
    meta("What the rows are grouped by. Days, weekdays and hours are in the user's time zone."),
]


class StatisticsQuery(Struct, rename={"first": "from", "last": "to"}):
    first: (
        Annotated[date, meta("The first day; by default, the one that makes 30 days.", example="2026-11-01")]
        | None
    ) = None
    last: Annotated[date, meta("The last day; by default, today.", example="2026-11-30")] | None = None
    by: By = "day"


class StatisticsRow(Struct):
    """`key`: the day, the `rss_source_feed`, the device's own id, the weekday (1 is Monday) or the hour (0 to
    23). `name`: the podcast's title or the device's name; null if there is none."""

    key: str
    name: str | None
    seconds: int
    episodes_finished: int


class ListeningStatistics(Struct, rename={"first": "from", "last": "to"}):
    """`seconds`: the total listened, with two devices at the same time counted once; the rows add up to it
    except for rounding. Rows of days, weekdays and hours are all there, in their order; those of podcasts and
    devices are sorted by seconds, the most first."""

    first: date
    last: date
    by: By
    time_zone: str
    seconds: int
    episodes_finished: int
    rows: list[StatisticsRow]


class StatisticsView(View):
    scopes = {"GET": "user.plays.read"}

    @operation("Sum up the listening", answers={200: ListeningStatistics})
    def get(self, request: Request, query: StatisticsQuery) -> Response:
        """Seconds actually listened, computed from the positions that devices report. The distance between
        two positions counts if enough time has passed for it (at most at three times normal speed) and it is
        at most six hours; if a device reports from where it played, that counts instead. Nothing is counted
        backwards, and nothing twice. An episode is finished on the day when its end was first reached;
        marking it as played does not count. At most 366 days."""
        user_id = caller_of(request).user_id
        zone = _zone(user_id)
        first, last = _days(query, now().astimezone(zone).date())
        found = answers.page(request, "listening", lambda: statistics(user_id, first, last, zone))
        (summed,) = found.rows
        rows = _rows(user_id, query.by, summed)
        body = ListeningStatistics(first, last, query.by, str(zone), summed.seconds, summed.finished, rows)
        return answers.answer(body, found.position)


def _zone(user_id: UUID) -> tzinfo:
    name = User.objects.values_list("time_zone", flat=True).get(pk=user_id)
    return ZoneInfo(name) if name else UTC


def _days(query: StatisticsQuery, today: date) -> tuple[date, date]:
    """Return the first and the last day. Raises ``Invalid`` with every error in them."""
    last = query.last or today
    faults = []
    for name, day in (("from", query.first), ("to", query.last)):
        if day is not None and not EARLIEST <= day <= today + timedelta(days=1):
            faults.append(FieldError("out_of_range", f"Expected a day from {EARLIEST} to tomorrow.", name))
    if faults:
        raise Invalid(*faults)
    first = query.first or last - timedelta(days=DEFAULT_DAYS - 1)
    if first > last:
        raise Invalid(FieldError("reversed", "The first day comes after the last.", "from"))
    if (last - first).days >= MOST_DAYS:
        raise Invalid(FieldError("too_long", f"At most {MOST_DAYS} days at once.", "from"))
    return first, last


def _rows(user_id: UUID, by: By, summed: Statistics) -> list[StatisticsRow]:
    finished = summed.finished_by(by)
    seconds = summed.seconds_by(by)
    names: dict[str, str] = {}
    if by == "podcast":
        known = feeds_for(user_id, seconds.keys() | finished.keys())
        names = {feed: one.title for feed, one in known.items()}
    elif by == "device":
        names = captions(user_id)
    return [
        StatisticsRow(key, names.get(key) or None, round(seconds.get(key, 0)), finished.get(key, 0))
        for key in dict.fromkeys((*seconds, *finished))
    ]


paths = [path("statistics", StatisticsView.as_view())]
