"""/statistics: what a listener heard, for nobody else."""

import csv
from datetime import UTC, datetime, timedelta
from io import StringIO

from accounts.models import User
from eventstore.dispatcher import Origin, dispatch
from eventstore.domain.identifiers import item_of
from eventstore.domain.listening import EpisodeHeard, Heard, ImportListening
from feeds.models import Feed
from tests.feeds.rows import name_of
from tests.projecting import bring_up_to_date
from tests.web.library import HOSTILE, show
from tests.web.people import Visitor, text_of

DAY = timedelta(days=1)


def heard(
    feed: Feed, at: datetime, seconds: int, device: str = "Pixel 9", finished: bool = False
) -> EpisodeHeard:
    until = at + timedelta(seconds=seconds)
    told = Heard(device, until, seconds, seconds, at, until if finished else None)
    return EpisodeHeard(name_of(feed), item_of(f"{at:%Y%m%d%H%M}", ""), (told,))


def bring(user: User, *listening: EpisodeHeard) -> None:
    dispatch(ImportListening(user_id=user.pk, now=datetime.now(UTC), listening=listening), Origin())
    bring_up_to_date()


def a_year(feeds: list[Feed], today: datetime) -> list[EpisodeHeard]:
    """Two sittings on most days, on two devices."""
    found = []
    for number in range(365):
        if number % 9 == 4:
            continue
        morning = (today - number * DAY).replace(hour=7, minute=number % 50, second=0, microsecond=0)
        feed, other = feeds[number % len(feeds)], feeds[number * number % len(feeds)]
        found.append(heard(feed, morning, 600 + number * 37 % 3000, finished=number % 3 == 0))
        evening = morning.replace(hour=17 + number % 5)
        found.append(heard(other, evening, number * 71 % 5400 + 60, "Firefox on Linux", number % 4 == 0))
    return found


def rows_of(visitor: Visitor, path: str) -> list[list[str]]:
    answer = visitor.get(path)
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert "private" in answer["Cache-Control"]
    return list(csv.reader(StringIO(answer.content.decode("utf-8-sig"))))


def test_it_sums_up_what_its_listener_heard_and_nobody_else(alice: User, bob: User) -> None:
    yesterday = (datetime.now(UTC) - DAY).replace(hour=8, minute=0, second=0, microsecond=0)
    long_ago = yesterday - 100 * DAY
    bring(
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


def test_days_are_those_of_the_listeners_time_zone(alice: User) -> None:
    late = (datetime.now(UTC) - 2 * DAY).replace(hour=23, minute=0, second=0, microsecond=0)
    bring(alice, heard(show(), late, 600))
    User.objects.filter(pk=alice.pk).update(time_zone="Asia/Kolkata")
    days = rows_of(Visitor(User.objects.get(pk=alice.pk)), "/statistics/days.csv")
    assert [str((late + DAY).date()), "600", "0"] in days


def test_a_year_of_three_hundred_podcasts_is_light_and_in_french(alice: User) -> None:
    bring(alice, *a_year([show(number) for number in range(300)], datetime.now(UTC)))
    answer = Visitor(alice).get("/statistics", headers={"Accept-Language": "fr"})
    page = text_of(answer)
    assert "autres podcasts" in page
    assert "Jour par jour sur un an" in page
    # an inline style would be refused by the content policy
    assert " style=" not in page
