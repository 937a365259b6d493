"""The state of a feed, in words."""

from datetime import timedelta
from typing import Any

import pytest

from feeds.states import CODES, ERRORS, Facts, error_of, state_of
from tests.feeds.known import NOW

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def facts(**changes: Any) -> Facts:
    """Facts about a feed that was read an hour ago, with ``changes``."""
    good = Facts("active", "example.org", NOW - HOUR, NOW - HOUR, NOW + HOUR, "", None, 200, None, 0, None)
    return good._replace(**changes)


NEW = {"stored_state": "new", "fetched_at": None, "ok_at": None, "status": None}
SINCE = {"error": "timeout", "status": None, "stored_state": "failing"}


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        (NEW, "new", "Not read yet."),
        ({}, "ok", "Up to date."),
        (
            {**SINCE, "error_since": NOW - 2 * HOUR},
            "stale",
            "Not reachable since 2026-11-20 10:00 UTC; tried again at 2026-11-20 13:00 UTC.",
        ),
        (
            {**SINCE, "error": "not_found", "error_since": NOW - 2 * HOUR},
            "stale",
            f"{ERRORS['not_found']} Failing since 2026-11-20 10:00 UTC; tried again at 2026-11-20 13:00 UTC.",
        ),
        (
            {**SINCE, "error": "http_error", "error_since": NOW - 2 * HOUR, "next_at": None},
            "stale",
            "Its server answered with an error. Failing since 2026-11-20 10:00 UTC.",
        ),
        (
            {**SINCE, "error_since": NOW - 48 * HOUR},
            "failing",
            f"{ERRORS['timeout']} Tried again at 2026-11-20 13:00 UTC.",
        ),
        (
            {**SINCE, "error_since": NOW - HOUR, "ok_at": None, "next_at": None},
            "failing",
            ERRORS["timeout"],
        ),
        ({"moved_at": NOW - 13 * DAY}, "moved", "Moved to example.org."),
        ({"moved_at": NOW - 14 * DAY}, "ok", "Up to date."),
        (
            {"stored_state": "gone", "error": "gone"},
            "gone",
            "Its publisher has ended it. Tried again at 2026-11-20 13:00 UTC.",
        ),
        (
            {"stored_state": "dead", "error": "tls", "ok_at": NOW - 100 * DAY},
            "dead",
            "Silent for 100 days; still tried every week.",
        ),
        (
            {"paused_until": NOW + HOUR},
            "paused",
            "example.org asked to be left alone until 2026-11-20 13:00 UTC.",
        ),
        (
            {"paused_until": NOW + HOUR, "host_failures": 5},
            "paused",
            "example.org does not answer; tried again at 2026-11-20 13:00 UTC.",
        ),
        (
            {"paused_until": NOW + HOUR, "host_failures": 5, "next_at": NOW + 3 * HOUR},
            "paused",
            "example.org does not answer; tried again at 2026-11-20 15:00 UTC.",
        ),
        ({"paused_until": NOW}, "ok", "Up to date."),
    ],
)
def test_a_state_is_told_in_plain_words(changes: dict[str, Any], code: str, text: str) -> None:
    assert state_of(facts(**changes), NOW) == (code, text)


def test_an_error_says_what_since_when_and_with_which_status() -> None:
    assert error_of(facts()) is None
    error = error_of(facts(error="http_error", error_since=NOW, status=500))
    assert error == ("http_error", "Its server answered with an error.", NOW, 500)
    paused = error_of(facts(error="paused", error_since=NOW, status=429))
    assert paused is not None
    assert paused.code == "rate_limited"
    unheard_of = error_of(facts(error="of-a-later-version"))
    assert unheard_of is not None
    assert unheard_of.detail


def test_every_failure_of_the_client_and_the_reader_has_its_words() -> None:
    codes = {
        *("bad_answer", "needs_login", "forbidden", "not_found", "gone", "paused", "http_error", "refused"),
        *("unreachable", "tls", "timeout", "too_large", "too_many_redirects", "not_a_feed", "unsupported"),
    }
    assert [code for code in codes if CODES.get(code, code) not in ERRORS] == []
