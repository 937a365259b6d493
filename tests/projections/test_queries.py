"""The queries that the views use."""

import base64
import threading
import time
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from eventstore.domain.identifiers import item_of, parts_of_item
from eventstore.domain.messages import Event
from eventstore.domain.plays import PlayEntry
from eventstore.domain.privacy import Level, PrivacyChanged
from eventstore.domain.saved import EpisodeSaved, EpisodeUnsaved
from projections import exposure, queries
from projections.connect import Connection
from projections.queries import Behind, InvalidCursor, Page, PrivacyRow
from tests.projections.conftest import Project
from tests.projections.histories import (
    ALICE,
    BOB,
    CHARLIE,
    FEED,
    ITEM,
    NOON,
    minutes,
    moved,
    played,
    record,
    subscribed,
    unsubscribed,
)

pytestmark = pytest.mark.usefixtures("stores")


def named(guid: str) -> str:
    return item_of(guid, "")


def name_of(item: str) -> str:
    guid, enclosure_url = parts_of_item(item)
    assert not enclosure_url
    return guid


def items(page: Page[PlayEntry]) -> list[str]:
    return [name_of(row.rss_source_item) for row in page.rows]


def test_it_shows_what_alice_follows_and_nothing_of_bob(project: Project) -> None:
    record(subscribed(ALICE, source_id="a"))
    project()
    assert queries.subscriptions(ALICE).rows == [queries.SubscriptionRow(FEED, "a", NOON, None)]
    assert queries.subscriptions(BOB).rows == []


def test_it_keeps_what_was_removed_for_those_who_ask(project: Project) -> None:
    record(subscribed(ALICE), unsubscribed(ALICE, at=1))
    project()
    assert queries.subscriptions(ALICE).rows == []
    (row,) = queries.subscriptions(ALICE, include_removed=True).rows
    assert not row.active
    assert (row.subscribed_at, row.unsubscribed_at) == (NOON, minutes(1))


def test_on_equal_times_she_is_subscribed(project: Project) -> None:
    record(subscribed(ALICE, at=1), unsubscribed(ALICE, at=1))
    project()
    (row,) = queries.subscriptions(ALICE).rows
    assert row.active


def test_a_page_tells_the_position_that_it_reflects_also_when_it_is_empty(project: Project) -> None:
    assert queries.subscriptions(ALICE).position == 0
    head = record(subscribed(ALICE))
    project()
    assert queries.subscriptions(ALICE).position == head
    assert queries.subscriptions(BOB).position == head
    assert queries.play_statuses(BOB).position == head


def test_pages_of_subscriptions_show_each_once(project: Project) -> None:
    record(*(subscribed(ALICE, feed=f"feed{n}") for n in range(7)))
    project()
    seen, after, pages = [], None, 0
    while pages == 0 or after is not None:
        page = queries.subscriptions(ALICE, after=after, limit=3)
        seen += [row.rss_source_feed for row in page.rows]
        after, pages = page.next, pages + 1
    assert pages == 3
    assert sorted(seen) == [f"feed{n}" for n in range(7)]


def test_a_full_last_page_has_no_next(project: Project) -> None:
    record(*(subscribed(ALICE, feed=f"feed{n}") for n in range(3)))
    project()
    assert queries.subscriptions(ALICE, limit=3).next is None


def test_plays_come_the_oldest_change_first_or_the_newest(project: Project) -> None:
    record(played(ALICE, named("b"), at=1), played(ALICE, named("a"), at=2), moved(ALICE, named("c"), at=0))
    project()
    assert items(queries.play_statuses(ALICE)) == ["c", "b", "a"]
    assert items(queries.play_statuses(ALICE, newest_first=True)) == ["a", "b", "c"]


