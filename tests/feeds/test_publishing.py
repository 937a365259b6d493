"""Feeds that publishers keep from the public are marked, and unmarked once publishers allow them again."""

from uuid import UUID

import pytest

from eventstore import log, marks
from eventstore.domain.identifiers import feed_key_of, feed_of_url
from feeds import moves
from feeds.models import Feed
from feeds.publishing import mark_blocked
from tests.feeds.shows import NOON, A, B, C, read

pytestmark = pytest.mark.usefixtures("stores")


def blocked() -> set[tuple[str, str]]:
    """The addresses that are marked as blocked, each with who marked it."""
    names = {UUID(feed_key_of(feed_of_url(url))): url for url in (A, B, C)}
    return {(names[mark.feed_key], mark.marked_by) for mark in marks.feed_marks() if mark.blocked}


@pytest.mark.parametrize("flag", ["blocked", "locked"])
def test_a_feed_is_marked_while_its_publisher_says_so_and_nothing_is_recorded_twice(flag: str) -> None:
    feed = read(A)
    read(B)
    assert mark_blocked(NOON) == 0
    Feed.objects.filter(pk=feed.pk).update(**{flag: True})
    assert mark_blocked(NOON) == 1
    assert blocked() == {(A, "publisher")}
    head = log.head()
    assert mark_blocked(NOON) == 0
    assert log.head() == head
    Feed.objects.filter(pk=feed.pk).update(**{flag: False})
    assert mark_blocked(NOON) == 1
    assert blocked() == set()


def test_every_address_of_a_feed_is_marked_for_what_was_done_stays_under_each() -> None:
    feed = read(A, blocked=True)
    mark_blocked(NOON)
    moves.move(feed.pk, B, "moved", NOON)
    assert mark_blocked(NOON) == 1
    assert blocked() == {(A, "publisher"), (B, "publisher")}


def test_the_operators_mark_is_his_own() -> None:
    feed = read(A, blocked=True)
    marks.mark(feed_of_url(A), "operator", NOON, blocked=True)
    mark_blocked(NOON)
    assert blocked() == {(A, "operator"), (A, "publisher")}
    Feed.objects.filter(pk=feed.pk).update(blocked=False)
    mark_blocked(NOON)
    assert blocked() == {(A, "operator")}


def test_of_a_feed_that_was_not_read_yet_a_mark_stays() -> None:
    for url in (A, B):
        marks.mark(feed_of_url(url), "publisher", NOON, blocked=True)
    read(A, state="new")
    assert mark_blocked(NOON) == 0
    assert blocked() == {(A, "publisher"), (B, "publisher")}
