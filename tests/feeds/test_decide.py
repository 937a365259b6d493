"""When a feed is fetched again, by tables: interval, backoff, neutral outcomes, and pauses of hosts."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from feeds.decide import (
    DAY,
    HOUR,
    MINUTE,
    NETWORK,
    Answer,
    Host,
    Schedule,
    asked_by,
    at_least,
    host_after,
    interval_of,
    schedule_after,
)

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
HALF_AN_HOUR = 30 * MINUTE
OK = Answer("ok", 200, interval_s=4 * HOUR)
HOST = Host(1, "example.org")
NEW = Schedule(1, first_seen_at=NOON, interval_s=HOUR)


def seconds(schedule: Schedule, now: datetime = NOON) -> float:
    assert schedule.next_at is not None
    return (schedule.next_at - now).total_seconds()


def after(old: Schedule, code: str, now: datetime = NOON, jitter: float = 0.5, **answer: Any) -> Schedule:
    return schedule_after(old, Answer(code, **answer), HOST, now, jitter)


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        ([], 6 * HOUR),
        ([0], 6 * HOUR),
        ([0, 24, 48, 72], 6 * HOUR),
        ([0, 12, 24], 3 * HOUR),
        ([0, 1, 2, 3], HALF_AN_HOUR),
        ([0, 0, 0, 0], HALF_AN_HOUR),
        ([0, 168, 336, 504], 12 * HOUR),
        ([0, 1, 2, 500], HALF_AN_HOUR),
        # only the newest twenty count, so the monthly episodes before them do not matter
        ([*range(0, 8 * 20, 8), *range(1_000, 20_000, 700)], 2 * HOUR),
        ([366 * 24, 367 * 24], DAY),
    ],
)
def test_the_interval_follows_how_often_there_is_something_new(hours: list[int], expected: int) -> None:
    assert interval_of([NOON - timedelta(hours=each) for each in hours], NOON) == expected


@pytest.mark.parametrize(
    ("ttl_s", "expected"),
    [(None, HOUR), (0, HOUR), (60, HOUR), (-1, HOUR), (2 * HOUR, 2 * HOUR), (9 * DAY, DAY), (2**31, HOUR)],
)
def test_a_document_may_ask_for_a_longer_interval(ttl_s: int | None, expected: int) -> None:
    assert at_least(HOUR, ttl_s) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 0),
        ({"cache-control": "no-cache, no-store, must-revalidate"}, 0),
        ({"cache-control": "public, max-age=7200"}, 7_200),
        ({"cache-control": 'MAX-AGE="7200"'}, 7_200),
        ({"cache-control": "max-age=0"}, 300),
        ({"cache-control": "max-age=999999999"}, DAY),
        ({"cache-control": "max-age=99999999999"}, 0),
        ({"cache-control": "max-age=-5"}, 0),
        ({"cache-control": "max-age=soon"}, 0),
        ({"cache-control": "max-age=600, max-age=7200"}, 600),
        ({"cache-control": "s-maxage=7200"}, 0),
        ({"expires": "Fri, 01 May 2026 14:00:00 GMT"}, 7_200),
        ({"expires": "Fri, 01 May 2026 11:00:00 GMT"}, 0),
        # the clock of a server may be wrong: only ours counts
        ({"expires": "Fri, 01 May 2026 14:00:00 GMT", "date": "Thu, 01 Jan 1998 00:00:00 GMT"}, 7_200),
        ({"expires": "0"}, 0),
        ({"expires": "Fri, 99 May 2026 14:00:00 GMT"}, 0),
        ({"expires": "Fri, 01 May 2026 18:00:00 GMT", "cache-control": "max-age=600"}, 600),
    ],
)
def test_headers_of_caching_are_a_lower_bound_within_reason(headers: dict[str, str], expected: int) -> None:
    assert asked_by(headers, NOON) == expected


@given(st.text(), st.text())
def test_no_header_is_too_odd(cache_control: str, expires: str) -> None:
    assert 0 <= asked_by({"cache-control": cache_control, "expires": expires}, NOON) <= DAY


def test_a_good_answer_ends_all_failures_and_is_jittered_by_a_tenth() -> None:
    failing = replace(NEW, state="dead", failures=9, error="timeout", error_since=NOON, episodes=3)
    for jitter, expected in ((0.0, 3.6), (0.5, 4.0), (1.0, 4.4)):
        new = schedule_after(failing, replace(OK, episodes=7), HOST, NOON, jitter)
        assert seconds(new) == pytest.approx(expected * HOUR)
        assert (new.state, new.failures, new.error, new.error_since) == ("active", 0, "", None)
        assert (new.ok_at, new.fetched_at, new.status, new.episodes) == (NOON, NOON, 200, 7)
    unchanged = schedule_after(replace(NEW, etag="1", episodes=3), Answer("ok", 304), HOST, NOON, 0.5)
    assert (unchanged.etag, unchanged.episodes, seconds(unchanged)) == ("1", 3, HOUR)


def test_what_the_server_asks_for_is_the_least() -> None:
    assert seconds(after(NEW, "ok", jitter=0.0, asked_s=3 * HOUR, interval_s=HOUR)) == 3 * HOUR
    assert seconds(after(NEW, "ok", jitter=0.5, asked_s=300, interval_s=HOUR)) == HOUR


def test_a_feed_that_has_been_silent_for_a_year_is_asked_once_a_day() -> None:
    silent = replace(NEW, newest_at=NOON - timedelta(days=366))
    assert seconds(after(silent, "ok")) == DAY


def test_a_hub_that_tells_of_news_spares_requests_while_its_lease_lasts() -> None:
    subscribed = replace(NEW, hub_until=NOON + timedelta(minutes=1))
    good = after(subscribed, "ok", interval_s=HOUR)
    assert (seconds(good), good.interval_s) == (12 * HOUR, HOUR)
    assert seconds(after(subscribed, "ok", interval_s=DAY)) == DAY
    assert seconds(after(subscribed, "timeout")) == HOUR
    assert seconds(after(replace(NEW, hub_until=NOON), "ok", interval_s=HOUR)) == HOUR


def test_failures_in_a_row_wait_twice_as_long_each_and_a_day_at_most() -> None:
    known, waited = replace(NEW, ok_at=NOON), []
    for _ in range(7):
        known = after(known, "http_error", status=500)
        waited.append(seconds(known) / HOUR)
    assert waited == [1, 2, 4, 8, 16, 24, 24]
    assert (known.failures, known.error, known.error_since, known.state) == (7, "http_error", NOON, "failing")
    busy = replace(NEW, interval_s=5 * MINUTE)
    assert seconds(after(busy, "timeout")) == HALF_AN_HOUR
    assert seconds(after(NEW, "timeout", jitter=0.0)) == pytest.approx(0.8 * HOUR)
    assert seconds(after(NEW, "timeout", jitter=1.0)) == pytest.approx(1.2 * HOUR)
    assert [seconds(after(replace(NEW, failures=n), "forbidden", status=403)) / HOUR for n in (0, 1, 9)] == [
        *(1, 2, 24)
    ]
    assert seconds(after(NEW, "needs_login", status=401)) == DAY


def test_a_thousand_feeds_that_fail_together_are_spread_over_the_whole_span() -> None:
    waits = sorted(seconds(after(NEW, "timeout", jitter=number / 1_000)) for number in range(1_000))
    assert waits[0] == pytest.approx(0.8 * HOUR, rel=0.01)
    assert waits[-1] == pytest.approx(1.2 * HOUR, rel=0.01)
    assert max(later - earlier for earlier, later in pairwise(waits)) < 5


def test_after_three_months_without_success_it_is_tried_every_week_and_comes_back() -> None:
    known, now = replace(NEW, ok_at=NOON, state="failing", failures=99), NOON + timedelta(days=90)
    dead = after(known, "timeout", now)
    assert (dead.state, seconds(dead, now)) == ("dead", 7 * DAY)
    never_good = replace(NEW, first_seen_at=NOON, failures=99)
    assert after(never_good, "timeout", now).state == "dead"
    assert after(dead, "ok", now).state == "active"


def test_gone_takes_two_410_a_day_apart_and_is_tried_again_for_ever() -> None:
    known, now = replace(NEW, ok_at=NOON), NOON
    first = after(known, "not_found", now, jitter=0.0, status=410)
    assert (first.state, first.error, seconds(first)) == ("failing", "not_found", DAY)
    early = after(first, "not_found", now + timedelta(hours=1), status=410)
    assert early.state == "failing"
    now += timedelta(days=1)
    gone = after(first, "not_found", now, status=410)
    waits = [seconds(gone, now) / DAY]
    assert (gone.state, gone.error) == ("gone", "gone")
    for code in ("not_found", "timeout", "not_found"):
        assert gone.next_at is not None
        now = gone.next_at
        gone = after(gone, code, now, status=410)
        assert (gone.state, gone.error) == ("gone", "gone")
        waits.append(seconds(gone, now) / DAY)
    assert waits == [7, 14, 28, 28]
    assert after(gone, "ok", now).state == "active"
    other = after(replace(first, status=404), "not_found", NOON + timedelta(days=2), status=410)
    assert other.state == "failing"


def test_a_clock_that_goes_back_neither_ends_nor_hurries_anything() -> None:
    known = replace(NEW, state="gone", fetched_at=NOON, ok_at=NOON, error="gone", error_since=NOON)
    earlier = NOON - timedelta(hours=1)
    assert seconds(after(known, "not_found", earlier, status=410), earlier) == 7 * DAY
    first = after(replace(NEW, ok_at=NOON), "not_found", status=410)
    assert after(first, "not_found", earlier, status=410).state == "failing"
    assert seconds(after(known, "ok", earlier), earlier) == HOUR
    assert host_after(HOST, "timeout", None, earlier).failures == 1


def test_a_server_that_asks_for_fewer_requests_says_nothing_about_the_feed() -> None:
    active = replace(NEW, state="active", ok_at=NOON)
    host = host_after(HOST, "rate_limited", 3_600, NOON)
    assert host.paused_until == NOON + timedelta(hours=1)
    limited = schedule_after(active, Answer("rate_limited", 429), host, NOON, 0.5)
    assert (limited.state, limited.failures, limited.error) == ("active", 0, "rate_limited")
    assert seconds(limited) == HOUR + 30


@pytest.mark.parametrize(
    ("retry_after_s", "pauses", "expected"),
    [
        (None, 0, 15 * MINUTE),
        (None, 1, 30 * MINUTE),
        (None, 9, 6 * HOUR),
        (0, 0, 5 * MINUTE),
        (-10, 0, 5 * MINUTE),
        (3_600, 5, HOUR),
        (10**9, 0, DAY),
    ],
)
def test_retry_after_counts_within_reason(retry_after_s: int | None, pauses: int, expected: int) -> None:
    host = host_after(replace(HOST, pauses=pauses), "rate_limited", retry_after_s, NOON)
    assert host.paused_until == NOON + timedelta(seconds=expected)
    assert (host.pauses, host.connections, host.failed_at) == (pauses + 1, 2, NOON)


def test_five_failures_of_the_network_pause_a_host_then_one_tries_for_all() -> None:
    host, now = replace(HOST, connections=6), NOON
    for number in range(1, 6):
        assert not host.is_paused(now)
        host = host_after(host, "timeout", None, now)
        assert (host.failures, host.connections) == (number, 2)
    waits = []
    for _ in range(7):
        assert host.paused_until is not None
        waits.append((host.paused_until - now).total_seconds() / MINUTE)
        # outcomes of fetches that were already in progress when the pause began
        assert host_after(host, "ok", None, now) == host
        assert host_after(host, "tls", None, now).paused_until == host.paused_until
        assert host_after(host, "rate_limited", 99_999, now) == host
        now = host.paused_until
        assert host.is_suspect
        assert not host.is_paused(now)
        host = host_after(host, "unreachable", None, now)
    assert waits == [15, 30, 60, 120, 240, 360, 360]
    assert host.paused_until is not None
    free = host_after(host, "not_found", None, host.paused_until)
    assert (free.failures, free.pauses, free.paused_until, free.is_suspect) == (0, 0, None, False)


def test_an_address_that_is_refused_here_says_nothing_about_its_host() -> None:
    suspect = replace(HOST, failures=3)
    assert host_after(suspect, "refused", None, NOON) == suspect


CODES = [*NETWORK, "ok", "not_found", "rate_limited", "needs_login", "forbidden", "not_a_feed", "refused"]


@given(
    st.lists(st.tuples(st.sampled_from(CODES), st.integers(0, 40 * DAY)), min_size=1, max_size=60),
    st.floats(0, 1),
)
def test_nothing_ever_ends_the_trying(history: list[tuple[str, int]], jitter: float) -> None:
    schedule, host, now = NEW, HOST, NOON
    for code, pause in history:
        now += timedelta(seconds=pause)
        host = host_after(host, code, None, now)
        schedule = schedule_after(
            schedule, Answer(code, 410 if code == "not_found" else None), host, now, jitter
        )
        assert 0 < seconds(schedule, now) <= 29.5 * DAY
    assert schedule_after(schedule, OK, host, now, jitter).state == "active"
