"""Describe the state of a feed, as a code for programs and a sentence for people. Pure.

No sentence contains an address, a header, a body or anything else that a foreign server sent, except the name
of the feed's own host.
"""

from datetime import datetime, timedelta
from typing import Literal, NamedTuple, TypeAlias

Code: TypeAlias = Literal["new", "ok", "stale", "failing", "moved", "gone", "dead", "paused"]

# a failure gets a sentence of its own after this time
LASTING = timedelta(hours=48)
# a move is reported for this long
NEWS = timedelta(days=14)
# descriptions of what is wrong, by the code of the last fetch
ERRORS = {
    "unreachable": "Its server cannot be reached.",
    "timeout": "Its server takes too long to answer.",
    "tls": "No safe connection to its server can be made; its certificate may have expired.",
    "refused": "This server does not fetch from that address.",
    "too_many_redirects": "Its server redirects too often, or in a circle.",
    "too_large": "It is larger than a feed may be.",
    "bad_answer": "Its server answered in a way that cannot be used.",
    "not_a_feed": "There is no feed at this address, but something else.",
    "unsupported": "It is in a format that is not supported.",
    "unreadable": "It is damaged and cannot be read.",
    "needs_login": "Its server asks for a user name and a password.",
    "forbidden": "Its server refuses access to it.",
    "not_found": "There is nothing at this address.",
    "gone": "Its publisher has ended it.",
    "rate_limited": "Its server asks for fewer requests.",
    "http_error": "Its server answered with an error.",
}
# codes of servers that did not answer at all
SILENT = ("unreachable", "timeout", "tls")
UNKNOWN = "It could not be fetched."
# the client's codes for answers that pause a host
CODES = {"paused": "rate_limited"}


class FeedError(NamedTuple):
    """What went wrong at the last fetch; ``since``: when it first did; ``status``: of HTTP, if known."""

    code: str
    detail: str
    since: datetime | None
    status: int | None


class FeedState(NamedTuple):
    code: Code
    text: str


class Facts(NamedTuple):
    """What is known of a feed's fetches. ``stored_state`` is ``Feed.state``; ``moved_at``: when the feed last
    moved to another address."""

    stored_state: str
    host: str
    fetched_at: datetime | None
    ok_at: datetime | None
    next_at: datetime | None
    error: str
    error_since: datetime | None
    status: int | None
    paused_until: datetime | None
    host_failures: int | None
    moved_at: datetime | None


def error_of(facts: Facts) -> FeedError | None:
    """Return what went wrong at the last fetch; None where nothing did."""
    if not facts.error:
        return None
    code = CODES.get(facts.error, facts.error)
    return FeedError(code, ERRORS.get(code, UNKNOWN), facts.error_since, facts.status)


def state_of(facts: Facts, now: datetime) -> FeedState:
    """Return the state of a feed. ``now`` is compared with the times of a pause, a failure and a move."""
    if facts.stored_state == "gone":
        return FeedState("gone", f"{ERRORS['gone']}{_again(facts)}")
    if facts.stored_state == "dead":
        return FeedState("dead", f"Silent for {_days(facts, now)} days; still tried every week.")
    if facts.paused_until is not None and facts.paused_until > now:
        return FeedState("paused", _pause(facts, facts.paused_until))
    if facts.error:
        return _failure(facts, now)
    if facts.ok_at is None:
        return FeedState("new", "Not read yet.")
    if facts.moved_at is not None and facts.moved_at > now - NEWS:
        return FeedState("moved", f"Moved to {facts.host}.")
    return FeedState("ok", "Up to date.")


def _pause(facts: Facts, until: datetime) -> str:
    if facts.host_failures:
        again = max(until, facts.next_at or until)
        return f"{facts.host} does not answer; tried again at {_moment(again)}."
    return f"{facts.host} asked to be left alone until {_moment(until)}."


def _failure(facts: Facts, now: datetime) -> FeedState:
    since, error = facts.error_since or now, error_of(facts)
    assert error is not None
    if facts.ok_at is None or since <= now - LASTING:
        return FeedState("failing", f"{error.detail}{_again(facts)}")
    begun = "Not reachable" if error.code in SILENT else f"{error.detail} Failing"
    again = f"; tried again at {_moment(facts.next_at)}" if facts.next_at else ""
    return FeedState("stale", f"{begun} since {_moment(since)}{again}.")


def _again(facts: Facts) -> str:
    return f" Tried again at {_moment(facts.next_at)}." if facts.next_at else ""


def _days(facts: Facts, now: datetime) -> int:
    return max((now - (facts.ok_at or facts.error_since or now)).days, 0)


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
