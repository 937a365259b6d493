"""Why a podcast is not up to date, as its page says it."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import translation

from tests.feeds.known import NOW
from tests.feeds.test_states import facts
from web import feed_errors

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, ""),
        ({"moved_at": NOW}, ""),
        ({"stored_state": "gone", "error": "gone"}, "Its publisher has ended it."),
        ({"stored_state": "dead", "error": "not_found"}, "There is nothing at this address."),
        ({"error": "timeout", "error_since": NOW}, "Its server takes too long to answer."),
        ({"paused_until": NOW + HOUR}, "Its server asks for fewer requests."),
        ({"paused_until": NOW + HOUR, "error": "rate_limited"}, "Its server asks for fewer requests."),
        ({"paused_until": NOW + HOUR, "host_failures": 5}, "Its server cannot be reached."),
        (
            {"paused_until": NOW + HOUR, "host_failures": 5, "error": "tls", "error_since": NOW},
            "No safe connection to its server can be made; its certificate may have expired.",
        ),
        ({"error": "of-a-later-version", "error_since": NOW}, "It could not be fetched."),
    ],
)
def test_what_is_wrong_is_told_and_when_it_is_tried_again(changes: dict[str, Any], message: str) -> None:
    found = feed_errors.of(facts(**changes), NOW)
    assert found.startswith(message)
    assert ("It is tried again at" in found) == bool(message)


def test_it_is_told_in_french() -> None:
    with translation.override("fr"):
        found = feed_errors.of(facts(stored_state="gone", error="gone"), NOW)
    assert found == "Son éditeur y a mis fin. Nouvel essai le 20 novembre 2026, 13:00 UTC."
