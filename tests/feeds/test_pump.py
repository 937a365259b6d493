"""A pump over a real server: what is due is fetched, read, stored, and due again."""

from datetime import timedelta

import pytest
from django.utils import timezone

from feeds.models import Episode, Feed, FeedSchedule
from tests.feeds.origin import Origin, answer, status_only
from tests.feeds.pumping import feed, follow, make_due, pump, schedule, show, titles, versions

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
