"""A pump with a real server: feeds that are due are fetched, read, stored, and scheduled again."""

import os
import sys
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections, transaction
from django.utils import timezone

from eventstore import counters
from eventstore.counters import Key
from feeds.claims import claim_due, claim_one, finish, note_answer
from feeds.documents import Channel, Document
from feeds.documents import Episode as EpisodeRead
from feeds.episodes import LOCK
from feeds.models import Episode, Feed, FeedHost, FeedSchedule
from feeds.pump import NICE, fetch_now, run
from feeds.store import execute
from tests.feeds.origin import Origin, answer, hang, status_only
from tests.feeds.pumping import feed, follow, make_due, pump, schedule, show, titles, versions
from tests.killing import killed_at
from tests.projections.running import eventually

pytestmark = pytest.mark.usefixtures("stores")


def test_a_feed_that_is_due_is_read_stored_and_due_again_later(origin: Origin) -> None:
    origin.on("/feed", answer(show(1, 2, 3), etag='W/"odd etag', last_modified="yesterday"))
    (feed_id,) = follow(origin, "/feed")
    assert pump() == 1
    stored, known = feed(feed_id), schedule(feed_id)
    assert (stored.title, stored.state, stored.episode_count, stored.version) == ("Show", "active", 3, 1)
    assert titles(feed_id) == ["Episode 3", "Episode 2", "Episode 1"]
    assert (known.error, known.failures, known.status, known.episodes) == ("", 0, 200, 3)
    assert known.next_at is not None
    assert timedelta(hours=5) < known.next_at - timezone.now() < timedelta(hours=7)
    assert pump() == 0
    make_due()
    assert pump() == 1
    last = origin.requests[-1].headers
    assert (last["if-none-match"], last["if-modified-since"]) == ('W/"odd etag', "yesterday")
    assert schedule(feed_id).status == 304


def test_the_same_document_writes_no_episode_and_what_is_new_writes_one(origin: Origin) -> None:
    origin.on("/feed", answer(show(*range(200))), answer(show(*range(200))), answer(show(*range(201))))
    (feed_id,) = follow(origin, "/feed")
    pump()
    before, version = versions(feed_id), feed(feed_id).version
    make_due()
    pump()
    assert (versions(feed_id), feed(feed_id).version) == (before, version)
    make_due()
    pump()
    assert len(set(versions(feed_id)) - set(before)) == 1
    assert feed(feed_id).version == version + 1


def test_what_was_good_stays_whatever_comes_after_it(origin: Origin) -> None:
    (feed_id,) = follow(origin, "/feed")
    origin.on("/feed", answer(show(1, 2)))
    pump()
    failures = {
        "not_a_feed": answer(b"<html><body>log in</body></html>", content_type="text/html"),
        "bad_answer": status_only(204),
        "needs_login": status_only(401),
        "forbidden": status_only(403),
        "not_found": status_only(404),
        "http_error": status_only(500),
    }
    before = versions(feed_id)
    for number, (code, handler) in enumerate(failures.items(), 1):
        origin.on("/feed", handler)
        make_due()
        pump()
        known = schedule(feed_id)
        assert (known.error, known.failures, known.feed.state) == (code, number, "failing")
        assert versions(feed_id) == before, code
    origin.on("/feed", answer(show(1, 2, 3)))
    make_due()
    pump()
    known = schedule(feed_id)
    assert (known.error, known.failures, known.feed.state) == ("", 0, "active")
    assert Episode.objects.count() == 3
    assert FeedSchedule.objects.count() == Feed.objects.count() == 1


