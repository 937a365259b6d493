"""Feeds that move: what is recorded, when it is believed, and what changes then."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction

from eventstore import marks
from eventstore.domain.identifiers import feed_of_url
from feeds import moves
from feeds.documents import Channel
from feeds.fetch import Outcome
from feeds.keys import episode_key
from feeds.models import Feed, FeedAlias, FeedMove, FeedSchedule
from feeds.moves import Settled
from tests.feeds.shows import DAY, GUID, HOUR, NOON, A, B, C, D, aliases, at_address, fetched, read

pytestmark = pytest.mark.usefixtures("stores")

EPISODES = [f"episode {number}" for number in range(20)]
SECRET = "https://www.patreon.com/rss/show?auth=Zk3rTq8wLm5vXc2yBn7d"


def observe(
    feed: Feed, outcome: Outcome, guids: Collection[str] | None, at: datetime, **channel: Any
) -> None:
    """Observe a good fetch as the pump does; ``guids`` are those that were read, None for no change."""
    keys = None if guids is None else [episode_key(guid, "") for guid in guids]
    with transaction.atomic(using="system"):
        moves.observe(feed.pk, outcome, None if guids is None else Channel(**channel), keys, at)
        FeedSchedule.objects.filter(pk=feed.pk).update(ok_at=at)


def moved(feed: Feed, *urls: str, at: datetime = NOON) -> None:
    """Redirect the feed permanently to each of these addresses in turn, and check that it moves each time."""
    for url in urls:
        observe(feed, fetched(at_address(feed.url).url, (301, url)), None, at)
        moves.settle(at)
        feed.refresh_from_db()
        assert feed.url == url


def test_a_redirect_for_now_leaves_no_trace() -> None:
    feed = read(A, EPISODES)
    for hours in range(0, 100, 25):
        observe(feed, fetched(A, (302, B)), None, NOON + hours * HOUR)
    assert moves.settle(NOON + 5 * DAY) == Settled()
    assert not FeedMove.objects.exists()
    assert at_address(A).url == A


def test_a_permanent_redirect_to_something_else_is_believed_when_it_has_lasted_two_days() -> None:
    feed = read(A, EPISODES)
    for hours, done in [(0, Settled()), (24, Settled()), (47, Settled()), (48, Settled(moved=1))]:
        at = NOON + hours * HOUR
        observe(feed, fetched(A, (301, B)), ["another"], at)
        assert moves.settle(at) == done, hours
    feed.refresh_from_db()
    assert (feed.url, feed.version) == (B, 1)
    assert aliases(feed) == {A: "moved", B: "moved"}


def test_the_redirect_of_a_feed_that_was_never_read_has_to_last() -> None:
    feed = read(A, state="new")
    observe(feed, fetched(A, (301, B)), EPISODES, NOON, podcast_guid=str(GUID))
    assert moves.settle(NOON) == Settled()


def test_a_redirect_that_ends_is_forgotten() -> None:
    feed = read(A, EPISODES)
    for hours in (0, 24):
        observe(feed, fetched(A, (301, B)), ["another"], NOON + hours * HOUR)
    observe(feed, fetched(A), None, NOON + 30 * HOUR)
    moves.settle(NOON + 31 * HOUR)
    assert not FeedMove.objects.exists()
    observe(feed, fetched(A, (301, B)), ["another"], NOON + 60 * HOUR)
    assert moves.settle(NOON + 60 * HOUR) == Settled()


@pytest.mark.parametrize("kind", ["guid", "half of the episodes", "the same document"])
def test_a_redirect_to_the_same_show_is_believed_at_once(kind: str) -> None:
    feed = read(A, EPISODES, podcast_guid=GUID)
    match kind:
        case "guid":
            observe(feed, fetched(A, (308, B)), ["new"], NOON, podcast_guid=str(GUID))
        case "half of the episodes":
            observe(feed, fetched(A, (301, B)), [*EPISODES[10:], "new"], NOON)
        case _:
            observe(feed, fetched(A, (301, B), code="not_modified"), None, NOON)
    assert moves.settle(NOON) == Settled(moved=1)
    schedule = FeedSchedule.objects.select_related("host").get(pk=feed.pk)
    assert at_address(A).url == at_address(B).url == B
    assert (schedule.host.name, schedule.etag, schedule.validators_url) == ("b.example", "", "")
    assert moves.settle(NOON) == Settled()


def test_what_is_read_behind_a_redirect_later_does_not_count_as_known_before() -> None:
    feed = read(A, EPISODES, podcast_guid=GUID)
    observe(feed, fetched(A, (301, B)), ["another"], NOON)
    Feed.objects.filter(pk=feed.pk).update(podcast_guid=None)  # as the database stores a missing GUID
    observe(feed, fetched(A, (301, B)), None, NOON + HOUR)
    assert moves.settle(NOON + HOUR) == Settled()


def test_a_fetch_that_was_under_way_while_its_feed_moved_says_nothing() -> None:
    feed = read(A, EPISODES)
    moved(feed, B)
    observe(feed, fetched(A, (301, C)), None, NOON + HOUR)
    assert moves.settle(NOON + HOUR) == Settled()
    assert not FeedMove.objects.filter(to_url=C).exists()


def test_a_chain_of_moves_is_one_feed_at_its_end() -> None:
    feed = read(A, EPISODES)
    moved(feed, B, C, D)
    assert aliases(feed).keys() == {A, B, C, D}
    assert {at_address(url).url for url in (A, B, C, D)} == {D}
    (page,) = moves.moved_keys()
    assert {(key.old_url, key.new_url) for key in page} == {(A, D), (B, D), (C, D)}


def test_there_and_back_within_a_week_stays_there_until_the_operator_decides() -> None:
    feed = read(A, EPISODES)
    moved(feed, B)
    back = NOON + 2 * DAY
    observe(feed, fetched(B, (301, A)), None, back)
    assert moves.settle(back) == Settled(moved=1, waiting=1)
    for days in range(3, 12):
        observe(feed, fetched(A, (301, B)), None, NOON + days * DAY)
        assert moves.settle(NOON + days * DAY) == Settled()
    assert at_address(B).url == A
    assert FeedMove.objects.get(to_url=B).decided == "waiting"
    assert moves.follow(feed.pk, B, NOON + 12 * DAY, was="waiting")
    assert at_address(A).url == B
    assert [key.old_url for page in moves.moved_keys() for key in page] == [A]


def test_there_and_back_after_a_week_is_a_move_like_any_other() -> None:
    feed = read(A, EPISODES)
    for days, url in [(0, B), (8, A), (16, B)]:
        moved(feed, url, at=NOON + days * DAY)
    assert aliases(feed).keys() == {A, B}


def test_what_the_operator_refuses_is_never_followed() -> None:
    feed = read(A, EPISODES)
    observe(feed, fetched(A, (301, B)), ["another"], NOON)
    assert moves.refuse(feed.pk, B, NOON, was=None)
    observe(feed, fetched(A, (301, B)), None, NOON + 9 * DAY)
    assert moves.settle(NOON + 9 * DAY) == Settled()


def announced(feed: Feed, to: str, at: datetime) -> None:
    """Settle after a fetch at this time in which the feed announced another address."""
    Feed.objects.filter(pk=feed.pk).update(new_feed_url=to)
    FeedSchedule.objects.filter(pk=feed.pk).update(ok_at=at)
    moves.settle(at)


def test_an_announcement_is_believed_after_a_day_when_the_same_show_is_there() -> None:
    feed = read(A, EPISODES)
    announced(feed, B, NOON)
    announced(feed, B, NOON + DAY)
    assert at_address(B).state == "new"  # it has to be read before anything else happens
    target = read(B, [*EPISODES[5:], "new"], at=NOON + DAY)
    assert moves.settle(NOON + DAY + HOUR) == Settled(merged=1)
    assert at_address(A) == at_address(B) == target
    assert moves.settle(NOON + DAY + 2 * HOUR) == Settled()


@pytest.mark.parametrize(
    "to", [A, "https://A.example:443/feed.xml", SECRET, "https://b.example/" + "x" * 3_000]
)
def test_an_announcement_of_itself_or_of_no_public_feed_is_nothing(to: str) -> None:
    feed = read(A, EPISODES)
    for days in range(3):
        announced(feed, to, NOON + days * DAY)
    assert not FeedMove.objects.exists()
    assert Feed.objects.count() == 1


def test_an_announcement_of_a_strangers_feed_is_nothing() -> None:
    feed, stranger = read(A, EPISODES, podcast_guid=GUID), read(B, ["another"])
    for days in range(5):
        announced(feed, B, NOON + days * DAY)
    assert at_address(A) == feed
    assert at_address(B) == stranger


def test_an_announcement_that_is_taken_back_is_forgotten() -> None:
    feed = read(A, EPISODES)
    read(B, EPISODES)
    announced(feed, B, NOON)
    announced(feed, "", NOON + HOUR)
    assert not FeedMove.objects.exists()
    announced(feed, B, NOON + DAY)
    assert at_address(A) == feed


def test_two_feeds_that_announce_each_other_have_not_moved() -> None:
    one, other = read(A, EPISODES), read(B, EPISODES)
    for days in range(3):
        announced(one, B, NOON + days * DAY)
        announced(other, A, NOON + days * DAY)
    assert Feed.objects.filter(merged_into=None).count() == 2


def test_an_address_that_a_feed_had_is_not_announced_anew() -> None:
    feed = read(A, EPISODES)
    moved(feed, B)
    for days in range(3):
        announced(feed, A, NOON + days * DAY)
    assert at_address(A).url == B


def test_a_redirect_to_a_feed_that_is_known_makes_them_one() -> None:
    feed, target = read(A, EPISODES), read(B, EPISODES, at=NOON + DAY)
    observe(feed, fetched(A, (301, B)), None, NOON + DAY)
    assert moves.settle(NOON + DAY) == Settled(merged=1)
    assert at_address(A) == at_address(B) == target
    assert aliases(target) == {A: "moved", B: "typed"}


def test_a_secret_feed_neither_moves_nor_is_moved_to() -> None:
    secret, feed = read(SECRET, EPISODES, podcast_guid=GUID), read(A, EPISODES, podcast_guid=GUID)
    assert secret.is_secret
    for days in range(4):
        at = NOON + days * DAY
        observe(secret, fetched(SECRET, (301, A)), None, at)
        observe(feed, fetched(A, (301, SECRET)), None, at)
        announced(secret, A, at)
        announced(feed, SECRET, at)
    assert not FeedMove.objects.exists()
    assert (at_address(SECRET), at_address(A)) == (secret, feed)


@pytest.mark.parametrize("blocked", [A, B])
def test_what_the_operator_keeps_from_the_public_goes_along_with_nothing(blocked: str) -> None:
    marks.mark(feed_of_url(blocked), "operator", NOON, blocked=True)
    feed, target = read(A, EPISODES, podcast_guid=GUID), read(B, EPISODES, podcast_guid=GUID)
    observe(feed, fetched(A, (301, B)), None, NOON)
    assert moves.settle(NOON) == Settled()
    assert (at_address(A), at_address(B)) == (feed, target)


def test_twins_become_one_under_https_with_whatever_they_were_known_by() -> None:
    plain = read("http://a.example/feed.xml", EPISODES, at=NOON - DAY)
    uid = plain.uid
    secure = read(A, EPISODES)
    assert moves.settle(NOON) == Settled(merged=1)
    secure.refresh_from_db()
    assert aliases(secure) == {A: "typed", "http://a.example/feed.xml": "twin"}
    assert (secure.url, secure.uid) == (A, uid)


def test_a_copied_guid_takes_nothing_over_and_neither_does_a_copied_title() -> None:
    feed = read(A, EPISODES, podcast_guid=GUID, title="The show")
    copy = read(B, ["own 1", "own 2", "own 3"], podcast_guid=GUID, title="The show")
    assert moves.settle(NOON) == Settled()
    assert (at_address(A), at_address(B)) == (feed, copy)


def test_the_same_guid_with_the_same_episodes_is_one_show() -> None:
    feed = read(A, EPISODES, podcast_guid=GUID, at=NOON - DAY)
    read(B, EPISODES[:12], podcast_guid=GUID)
    read(C, ["own 1", "own 2", "own 3"], podcast_guid=GUID)
    assert moves.settle(NOON) == Settled(merged=1)
    assert at_address(B) == feed
    assert at_address(C) != feed
    assert moves.settle(NOON) == Settled()


def test_nothing_is_asked_of_the_stores_where_nothing_was_redirected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(moves, "execute", None)
    moves.observe(1, fetched(A), Channel(new_feed_url=B), [], NOON)


def test_moves_are_settled_again_without_a_second_effect() -> None:
    feed = read(A, EPISODES)
    observe(feed, fetched(A, (301, B)), None, NOON)
    moves.settle(NOON)
    before = list(Feed.objects.values()), list(FeedAlias.objects.order_by("url").values())
    assert moves.settle(NOON + timedelta(minutes=10)) == Settled()
    assert (list(Feed.objects.values()), list(FeedAlias.objects.order_by("url").values())) == before