def test_who_walks_through_the_pages_misses_nothing_that_changes_meanwhile(project: Project) -> None:
    record(*(played(ALICE, named(f"item{n}"), at=n) for n in range(6)))
    project()
    first = queries.play_statuses(ALICE, limit=2)
    record(
        moved(ALICE, named("item1"), at=10),
        moved(ALICE, named("item4"), at=11),
        played(ALICE, named("item6"), at=12),
    )
    project()
    seen, page = items(first), first
    while page.next is not None:
        page = queries.play_statuses(ALICE, after=page.next, limit=2)
        seen += items(page)
    assert set(seen) == {f"item{n}" for n in range(7)}


def test_newest_first_pages_go_on_where_the_last_ended(project: Project) -> None:
    record(*(played(ALICE, named(f"item{n}")) for n in range(5)))
    project()
    first = queries.play_statuses(ALICE, limit=3, newest_first=True)
    second = queries.play_statuses(ALICE, after=first.next, limit=3, newest_first=True)
    assert sorted(items(first) + items(second)) == [f"item{n}" for n in range(5)]
    assert second.next is None


def test_plays_can_be_asked_for_by_feed_by_played_and_by_time(project: Project) -> None:
    record(
        played(ALICE, named("a"), feed="one", played=True, at=1),
        played(ALICE, named("b"), feed="two", played=False, at=2),
        played(ALICE, named("c"), feed="two", played=True, at=3),
        played(BOB, named("d"), feed="two", played=True, at=3),
    )
    project()
    assert items(queries.play_statuses(ALICE, feed="two")) == ["b", "c"]
    assert items(queries.play_statuses(ALICE, played=True)) == ["a", "c"]
    assert items(queries.play_statuses(ALICE, played=False)) == ["b"]
    assert items(queries.play_statuses(ALICE, updated_since=minutes(2))) == ["b", "c"]
    assert items(queries.play_statuses(ALICE, feed="two", played=True, updated_since=minutes(3))) == ["c"]


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "!",
        "a",
        "é",
        "\0",
        encoded(""),
        encoded("x" * 32),
        encoded("2026-05-01 " + "0" * 32),
        "A" * 10_000,
    ],
)
def test_it_refuses_a_cursor_that_no_page_gave(project: Project, cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        queries.subscriptions(ALICE, after=cursor)
    with pytest.raises(InvalidCursor):
        queries.play_statuses(ALICE, after=cursor)
    with pytest.raises(InvalidCursor):
        queries.saved_episodes(ALICE, after=cursor)
    with pytest.raises(InvalidCursor):
        queries.privacy_settings(ALICE, after=cursor)


def test_a_cursor_at_the_end_of_all_times_is_an_empty_page(project: Project) -> None:
    cursor = encoded(f"{datetime.max.replace(tzinfo=UTC).isoformat()} {uuid4().hex}")
    assert queries.play_statuses(ALICE, after=cursor).rows == []


def saved(user: UUID, item: str, at: int = 0, feed: str = FEED) -> Event:
    return EpisodeSaved(user_id=user, rss_source_feed=feed, rss_source_item=item, saved_at=minutes(at))


def unsaved(user: UUID, item: str, at: int = 0) -> Event:
    return EpisodeUnsaved(user_id=user, rss_source_feed=FEED, rss_source_item=item, unsaved_at=minutes(at))


def changed(
    user: UUID, level: Level | None, feed: str | None = None, item: str | None = None, at: int = 0
) -> Event:
    return PrivacyChanged(
        user_id=user, level=level, rss_source_feed=feed, rss_source_item=item, changed_at=minutes(at)
    )


def test_saved_episodes_come_the_oldest_first_page_by_page_without_what_was_unsaved(project: Project) -> None:
    record(
        saved(ALICE, named("c"), at=3),
        saved(ALICE, named("a"), at=1),
        saved(ALICE, named("b"), at=1),
        saved(ALICE, named("gone"), at=1),
        unsaved(ALICE, named("gone"), at=2),
        saved(ALICE, named("tied"), at=4),
        unsaved(ALICE, named("tied"), at=4),
        saved(BOB, named("bobs")),
    )
    head = project()
    seen, after = [], None
    for _ in range(4):
        page = queries.saved_episodes(ALICE, after=after, limit=1)
        assert page.position == head
        seen += [name_of(row.rss_source_item) for row in page.rows]
        after = page.next
    assert after is None
    assert sorted(seen[:2]) == ["a", "b"]
    assert seen[2:] == ["c", "tied"]
    assert queries.saved_episodes(CHARLIE) == Page([], None, head)


def test_saved_episodes_can_be_asked_for_by_feed(project: Project) -> None:
    record(saved(ALICE, named("a"), feed="one"), saved(ALICE, named("b"), feed="two"))
    project()
    assert [name_of(row.rss_source_item) for row in queries.saved_episodes(ALICE, feed="two").rows] == ["b"]


def test_settings_are_shown_but_not_those_that_were_taken_back(project: Project) -> None:
    record(changed(ALICE, "public"), changed(ALICE, "private", FEED), changed(ALICE, None, FEED, at=1))
    project()
    assert queries.privacy_settings(ALICE).rows == [PrivacyRow("public", NOON, None, None)]
    assert queries.privacy_settings(BOB).rows == []


def test_only_the_settings_that_bear_on_something_are_read_for_it(project: Project) -> None:
    record(
        changed(ALICE, "public"),
        changed(ALICE, "anonymous", FEED),
        changed(ALICE, "private", "other"),
        changed(ALICE, "private", FEED, ITEM),
        changed(BOB, "private", FEED),
    )
    project()

    def levels(feed: str | None = None, item: str | None = None) -> set[str]:
        return {row.level for row in queries.privacy_of(ALICE, feed, item).rows}

    assert levels() == {"public"}
    assert levels(FEED) == {"public", "anonymous"}
    assert levels(FEED, ITEM) == {"public", "anonymous", "private"}
    assert levels(FEED, named("another")) == {"public", "anonymous"}
    assert levels("third", ITEM) == {"public"}, "a GUID names an episode in its feed alone"
    assert levels(item=ITEM) == {"public", "anonymous", "private"}, "its own setting tells the feed"
    assert levels(item=named("another")) == {"public"}, "nothing tells of which feed it is"


@pytest.mark.parametrize(
    "event",
    [
        played(ALICE),
        saved(ALICE, ITEM),
        changed(ALICE, "public", FEED, ITEM),
    ],
    ids=["played", "saved", "set"],
)
def test_the_feed_of_an_item_is_known_by_what_its_listener_did(project: Project, event: Event) -> None:
    record(changed(ALICE, "private", FEED), event)
    project()
    feeds = [
        row.rss_source_feed for row in queries.privacy_of(ALICE, None, ITEM).rows if not row.rss_source_item
    ]
    assert feeds == [FEED]
    assert queries.privacy_of(BOB, None, ITEM).rows == []


def test_what_a_listener_did_is_told_with_its_level_and_whether_others_see_it(project: Project) -> None:
    record(changed(ALICE, "anonymous"), played(ALICE), subscribed(BOB))
    project()
    ((kind, feed, item, _, withdrawn_at, level, shown),) = exposure.activity(ALICE).rows
    assert (kind, feed, item, withdrawn_at, level, shown) == ("play", FEED, ITEM, None, "anonymous", True)


def test_waiting_returns_at_once_what_is_reached_already(project: Project) -> None:
    head = record(played(ALICE, ITEM))
    project()
    assert queries.wait_for("plays", head) == head


def test_waiting_ends_when_the_position_is_reached(connection: Connection, project: Project) -> None:
    first = record(played(ALICE))
    project()
    second = record(played(ALICE, position=1))
    thread = threading.Timer(0.05, project)
    thread.start()
    assert queries.position_of("plays") == first
    assert queries.wait_for("plays", second) == second
    thread.join()


def test_waiting_gives_up_and_says_how_far_it_is(project: Project) -> None:
    head = record(played(ALICE))
    project()
    started = time.monotonic()
    with pytest.raises(Behind) as behind:
        queries.wait_for("plays", head + 1, seconds=0.1)
    assert behind.value.reached == head
    assert time.monotonic() - started < 0.5