def test_validators_are_only_sent_of_what_was_read_at_this_address_by_this_reader(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    (feed_id,) = follow(origin, "/feed")
    first = answer(show(1), etag='"1"', last_modified="Fri, 01 May 2026 12:00:00 GMT")

    def asks_conditionally(**changes: object) -> bool:
        origin.on("/feed", first)
        FeedSchedule.objects.update(validators_url=origin.url("/feed"))
        make_due()
        pump()
        assert schedule(feed_id).etag == '"1"'
        FeedSchedule.objects.update(**changes)
        make_due()
        pump()
        headers = origin.requests[-1].headers
        assert ("if-none-match" in headers) == ("if-modified-since" in headers)
        return "if-none-match" in headers

    assert asks_conditionally()
    assert not asks_conditionally(validators_url="http://127.0.0.1/other")
    with monkeypatch.context() as newer:
        newer.setattr("feeds.pump.READER_VERSION", 999)
        newer.setattr("feeds.refresh.READER_VERSION", 999)
        make_due()
        pump()
        assert "if-none-match" not in origin.requests[-1].headers
        assert feed(feed_id).reader_version == 999
    # after a document that cannot be read, the validators of the last readable one are kept
    origin.on("/feed", answer(b"<html/>", etag='"2"'))
    make_due()
    pump()
    assert (schedule(feed_id).error, schedule(feed_id).etag) == ("not_a_feed", '"1"')
    assert fetch_now(feed_id, forced=True) is not None
    assert "if-none-match" not in origin.requests[-1].headers


def test_a_304_that_nobody_asked_for_is_no_answer_and_one_that_was_may_be_newer(origin: Origin) -> None:
    (feed_id,) = follow(origin, "/feed")
    origin.on("/feed", status_only(304))
    pump()
    assert (schedule(feed_id).error, schedule(feed_id).ok_at) == ("bad_answer", None)
    origin.on("/feed", answer(show(1), etag='"1"', last_modified="one day"))
    make_due()
    pump()
    origin.on("/feed", status_only(304, ("Last-Modified", "another day"), body=b""))
    make_due()
    pump()
    known = schedule(feed_id)
    assert (known.error, known.etag, known.last_modified) == ("", '"1"', "another day")


def test_a_feed_that_ended_comes_back_by_itself(origin: Origin) -> None:
    origin.on("/feed", answer(show(1)), status_only(410))
    (feed_id,) = follow(origin, "/feed")
    for _ in range(2):
        make_due()
        pump()
    FeedSchedule.objects.update(fetched_at=timezone.now() - timedelta(hours=25))
    make_due()
    pump()
    known = schedule(feed_id)
    assert (known.feed.state, known.error, titles(feed_id)) == ("gone", "gone", ["Episode 1"])
    origin.on("/feed", answer(show(1, 2)))
    make_due()
    pump()
    assert (feed(feed_id).state, len(titles(feed_id))) == ("active", 2)


def test_a_shrunken_feed_is_asked_for_its_whole_document_once_more(origin: Origin) -> None:
    origin.on("/feed", answer(show(*range(1, 11)), etag='"10"'), answer(show(1, 10), etag='"2"'))
    (feed_id,) = follow(origin, "/feed")
    counts = []
    for _ in range(4):
        make_due()
        pump()
        counts.append(len(titles(feed_id)))
    assert counts == [10, 10, 2, 2]
    sent = [request.headers.get("if-none-match") for request in origin.requests]
    assert sent == [None, '"10"', None, '"2"']


def test_a_value_that_no_row_takes_is_the_documents_fault_and_stops_nobody(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_badly(body: bytes, *, begin: Any, **_: Any) -> Document:
        if b"Bad" in body:
            begin()(EpisodeRead(guid="1", title="a\0b" if b"NUL" in body else "", duration=2**40))
        if b"Fault" in body:
            raise RecursionError
        return Document(Channel(title="Read"), 0, None, False, [])

    monkeypatch.setattr("feeds.refresh.read", read_badly)
    bodies = {"/1": b"Bad", "/2": b"Bad NUL", "/3": b"Fault", "/4": b"good"}
    for path, body in bodies.items():
        origin.on(path, answer(body))
    ids = follow(origin, *bodies)
    assert pump() == 4
    assert [schedule(feed_id).error for feed_id in ids] == ["unreadable"] * 3 + [""]
    assert feed(ids[3]).title == "Read"


def test_where_nothing_is_due_it_ends_at_once(origin: Origin) -> None:
    assert run(0, 1) is None
    origin.on("/feed", answer(show(1)))
    follow(origin, "/feed")
    assert run(0, 1) == 1
    assert run(0, 1) is None


def test_a_pump_runs_once_though_it_is_sent_twice(origin: Origin) -> None:
    origin.on("/feed", answer(show(1), delay=0.3))
    follow(origin, "/feed")
    found: list[int | None] = []

    def work() -> None:
        found.append(run(0, 1))
        connections.close_all()

    first = threading.Thread(target=work)
    first.start()
    eventually(lambda: bool(origin.requests))
    # it is not fetched again, even if the schedule says so: both the row and the pump's number are claimed
    FeedSchedule.objects.update(next_at=timezone.now())
    assert run(0, 1) is None
    first.join(60)
    assert found == [1]


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux do threads have priorities of their own")
def test_a_pump_gives_way_to_whatever_else_its_process_and_machine_do(origin: Origin) -> None:
    def nice() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    origin.on("/feed", answer(show(1)))
    follow(origin, "/feed")
    before, seen = nice(), set[int]()

    def stop() -> bool:
        seen.add(nice())
        return False

    assert run(0, 1, stop=stop) == 1
    assert (seen, nice()) == ({min(19, before + NICE)}, before)


def test_no_commit_because_of_a_fetch_waits_for_the_disk(origin: Origin) -> None:
    def waits() -> str:
        return str(execute("SHOW synchronous_commit").fetchall()[0][0])

    (feed_id,) = follow(origin, "/feed")
    now, usual = timezone.now(), waits()
    (claimed,) = claim_due(now, 0, 1, most=1)
    for act in (
        lambda: claim_one(feed_id, now, at_once=True),
        lambda: finish([(claimed, claimed.schedule)]),
        lambda: note_answer(claimed.host, "timeout", None, now),
        lambda: execute(LOCK, [feed_id]),
    ):
        with transaction.atomic(using="system"):
            execute("SET LOCAL synchronous_commit TO on")
            act()
            assert waits() == "off"
    assert waits() == usual


def test_a_pump_that_is_told_to_stop_gives_back_what_it_has(origin: Origin) -> None:
    origin.otherwise(hang())
    ids = follow(origin, *(f"/{number}" for number in range(5)))
    due = {schedule(feed_id).next_at for feed_id in ids}
    stop = threading.Event()

    def work() -> None:
        pump(stop=stop.is_set)
        connections.close_all()

    worker = threading.Thread(target=work)
    worker.start()
    eventually(lambda: FeedSchedule.objects.filter(next_at__gt=timezone.now()).count() == 5)
    stop.set()
    worker.join(60)
    assert not worker.is_alive()
    assert {schedule(feed_id).next_at for feed_id in ids} == due


def test_feeds_that_wait_longer_than_their_claim_lasts_are_given_back_all_the_same(origin: Origin) -> None:
    def all_claimed() -> bool:
        return FeedSchedule.objects.filter(next_at__gt=timezone.now()).count() == 2

    origin.otherwise(hang())
    ids = follow(origin, "/1", "/2")
    stop = threading.Event()

    def work() -> None:
        pump(stop=stop.is_set)
        connections.close_all()

    worker = threading.Thread(target=work)
    worker.start()
    eventually(all_claimed)
    make_due()  # as when two minutes have passed
    eventually(all_claimed)
    stop.set()
    worker.join(60)
    assert not worker.is_alive()
    now = timezone.now()
    assert [at for feed_id in ids if (at := schedule(feed_id).next_at) is not None and at > now] == []


@pytest.mark.parametrize("point", ["feed_fetched", "feed_stored", "feed_stored:3"])
def test_a_killed_pumps_feeds_are_due_again_within_two_minutes_and_nothing_is_lost(
    origin: Origin, point: str
) -> None:
    paths = [f"/{number}" for number in range(5)]
    for path in paths:
        origin.on(path, answer(show(1, 2), etag=f'"{path}"'))
    ids = follow(origin, *paths)
    killed_at(point, pump)
    now = timezone.now()
    assert pump() == 0
    soon = FeedSchedule.objects.filter(next_at__gt=now, next_at__lte=now + timedelta(minutes=2))
    # only results that were not yet stored are due soon; the pump stores them once a second
    left = FeedSchedule.objects.filter(fetched_at=None)
    assert set(soon.values_list("pk", flat=True)) == set(left.values_list("pk", flat=True)) != set()
    make_due()
    assert pump() == 5
    assert Episode.objects.count() == 10
    assert {schedule(feed_id).error for feed_id in ids} == {""}
    assert [schedule(feed_id).etag for feed_id in ids] == [f'"{path}"' for path in paths]


def test_a_person_waits_for_one_feed_and_not_for_all_that_are_due(origin: Origin) -> None:
    origin.on("/mine", answer(show(1)))
    (feed_id,) = follow(origin, "/mine")
    with connections["system"].cursor() as cursor:
        cursor.execute(
            """WITH new AS (INSERT INTO system.feeds (uid, url)
                SELECT gen_random_uuid(), 'https://many.example/' || n FROM generate_series(1, 30000) n
                RETURNING id),
              host AS (INSERT INTO system.feed_hosts (name) VALUES ('many.example') RETURNING id)
              INSERT INTO system.feed_schedule (feed_id, host_id, slot, next_at)
              SELECT new.id, host.id, 0, now() - interval '1 hour' FROM new, host"""
        )
    started = time.monotonic()
    assert fetch_now(feed_id) is not None
    assert time.monotonic() - started < 2
    assert titles(feed_id) == ["Episode 1"]
    # a host with more due feeds than it may be asked for at once does not delay other hosts
    found = claim_due(timezone.now(), 0, 1, most=200)
    assert {each.host.name for each in found} == {"many.example"}
    make_due([feed_id])
    (other,) = claim_due(timezone.now(), 0, 1, most=200, full=[found[0].host.id])
    assert other.id == feed_id


def test_one_feed_is_fetched_for_people_once_in_five_minutes_and_not_from_a_paused_host(
    origin: Origin,
) -> None:
    origin.on("/feed", answer(show(1)))
    (feed_id,) = follow(origin, "/feed")
    assert fetch_now(feed_id) is not None
    assert fetch_now(feed_id) is None
    assert fetch_now(feed_id, forced=True) is not None
    FeedSchedule.objects.update(fetched_at=timezone.now() - timedelta(minutes=6))
    assert fetch_now(feed_id) is not None
    FeedSchedule.objects.update(fetched_at=timezone.now() + timedelta(hours=1))  # the clock went back
    assert fetch_now(feed_id) is not None
    FeedHost.objects.update(paused_until=timezone.now() + timedelta(minutes=1))
    assert fetch_now(feed_id, forced=True) is None
    assert fetch_now(0) is None


def test_a_fetch_for_a_person_is_given_up_when_the_worker_stops(origin: Origin) -> None:
    origin.on("/feed", hang())
    (feed_id,) = follow(origin, "/feed")
    due = schedule(feed_id).next_at
    assert fetch_now(feed_id, stop=lambda: bool(origin.requests)) is None
    assert (schedule(feed_id).next_at, schedule(feed_id).fetched_at) == (due, None)


def test_how_fetches_ended_is_counted_and_no_address_is(origin: Origin) -> None:
    origin.on("/feed", answer(show(1, 2)))
    follow(origin, "/feed", "/none")
    before = counted()
    pump()
    make_due()
    pump()
    found = counted()
    grown = {key: found[key] - before.get(key, 0) for key in found if key[0].startswith("feeds")}
    assert grown[("feeds_fetched", "ok")] == grown[("feeds_fetched", "unchanged")] == 1
    assert grown[("feeds_fetched", "not_found")] == 2
    assert grown[("feeds_episodes",)] == 2
    assert grown[("feeds_claimed",)] == 4
    assert grown[("feeds_bytes",)] > 500
    assert "127.0.0" not in str(list(found))


def counted() -> dict[Key, float]:
    assert counters.publish()
    return counters.totals()
