"""feed_block, as an operator runs it."""

from io import StringIO
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command

from eventstore import log, marks
from eventstore.domain.identifiers import feed_of_url, key_of, url_of_feed
from operations.feeds import NO_ADDRESS
from projections import public
from tests.domain.scenarios import NOON
from tests.feeds.rows import FeedFactory
from tests.privacy.acts import level
from tests.projecting import bring_up_to_date
from tests.projections.histories import FEED, record, subscribed

pytestmark = pytest.mark.usefixtures("stores")
URL = url_of_feed(FEED)
KEY = UUID(key_of(FEED))
UNKNOWN = "https://example.org/nobody-follows.xml"


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("feed_block", *arguments, stdout=out)
    return out.getvalue()


@pytest.mark.parametrize("name", [URL, FEED, FEED.rstrip("="), URL.replace("example", "EXAMPLE"), KEY.hex])
def test_a_feed_is_blocked_and_no_longer_however_it_is_named(name: str) -> None:
    alice = uuid4()
    record(level("public", alice), subscribed(alice, FEED))
    bring_up_to_date()
    assert public.timeline(10)[0]
    assert run(name) == "Blocked.\n"
    head = log.head()
    assert run(name) == "It was blocked already.\n"
    assert log.head() == head
    bring_up_to_date()
    assert public.timeline(10) == ([], None)
    assert run(name, "--lift") == "No longer blocked by you.\n"
    head = log.head()
    assert run(name, "--lift") == "You have not blocked it.\n"
    assert log.head() == head
    bring_up_to_date()
    assert public.timeline(10)[0]


def test_the_list_names_the_feeds_that_are_known_and_the_digests_of_others() -> None:
    assert run("--list") == "No feed is blocked.\n"
    record(subscribed(uuid4(), FEED))
    bring_up_to_date()
    marks.mark(FEED, "publisher", NOON, blocked=True)
    run(UNKNOWN)
    digest = UUID(key_of(feed_of_url(UNKNOWN))).hex
    (of_publisher, of_operator) = sorted(run("--list").splitlines(), key=lambda line: line.split()[2:])[::-1]
    assert of_publisher == f"{NOON:%Y-%m-%d %H:%M} publisher {URL}"
    assert of_operator.endswith(f" operator {digest}")
    run("--lift", digest)
    assert run("--list").splitlines() == [of_publisher]


def test_what_the_publisher_blocks_the_operator_does_not_lift() -> None:
    marks.mark(FEED, "publisher", NOON, blocked=True)
    output = "You have not blocked it.\nIts publisher blocks it, and so it stays.\n"
    assert run("--lift", URL) == output
    run(URL)
    assert run("--lift", URL).endswith("Its publisher blocks it, and so it stays.\n")


def test_a_feed_is_blocked_at_every_address_that_it_has_had() -> None:
    addresses = [URL, "https://old.example/feed.xml"]
    FeedFactory.create(url=URL, aliases=addresses[1:])
    for blocked, arguments in ((True, (addresses[1],)), (False, ("--lift", addresses[0]))):
        run(*arguments)
        marked = {mark.feed_key for mark in marks.feed_marks() if mark.blocked is blocked}
        assert marked == {UUID(key_of(feed_of_url(url))) for url in addresses}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["ftp://example.org/feed"], "Not a feed: not an absolute http or https URL."),
        (["https://me:secret@example.org/feed"], "Not a feed: an address must not carry credentials."),
        (["example.org"], f"Not a feed: {NO_ADDRESS}."),
        ([], "Name one feed, or --list all."),
        (["--list", URL], "Name one feed, or --list all."),
    ],
)
def test_what_is_no_feed_is_refused_in_one_line(arguments: list[str], reason: str) -> None:
    with pytest.raises(CommandError) as refused:
        run(*arguments)
    assert str(refused.value) == reason
    assert log.head() == 0
