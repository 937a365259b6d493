"""The rows of feeds: one for each show, whoever adds it, concurrently or one after the other."""

import threading
import time
from datetime import UTC, datetime, timedelta
from itertools import chain

import pytest
from django.db import connections, transaction

from eventstore.domain.identifiers import feed_key_of, feed_of_url
from feeds.models import Feed, FeedAlias, FeedHost, FeedSchedule
from feeds.store import ensure, slot_of

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
NEWS, SCIENCE = (feed_of_url(f"https://example.org/{name}.xml") for name in ("news", "science"))
MEMBERS = feed_of_url("https://www.patreon.com/rss/show?auth=Zk3rTq8wLm5vXc2yBn7d")


@pytest.mark.usefixtures("stores")
def test_a_feed_that_nobody_knew_is_known_by_its_name_and_due_at_once() -> None:
    found = ensure([NEWS], NOON)
    feed = Feed.objects.get()
    alias, schedule = FeedAlias.objects.get(), FeedSchedule.objects.select_related("host").get()
    assert found == ({NEWS: feed.pk}, [feed.pk])
    assert (feed.url, feed.state, feed.is_secret) == ("https://example.org/news.xml", "new", False)
    assert (alias.feed_key.hex, alias.url, alias.feed_id) == (feed_key_of(NEWS), feed.url, feed.pk)
    assert (schedule.feed_id, schedule.next_at, schedule.host.name) == (feed.pk, NOON, "example.org")
    assert (schedule.slot, schedule.asked_at) == (slot_of("example.org"), None)


@pytest.mark.usefixtures("stores")
def test_a_feed_that_is_known_is_left_as_it_is() -> None:
    first = ensure([NEWS], NOON)
    again = ensure([NEWS, SCIENCE], NOON + timedelta(days=1))
    assert again.ids[NEWS] == first.ids[NEWS]
    assert again.new == [again.ids[SCIENCE]]
    assert FeedSchedule.objects.get(feed=first.ids[NEWS]).next_at == NOON
    assert FeedHost.objects.count() == 1


@pytest.mark.usefixtures("stores")
def test_an_address_that_is_a_key_makes_a_secret_feed() -> None:
    ensure([MEMBERS, NEWS], NOON)
    assert dict(Feed.objects.values_list("url", "is_secret")) == {
        "https://www.patreon.com/rss/show?auth=Zk3rTq8wLm5vXc2yBn7d": True,
        "https://example.org/news.xml": False,
    }


@pytest.mark.usefixtures("stores")
def test_many_new_feeds_become_due_one_after_the_other() -> None:
    names = [feed_of_url(f"https://example.org/{number}.xml") for number in range(60)]
    ensure(names, NOON, spread=timedelta(minutes=10))
    due = list(FeedSchedule.objects.order_by("next_at").values_list("next_at", flat=True))
    assert due == [NOON + number * timedelta(seconds=10) for number in range(60)]


@pytest.mark.usefixtures("stores")
def test_what_nobody_wanted_is_due_again_when_somebody_asks_for_it() -> None:
    ensure([NEWS], NOON)
    FeedSchedule.objects.update(next_at=None)
    ensure([NEWS], NOON + timedelta(days=1))
    assert FeedSchedule.objects.get().next_at is None
    ensure([NEWS], NOON + timedelta(days=1), asked=True)
    schedule = FeedSchedule.objects.get()
    assert (schedule.next_at, schedule.asked_at) == (NOON + timedelta(days=1),) * 2


@pytest.mark.usefixtures("stores")
def test_two_who_name_the_same_feeds_at_once_make_them_once() -> None:
    names = [feed_of_url(f"https://{number % 7}.example.org/{number}.xml") for number in range(300)]
    barrier, found, failures = threading.Barrier(3), [], []

    def work(mine: list[str]) -> None:
        try:
            barrier.wait(60)
            found.append(ensure(mine, NOON))
        except Exception as failure:
            failures.append(failure)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=[mine]) for mine in (names, names[::-1], names[50:])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    some, *all_of_them = sorted(found, key=lambda each: len(each.ids))
    assert all(each.ids == some.ids | all_of_them[0].ids for each in all_of_them)
    assert sorted(chain.from_iterable(each.new for each in found)) == sorted(all_of_them[0].ids.values())
    assert Feed.objects.count() == FeedAlias.objects.count() == FeedSchedule.objects.count() == 300
    assert FeedHost.objects.count() == 7


@pytest.mark.usefixtures("stores")
def test_two_who_ask_for_the_same_feeds_at_once_wait_for_each_other_and_never_both() -> None:
    first, second = sorted(ensure([NEWS, SCIENCE], NOON).new)
    # the update moves the first feed's row behind the second's in the table
    FeedSchedule.objects.filter(feed=first).update(next_at=NOON + timedelta(days=1))

    def ask() -> None:
        try:
            ensure([NEWS, SCIENCE], NOON + timedelta(days=2), asked=True)
        finally:
            connections.close_all()

    other = threading.Thread(target=ask)
    with transaction.atomic("system"):
        schedules = FeedSchedule.objects.select_for_update(nowait=True)
        schedules.get(feed=first)
        other.start()
        deadline = time.monotonic() + 60
        while not waits_for_a_lock() and time.monotonic() < deadline:
            time.sleep(0.01)
        schedules.get(feed=second)
    other.join(60)
    assert {one.asked_at for one in FeedSchedule.objects.all()} == {NOON + timedelta(days=2)}


def waits_for_a_lock() -> bool:
    with connections["system"].cursor() as cursor:
        cursor.execute(
            "SELECT count(*) > 0 FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE NOT granted AND datname = current_database()"
        )
        (found,) = cursor.fetchone()
    return bool(found)
