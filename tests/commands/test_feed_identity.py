"""feed_merge, feed_unmerge and feed_moves, as an operator runs them."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from eventstore import marks
from eventstore.domain.identifiers import feed_of_url
from feeds import moves
from feeds.models import FeedMove
from tests.feeds.shows import DAY, NOON, A, B, C, at_address, fetched, read

pytestmark = pytest.mark.usefixtures("stores")
SECRET = "https://www.patreon.com/rss/show?auth=Zk3rTq8wLm5vXc2yBn7d"


def run(command: str, *arguments: str) -> str:
    out = StringIO()
    call_command(command, *arguments, stdout=out)
    return out.getvalue()


def test_two_feeds_are_merged_and_parted_however_they_are_named() -> None:
    feed, kept = read(A, ["1", "2"]), read(B, ["1"])
    assert run("feed_merge", feed_of_url(A), "HTTPS://B.example:443/feed.xml") == (
        f"Merged: {A} leads to {B}.\n"
    )
    assert at_address(A) == kept
    assert run("feed_unmerge", A) == f"Unmerged: {A} is a separate feed again, beside {B}.\n"
    assert (at_address(A), at_address(B)) == (feed, kept)


def test_what_cannot_be_merged_or_parted_is_said_in_one_line() -> None:
    for url in (A, B, SECRET):
        read(url, ["1"])
    marks.mark(feed_of_url(B), "operator", NOON, blocked=True)
    for arguments, reason in [
        (("feed_merge", A, C), "No feed is known by this address."),
        (("feed_merge", A, A), "Not merged: these are not two feeds."),
        (("feed_merge", A, SECRET), "Not merged: a secret feed is never merged with another."),
        (("feed_merge", "ftp://a.example/", A), "Not a feed: not an absolute http or https URL."),
        (("feed_unmerge", A), "Not unmerged: this feed was not merged into another."),
        (("feed_moves", "--follow", A, C), "There is no such move to decide on"),
    ]:
        with pytest.raises(CommandError, match=reason):
            run(*arguments)
    with pytest.raises(CommandError, match="Not merged: one of them is blocked"):
        run("feed_merge", A, B)


def waiting() -> None:
    """Record a feed that moved from A to B and back to A, so that one of the moves waits for the operator."""
    feed = read(A, ["1", "2"])
    for days, url, to in [(0, A, B), (1, B, A)]:
        moves.observe(feed.pk, fetched(url, (301, to)), None, None, NOON + days * DAY)
        moves.settle(NOON + days * DAY)


def test_a_move_that_waits_is_listed_and_followed() -> None:
    assert run("feed_moves") == "No move waits for you.\n"
    assert run("feed_moves", "--all") == "No move is known.\n"
    waiting()
    assert run("feed_moves") == f"2026-05-01 12:00 waiting moved 1x {A} {B}\n"
    assert run("feed_moves", "--all").splitlines()[0] == f"2026-05-02 12:00 followed moved 1x {B} {A}"
    assert run("feed_moves", "--follow", A, B) == "Moved.\n"
    assert at_address(A).url == B
    assert run("feed_moves") == "No move waits for you.\n"


def test_a_move_that_is_refused_is_asked_about_no_more() -> None:
    waiting()
    assert run("feed_moves", "--refuse", A, B) == "Refused.\n"
    assert run("feed_moves") == "No move waits for you.\n"
    assert FeedMove.objects.get(to_url=B).decided == "refused"
    assert at_address(B).url == A
