"""Feeds whose servers move them, from the first redirect to the address that is fetched in the end."""

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from eventstore.domain.identifiers import feed_of_url
from feeds import lookups, moves
from feeds.models import Episode, Feed, FeedMove
from feeds.moves import Settled
from feeds.store import ensure
from tests.feeds.origin import Origin, answer, redirect
from tests.feeds.pumping import item, make_due, pump, rss, show
from tests.feeds.shows import DAY, HOUR, aliases, at_address

pytestmark = pytest.mark.usefixtures("stores")


@pytest.fixture
def served(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> Origin:
    """An origin also named old.example and new.example: a bare IP address would count as a secret one."""
    monkeypatch.setattr(lookups, "resolve", lambda host: ("127.0.0.1",))
    return origin


class Clock:
    """A clock that stands still until a test sets it."""

    def __init__(self) -> None:
        self.now = timezone.now()

    def __call__(self) -> datetime:
        return self.now


def follow(url: str, clock: Clock) -> Feed:
    ensure([feed_of_url(url)], clock.now, asked=True)
    fetch_all(clock)
    return at_address(url)


def fetch_all(clock: Clock, later: timedelta = timedelta(0)) -> Settled:
    """Fetch every feed after advancing the clock by ``later``, and settle what was observed."""
    clock.now += later
    make_due(Feed.objects.filter(merged_into=None).values_list("pk", flat=True))
    pump(clock=clock)
    return moves.settle(clock.now)


@pytest.mark.parametrize("status", [301, 308])
def test_a_show_that_moves_for_good_is_fetched_where_it_is_from_then_on(served: Origin, status: int) -> None:
    clock, old, new = Clock(), *(served.url("/feed", host=f"{name}.example") for name in ("old", "new"))
    served.on("/feed", answer(show(1, 2), etag='"1"'))
    feed = follow(old, clock)
    served.on("/new", answer(show(1, 2, 3), etag='"2"'))
    served.on("/feed", redirect(new.replace("/feed", "/new"), status))
    new = new.replace("/feed", "/new")
    assert fetch_all(clock, HOUR) == Settled(moved=1)
    assert aliases(feed) == {old: "moved", new: "moved"}
    served.requests.clear()
    assert fetch_all(clock, HOUR) == Settled()
    (asked,) = served.requests
    assert (asked.host, asked.path) == ("new.example", "/new")
    assert "if-none-match" not in asked.headers
    assert Episode.objects.filter(feed=feed, gone_at=None).count() == 3


def test_a_redirect_behind_which_nothing_has_changed_is_one_as_well(served: Origin) -> None:
    clock, old = Clock(), served.url("/feed", host="old.example")
    served.on("/feed", answer(show(1, 2), etag='"1"'))
    follow(old, clock)
    served.on("/new", answer(show(1, 2), etag='"1"'))
    served.on("/feed", redirect(served.url("/new", host="new.example"), 301))
    assert fetch_all(clock, HOUR) == Settled(moved=1)
    assert served.requests[-1].path == "/new"
    assert at_address(old).url == served.url("/new", host="new.example")


def test_a_redirect_for_now_is_never_a_move(served: Origin) -> None:
    clock, old = Clock(), served.url("/feed", host="old.example")
    served.on("/feed", answer(show(1, 2)))
    follow(old, clock)
    served.on("/new", answer(show(1, 2, 3)))
    served.on("/feed", redirect(served.url("/new", host="new.example"), 302))
    for _ in range(4):
        assert fetch_all(clock, DAY) == Settled()
    assert at_address(old).url == old
    assert not FeedMove.objects.exists()


def test_a_redirect_to_another_show_is_followed_when_it_has_lasted(served: Origin) -> None:
    clock, old, other = Clock(), *(served.url(path, host="old.example") for path in ("/feed", "/other"))
    served.on("/feed", answer(show(1, 2)))
    follow(old, clock)
    served.on("/other", answer(show(*range(10, 15), title="Another")))
    served.on("/feed", redirect(other, 301))
    assert [fetch_all(clock, DAY).moved for _ in range(4)] == [0, 0, 1, 0]
    assert (at_address(old).url, at_address(old).title) == (other, "Another")


def test_a_show_that_announces_its_new_address_moves_after_a_day(served: Origin) -> None:
    clock = Clock()
    old, new = (served.url(f"/{name}", host=f"{name}.example") for name in ("old", "new"))
    announced = f'<x:new-feed-url xmlns:x="http://www.itunes.com/dtds/podcast-1.0.dtd">{new}</x:new-feed-url>'
    served.on("/old", answer(rss(item(2), item(1), more=announced), etag='"1"'))
    served.on("/new", answer(show(1, 2, 3)))
    feed = follow(old, clock)
    assert feed.new_feed_url == new
    # from here on the server answers only 304
    assert fetch_all(clock, 23 * HOUR) == Settled()
    assert not served.asked("/new")
    assert fetch_all(clock, 2 * HOUR) == Settled()
    assert fetch_all(clock, HOUR) == Settled(merged=1)
    assert at_address(old) == at_address(new)
    assert Episode.objects.filter(feed=at_address(old), gone_at=None).count() == 3
    assert fetch_all(clock, HOUR) == Settled()
