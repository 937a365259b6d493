"""Unfollows by a device that are so many at once that the listener is asked first."""

import pytest

from eventstore.domain import unfollowing
from eventstore.domain.held_removals import HoldRemoval, RemovalHeld, RemovalSettled
from eventstore.domain.messages import Event
from eventstore.domain.subscriptions import UserSubscribed, UserUnsubscribed
from tests.domain.scenarios import ALICE, NEWS, SCIENCE, folded, minutes, when

FOLLOWED = [
    UserSubscribed(user_id=ALICE, rss_source_feed=feed, subscribed_at=minutes(-9)) for feed in (NEWS, SCIENCE)
]
HELD = [
    RemovalHeld(user_id=ALICE, rss_source_feed=feed, device="phone", held_at=minutes(-5))
    for feed in (NEWS, SCIENCE)
]


def is_held(events: list[Event]) -> bool:
    user = folded(events)
    return unfollowing.is_held(user.held_removals.get(NEWS), user.subscriptions.get(NEWS))


@pytest.mark.parametrize(
    ("removals", "before", "followed", "too_much"),
    [
        (11, 0, 20, True),
        (10, 0, 12, False),
        (10, 0, 10, False),
        (1, 10, 10, True),
        (30, 0, 100, False),
        (31, 0, 100, True),
        (0, 50, 10, False),
    ],
)
def test_a_device_may_unfollow_ten_or_a_third_of_all(
    removals: int, before: int, followed: int, too_much: bool
) -> None:
    assert unfollowing.is_too_much(removals, before, followed) is too_much


def test_what_is_held_stays_followed() -> None:
    hold = HoldRemoval(user_id=ALICE, feed=NEWS, device="phone", now=minutes(-5))
    events = when(hold, FOLLOWED)
    assert events == HELD[:1]
    assert folded([*FOLLOWED, *events]).subscriptions[NEWS].active
    assert is_held([*FOLLOWED, *events])


def test_confirming_unfollows_and_settles() -> None:
    events = when(unfollowing.confirm(ALICE, [NEWS], minutes(0)), [*FOLLOWED, *HELD])
    assert [type(event) for event in events] == [UserUnsubscribed, RemovalSettled]  # type: ignore[list-item]
    assert not is_held([*FOLLOWED, *HELD, *events])


def test_taking_it_back_settles_alone() -> None:
    events = when(unfollowing.discard(ALICE, [NEWS], minutes(0)), [*FOLLOWED, *HELD])
    assert [type(event) for event in events] == [RemovalSettled]
    assert folded([*FOLLOWED, *HELD, *events]).subscriptions[NEWS].active


def test_what_was_unfollowed_or_followed_anew_meanwhile_is_held_no_longer() -> None:
    gone = UserUnsubscribed(user_id=ALICE, rss_source_feed=NEWS, unsubscribed_at=minutes(-1))
    anew = UserSubscribed(user_id=ALICE, rss_source_feed=NEWS, subscribed_at=minutes(0))
    assert is_held([*FOLLOWED, *HELD])
    assert not is_held([*FOLLOWED, *HELD, gone])
    assert not is_held([*FOLLOWED, *HELD, gone, anew])
