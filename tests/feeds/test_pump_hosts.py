"""How many requests a server gets at a time, and how servers that hang, fail or refuse affect others."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone
from pytest_django.fixtures import Settings

from feeds.fetch import Limits
from feeds.models import FeedHost, FeedSchedule
from feeds.store import slot_of
from tests.feeds.origin import Origin, allowed, answer, dribble, hang, reset, status_only
from tests.feeds.pumping import follow, make_due, pump, schedule, show

pytestmark = pytest.mark.usefixtures("stores")


@pytest.fixture
def hosts(settings: Settings) -> Iterator[Origin]:
    """An origin at every address of 127.0.0.0/8, each of which counts as a host."""
    with Origin("0.0.0.0") as running, allowed(settings, running):
        running.otherwise(answer(show(1, 2)))
        yield running


def names(count: int, part: int = 1) -> list[str]:
    return [f"127.0.{part}.{number}" for number in range(1, count + 1)]


def test_no_host_has_more_than_two_at_a_time_and_none_too_early(hosts: Origin) -> None:
    hosts.otherwise(answer(show(1), delay=0.02))
    ids = follow(hosts, *(f"/{number}" for number in range(8)), hosts=names(5))
    assert pump(pace=0.1) == len(ids)
    assert set(hosts.busiest.values()) <= {1, 2}
    starts = defaultdict(list)
    for request in hosts.requests:
        starts[request.host].append(request.at)
    for times in starts.values():
        times.sort()
        # two connections, each with one request per tenth of a second
        assert all(later - earlier > 0.085 for earlier, later in zip(times, times[2:], strict=False))
    assert hosts.connections <= 2 * 5


def test_a_large_host_that_never_fails_may_have_six_at_a_time(hosts: Origin) -> None:
    hosts.otherwise(answer(show(1), delay=0.03))
    follow(hosts, *(f"/{number}" for number in range(24)), hosts=names(1))
    FeedHost.objects.update(connections=6)
    pump()
    assert 2 < hosts.busiest["127.0.1.1"] <= 6


def test_two_pumps_never_share_a_host(hosts: Origin) -> None:
    hosts.otherwise(answer(show(1), delay=0.01))
    ids = follow(hosts, "/1", "/2", "/3", "/4", hosts=names(12))
    ended: list[int] = []

    def work(number: int) -> None:
        ended.append(pump(number, 2))
        connections.close_all()

    threads = [threading.Thread(target=work, args=[number]) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sum(ended) == len(ids) == len(hosts.requests)
    assert set(hosts.busiest.values()) <= {1, 2}
    shares = {slot_of(name) % 2 for name in names(12)}
    assert sorted(ended) == sorted(
        4 * sum(slot_of(name) % 2 == share for name in names(12)) for share in shares
    )


def test_a_host_with_more_feeds_than_it_bears_holds_up_no_other(hosts: Origin) -> None:
    follow(hosts, *(f"/{number}" for number in range(260)), hosts=["127.0.2.1"])
    FeedSchedule.objects.update(next_at=timezone.now() - timedelta(hours=1))
    others = follow(hosts, "/feed", hosts=names(20))
    hosts.otherwise(answer(show(1), delay=0.005))
    pump()
    asked = [request.host for request in hosts.requests]
    last = max(asked.index(name) for name in names(20))
    assert last < len(asked) / 2
    assert all(schedule(feed_id).ok_at for feed_id in others)


def test_hosts_that_hang_or_dribble_leave_room_for_the_good_ones(hosts: Origin) -> None:
    bad = names(40, part=3)
    hosts.on("/hang", hang())
    hosts.on("/dribble", dribble(0.05))
    hanging = [*follow(hosts, "/hang", hosts=bad[:25]), *follow(hosts, "/dribble", hosts=bad[25:])]
    make_due()
    hosts.otherwise(status_only(404))  # nothing to read: the test measures only waiting
    good = follow(hosts, "/feed", "/another", hosts=names(150, part=4))
    started = time.monotonic()
    limits = Limits(connect_s=1.0, total_s=1.5)
    pump(limits=limits, concurrency=60)
    times = [request.at - started for request in hosts.requests if request.host.startswith("127.0.4")]
    assert len(times) == len(good)
    assert max(times) < 1.5, "nobody waited for one that hangs"
    assert {schedule(feed_id).error for feed_id in hanging} == {"timeout"}
    assert {schedule(feed_id).error for feed_id in good} == {"not_found"}


def test_many_feeds_of_hosts_that_hang_keep_no_other_from_being_claimed(hosts: Origin) -> None:
    paths = [f"/{number}" for number in range(15)]
    for path in paths:
        hosts.on(path, hang())
    follow(hosts, *paths, hosts=names(12, part=3))
    FeedSchedule.objects.update(next_at=timezone.now() - timedelta(hours=1))
    hosts.otherwise(status_only(404))  # nothing to read: the test measures only waiting
    good = follow(hosts, "/good", "/better", hosts=names(80, part=4))
    started = time.monotonic()

    def asked() -> list[float]:
        found = [request for request in hosts.requests if request.host.startswith("127.0.4")]
        return [request.at - started for request in found]

    pump(limits=Limits(connect_s=5.0, total_s=5.0), stop=lambda: len(asked()) == len(good))
    assert len(asked()) == len(good)
    assert max(asked()) < 5.0, "nobody waited for one that hangs"


def test_a_host_that_asks_for_fewer_requests_is_left_alone_and_no_other_is(hosts: Origin) -> None:
    hosts.on("/limited", status_only(429, ("Retry-After", "600")))
    (first,) = follow(hosts, "/limited", hosts=["127.0.5.1"])
    pump()
    rest = follow(hosts, *(f"/{number}" for number in range(30)), hosts=["127.0.5.1"])
    (other,) = follow(hosts, "/feed", hosts=["127.0.5.2"])
    assert pump() == 1
    assert schedule(other).error == ""
    limited = schedule(first)
    assert (limited.error, limited.failures, limited.feed.state) == ("rate_limited", 0, "new")
    until = limited.host.paused_until
    assert until is not None
    assert timedelta(minutes=9) < until - timezone.now() <= timedelta(minutes=10)
    FeedHost.objects.update(paused_until=timezone.now() - timedelta(seconds=1))
    hosts.on("/limited", answer(show(1)))
    make_due()
    assert pump() == 32
    assert {schedule(feed_id).host.pauses for feed_id in rest} == {0}


def test_what_was_due_on_a_host_that_pauses_comes_back_over_a_whole_interval(hosts: Origin) -> None:
    hosts.otherwise(status_only(503))
    ids = follow(hosts, *(f"/{number}" for number in range(60)), hosts=["127.0.5.1"])
    assert pump() <= 2
    host = FeedHost.objects.get(name="127.0.5.1")
    assert (host.pauses, host.failures) == (1, 0)
    assert host.paused_until is not None
    times = [schedule(feed_id).next_at for feed_id in ids]
    waits = sorted((at - host.paused_until).total_seconds() for at in times if at is not None)
    assert waits[0] >= 0
    assert waits[-1] <= 21_600
    assert waits[-1] - waits[0] > 10_000


def test_after_five_failures_one_request_tries_for_the_whole_host(hosts: Origin) -> None:
    for number in range(20):
        hosts.on(f"/{number}", reset())
    ids = follow(hosts, *(f"/{number}" for number in range(20)), hosts=["127.0.6.1"])
    pump()
    host = FeedHost.objects.get(name="127.0.6.1")
    assert host.failures in (5, 6)
    assert host.pauses == 1
    tried = len(hosts.requests)
    assert tried <= 6
    failing = FeedSchedule.objects.filter(failures=1).count()
    assert failing == tried, "those that were not tried have not failed"
    FeedHost.objects.update(paused_until=timezone.now() - timedelta(seconds=1))
    make_due()
    assert pump() == 1
    assert FeedHost.objects.get(name="127.0.6.1").pauses == 2
    FeedHost.objects.update(paused_until=timezone.now() - timedelta(seconds=1))
    for number in range(20):
        hosts.on(f"/{number}", answer(show(1)))
    make_due()
    assert pump() == len(ids)
    host = FeedHost.objects.get(name="127.0.6.1")
    assert (host.failures, host.pauses, host.paused_until) == (0, 0, None)
