"""What an operator learns about feeds: messages that say what is wrong and what to do next."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone
from pytest_django.fixtures import Settings

from feeds.models import FeedAlias, FeedHost, FeedSchedule
from tests.feeds.conftest import origin
from tests.feeds.origin import Origin, answer, redirect, status_only
from tests.feeds.pumping import follow, make_due, show
from tests.feeds.rows import alias_key

__all__ = ["origin"]  # a fixture
pytestmark = pytest.mark.usefixtures("stores")


def output_of(command: str, *arguments: str) -> str:
    """Return a command's output, followed by the reason if it failed."""
    out = StringIO()
    try:
        call_command(command, *arguments, stdout=out)
    except CommandError as failure:
        return f"{out.getvalue()}FAILED: {failure}"
    return out.getvalue()


def test_refreshing_an_unknown_feed_makes_it_known_and_tells_what_it_is(origin: Origin) -> None:
    origin.on("/feed", answer(show(1, 2, title="The show")))
    text = output_of("feed_refresh", origin.url("/feed"))
    assert f"Fetching {origin.url('/feed')} …" in text
    assert "Read: The show, 2 episodes.\nUp to date.\n" in text
    assert "Next fetch 20" in text
    assert "FAILED" not in text
    assert FeedSchedule.objects.get().asked_at is not None


def test_it_reads_again_what_has_not_changed_if_told_to(origin: Origin) -> None:
    origin.on("/feed", answer(show(1), etag='"1"'))
    for options in ([], [], ["--whole"]):
        assert "Read: Show, 1 episode." in output_of("feed_refresh", *options, origin.url("/feed"))
    sent = [request.headers.get("if-none-match") for request in origin.requests]
    assert sent == [None, '"1"', None]


def test_what_went_wrong_and_when_it_is_tried_again_is_said_in_words(origin: Origin) -> None:
    origin.on("/none", status_only(404))
    text = output_of("feed_refresh", origin.url("/none"))
    assert "There is nothing at this address." in text
    assert "Next fetch 20" in text
    assert text.endswith("FAILED: It could not be read (not_found).")
    origin.on("/page", answer(b"<html><body>Hello</body></html>", content_type="text/html"))
    assert "There is no feed at this address, but something else." in output_of(
        "feed_refresh", origin.url("/page")
    )
    origin.on("/circle", redirect("/circle"))
    assert "redirects too often, or in a circle" in output_of("feed_refresh", origin.url("/circle"))
    origin.stop()
    assert "cannot be reached" in output_of("feed_refresh", origin.url("/feed"))


def test_an_address_that_is_not_fetched_from_names_the_settings_that_say_so(settings: Settings) -> None:
    settings.FEED_ALLOW_NETWORKS = ()
    text = output_of("feed_refresh", "http://127.0.0.1/feed")
    assert "FAILED: It could not be read (refused). FEED_ALLOW_NETWORKS and FEED_PORTS say" in text


def test_a_host_that_asked_us_to_wait_is_not_asked(origin: Origin) -> None:
    origin.on("/feed", status_only(429, ("Retry-After", "3600")))
    first = output_of("feed_refresh", origin.url("/feed"))
    assert "127.0.0.1 asked to be left alone until" in first
    again = output_of("feed_refresh", origin.url("/feed"))
    assert "FAILED: Nothing was fetched. 127.0.0.1 asked to be left alone until" in again
    assert len(origin.requests) == 1


def test_no_feed_and_an_unknown_one_are_told_as_such() -> None:
    assert "FAILED: Not a feed: not an absolute http or https URL." in output_of("feed_refresh", "ftp://x/y")
    for name in ("%%%", "notaurl", "example.org/feed.xml"):
        assert "FAILED: Not a feed: its address begins with http:// or https://" in output_of(
            "feed_show", name
        )
    assert "FAILED: No feed is known by this address" in output_of("feed_show", "https://example.org/feed")


def test_one_feed_is_shown_by_any_address_that_it_has_or_had(origin: Origin) -> None:
    origin.on("/feed", answer(show(*range(9), title="The show")))
    (feed_id,) = follow(origin, "/feed")
    output_of("feed_refresh", origin.url("/feed"))
    old = "https://old.example/feed"
    FeedAlias.objects.create(feed_key=alias_key(old), url=old, feed_id=feed_id, reason="moved")
    FeedSchedule.objects.update(followers=1_234)
    text = output_of("feed_show", old)
    for part in (
        "The show  (",
        origin.url("/feed"),
        "Up to date.",
        "9 episodes; version 1",
        "1,234 followers",
    ):
        assert part in text
    assert f"Also known as {old} (moved, since 20" in text
    assert text.count("  Episode ") == 5
    FeedSchedule.objects.update(next_at=None)
    assert "Not refreshed: nobody follows it" in output_of("feed_show", old)


def test_what_is_wrong_with_a_feed_is_told_once_and_with_the_status(origin: Origin) -> None:
    origin.on("/feed", answer(show(1)), status_only(404), status_only(410))
    url = origin.url("/feed")
    output_of("feed_refresh", url)
    make_due()
    output_of("feed_refresh", "--whole", url)
    text = output_of("feed_show", url)
    assert text.count("There is nothing at this address.") == 1
    assert "(HTTP 404); the last good one 20" in text
    assert "; 1 failure in a row" in text
    assert "1 episode; version" in text
    FeedSchedule.objects.update(error_since=timezone.now() - timedelta(days=3))
    output_of("feed_refresh", "--whole", url)
    text = output_of("feed_show", url)
    assert text.count("There is nothing at this address.") == 1
    assert "(HTTP 410)" in text
    assert "; 2 failures in a row" in text


def test_the_state_of_all_feeds_is_told_in_words_and_for_programs(origin: Origin) -> None:
    origin.on("/feed", answer(show(1)))
    assert "0 feeds: 0 never read so far" in output_of("feed_status")
    follow(origin, "/feed", "/none", "/nowhere", "/unread")
    for path in ("/feed", "/none", "/nowhere"):
        output_of("feed_refresh", origin.url(path))
    FeedHost.objects.create(name="busy.example", paused_until=timezone.now() + timedelta(hours=1))
    text = output_of("feed_status")
    assert "4 feeds: 3 never read so far, 2 that failed the last time, 0 that nobody follows" in text
    assert "2  not_found: There is nothing at this address." in text
    assert "busy.example (0 feeds) asked us to wait; until 20" in text
    assert "Due now: 1" in text
    assert "is a worker" not in text
    make_due()
    FeedSchedule.objects.update(next_at=timezone.now() - timedelta(hours=3))
    assert "What is due has waited for 3 hours: is a worker for the queue feeds running" in output_of(
        "feed_status"
    )
    found = json.loads(output_of("feed_status", "--json"))
    assert (found["feeds"], found["due"], found["errors"]) == (4, 4, {"not_found": 2})
    assert found["overdue_s"] > 10_000
    assert [host["name"] for host in found["hosts"]] == ["busy.example"]


def test_feeds_of_a_host_that_is_left_alone_are_not_due(origin: Origin) -> None:
    follow(origin, "/feed", "/other")
    FeedSchedule.objects.update(next_at=timezone.now() - timedelta(hours=3))
    FeedHost.objects.update(paused_until=timezone.now() + timedelta(hours=1))
    text = output_of("feed_status")
    assert "Due now: 0\n" in text
    assert "is a worker" not in text
    assert "Hosts that are left alone: 1, with 2 feeds:" in text
    FeedHost.objects.update(paused_until=timezone.now() - timedelta(hours=1))
    assert "Due now: 2, the longest for 3 hours" in output_of("feed_status")
