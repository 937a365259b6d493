"""/statistics: what a listener heard, shown to nobody else."""

import csv
from datetime import UTC, datetime, timedelta
from io import StringIO

from accounts.models import User
from eventstore.domain.identifiers import item_of
from eventstore.domain.listening import EpisodeHeard, Heard
from tests.feeds.rows import name_of
from tests.web.library import HOSTILE, a_year, heard, listen, show
from tests.web.people import Visitor, text_of

DAY = timedelta(days=1)


def rows_of(visitor: Visitor, path: str) -> list[list[str]]:
    answer = visitor.get(path)
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert "private" in answer["Cache-Control"]
    return list(csv.reader(StringIO(answer.content.decode("utf-8-sig"))))


def test_it_sums_up_what_its_listener_heard_and_nobody_else(alice: User, bob: User) -> None:
    yesterday = (datetime.now(UTC) - DAY).replace(hour=8, minute=0, second=0, microsecond=0)
    long_ago = yesterday - 100 * DAY
    listen(
        alice,
        heard(show(1), yesterday, 5400, finished=True),
        heard(show(2, title=HOSTILE), long_ago, 1800),
        heard(show(3, title="=1+1"), long_ago + timedelta(hours=1), 60, device=""),
    )
    visitor = Visitor(alice)
    page = text_of(visitor.get("/statistics"))
    for part in ("2 h 01 min", "1 h 30 min", "1 episode", "1 day", "Show 1", "Pixel 9", "Unknown"):
        assert part in page, part
    assert "<script>alert" not in page
    assert page.count('<svg class="chart') == 3
    # the days of a year, 30 bars, the hours of a week, a legend of 5
    assert page.count('<rect class="level-') == 365 + 30 + 7 * 24 + 5
    assert "Show 2" not in text_of(visitor.get("/statistics?days=30"))
    assert "Nothing heard yet" in text_of(Visitor(bob).get("/statistics"))
    assert Visitor().get("/statistics")["Location"].startswith("/users/log_in")
    days = rows_of(visitor, "/statistics/days.csv")
    assert len(days) == 366
    assert [str(yesterday.date()), "5400", "1"] in days
    assert ["'=1+1", "60", "0"] in rows_of(visitor, "/statistics/podcasts.csv"), (
        "no formula for a spreadsheet"
    )
    assert rows_of(visitor, "/statistics/devices.csv?days=30")[1:] == [["Pixel 9", "5400", "1"]]
    hours = rows_of(visitor, "/statistics/hours.csv?days=30")
    assert len(hours) == 7 * 24 + 1
    assert sum(int(row[2]) for row in hours[1:]) == 5400
    assert visitor.get("/statistics/years.csv").status_code == 404


def test_what_was_finished_is_told_also_where_no_second_counts_for_it(alice: User, bob: User) -> None:
    at = (datetime.now(UTC) - DAY).replace(hour=8, minute=0, second=0, microsecond=0)
    # at the same time on two devices: the time counts for only one of them
    listen(alice, heard(show(1), at, 600, "Zoe’s phone"), heard(show(2), at, 600, "A desk", finished=True))
    visitor = Visitor(alice)
    assert rows_of(visitor, "/statistics/devices.csv")[1:] == [
        ["Zoe’s phone", "600", "0"],
        ["A desk", "0", "1"],
    ]
    assert rows_of(visitor, "/statistics/podcasts.csv")[1:] == [["Show 1", "600", "0"], ["Show 2", "0", "1"]]
    listen(
        bob,
        EpisodeHeard(name_of(show(3)), item_of("only its end", ""), (Heard("Phone", at, 9, finished_at=at),)),
    )
    page = text_of(Visitor(bob).get("/statistics"))
    assert "1 episode" in page
    assert "Show 3" in page


def test_days_are_those_of_the_listeners_time_zone(alice: User) -> None:
    late = (datetime.now(UTC) - 2 * DAY).replace(hour=23, minute=0, second=0, microsecond=0)
    listen(alice, heard(show(), late, 600))
    User.objects.filter(pk=alice.pk).update(time_zone="Asia/Kolkata")
    days = rows_of(Visitor(User.objects.get(pk=alice.pk)), "/statistics/days.csv")
    assert [str((late + DAY).date()), "600", "0"] in days


def test_a_year_of_three_hundred_podcasts_is_light_and_in_french(alice: User) -> None:
    listen(alice, *a_year([show(number) for number in range(300)]))
    answer = Visitor(alice).get("/statistics", headers={"Accept-Language": "fr"})
    page = text_of(answer)
    assert "autres podcasts" in page
    assert "Jour par jour sur un an" in page
    # the content security policy would refuse an inline style
    assert " style=" not in page
