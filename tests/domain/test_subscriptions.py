"""The events and states that subscribing and unsubscribing lead to."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from eventstore.domain import collections
from eventstore.domain.messages import Event
from eventstore.domain.subscriptions import Subscribe, Unsubscribe, UserSubscribed, UserUnsubscribed
from tests.domain import scenarios
from tests.domain.scenarios import ALICE, NEWS, NOON, folded, minutes, refusal

# recorded beforehand: the default collection, which a listener's first subscription also creates
DEFAULT = collections.default(None, ALICE, minutes(-999))
assert DEFAULT is not None


def when(command: Subscribe | Unsubscribe, given: Sequence[Event] = ()) -> list[Event]:
    assert DEFAULT is not None
    return scenarios.when(command, [DEFAULT, *given])


def subscribe(at: datetime | None = None, now: datetime = NOON, **more: Any) -> Subscribe:
    return Subscribe(user_id=ALICE, feed=NEWS, at=at, now=now, **more)


def unsubscribe(at: datetime | None = None, now: datetime = NOON) -> Unsubscribe:
    return Unsubscribe(user_id=ALICE, feed=NEWS, at=at, now=now)


def subscribed(at: datetime, **more: Any) -> UserSubscribed:
    return UserSubscribed(user_id=ALICE, rss_source_feed=NEWS, subscribed_at=at, **more)


def unsubscribed(at: datetime, **more: Any) -> UserUnsubscribed:
    return UserUnsubscribed(user_id=ALICE, rss_source_feed=NEWS, unsubscribed_at=at, **more)


def test_the_first_subscription_also_creates_the_default_collection() -> None:
    default = collections.default(None, ALICE, NOON)
    assert default is not None
    assert scenarios.when(subscribe()) == [subscribed(NOON), default]


def test_subscribing_is_recorded_at_the_servers_time() -> None:
    assert when(subscribe()) == [subscribed(NOON)]


def test_subscribing_is_recorded_at_the_clients_time() -> None:
    assert when(subscribe(minutes(-60), source_id="x")) == [subscribed(minutes(-60), rss_source_id="x")]


def test_subscribing_again_changes_nothing() -> None:
    assert when(subscribe(now=minutes(5)), [subscribed(NOON)]) == []


def test_an_older_or_equal_time_changes_nothing() -> None:
    assert when(subscribe(NOON), [subscribed(NOON)]) == []
    assert when(subscribe(minutes(-1)), [subscribed(NOON)]) == []


def test_a_newer_time_is_recorded() -> None:
    assert when(subscribe(minutes(-1)), [subscribed(minutes(-2))]) == [subscribed(minutes(-1))]


def test_a_new_source_id_is_recorded() -> None:
    assert when(subscribe(now=minutes(1), source_id="new"), [subscribed(NOON)]) == [
        subscribed(minutes(1), rss_source_id="new")
    ]


def test_an_empty_source_id_is_none() -> None:
    assert when(subscribe(source_id="")) == [subscribed(NOON)]
    assert when(subscribe(now=minutes(1), source_id=""), [subscribed(NOON)]) == []
    assert when(subscribe(now=minutes(1), source_id=""), [subscribed(NOON, rss_source_id="x")]) == []


def test_subscribing_after_leaving_is_recorded() -> None:
    given = [subscribed(minutes(-2)), unsubscribed(minutes(-1))]
    assert when(subscribe(), given) == [subscribed(NOON)]


def test_leaving_is_recorded() -> None:
    assert when(unsubscribe(), [subscribed(minutes(-1))]) == [unsubscribed(NOON)]


def test_leaving_twice_changes_nothing() -> None:
    assert when(unsubscribe(), [subscribed(minutes(-2)), unsubscribed(minutes(-1))]) == []


def test_leaving_an_unknown_feed_is_refused() -> None:
    assert refusal(unsubscribe()) == "not_subscribed"


def test_a_click_wins_over_a_device_that_is_ahead() -> None:
    """A clock four minutes ahead is believed, so the click counts as made after that time."""
    events = when(unsubscribe(), [subscribed(minutes(4))])
    assert not folded([subscribed(minutes(4)), *events]).subscriptions[NEWS].active
    events = when(subscribe(), [subscribed(NOON), unsubscribed(minutes(4))])
    assert folded([unsubscribed(minutes(4)), *events]).subscriptions[NEWS].active


def test_on_equal_times_it_is_subscribed() -> None:
    assert folded([subscribed(NOON), unsubscribed(NOON)]).subscriptions[NEWS].active
    assert folded([unsubscribed(NOON), subscribed(NOON)]).subscriptions[NEWS].active


def test_five_minutes_ahead_is_believed_and_more_is_not() -> None:
    assert when(subscribe(minutes(5))) == [subscribed(minutes(5))]
    late = minutes(5) + timedelta(microseconds=1)
    assert when(subscribe(late)) == [subscribed(NOON, claimed_at=late)]


def test_an_action_of_a_wrong_clock_counts_once() -> None:
    """A year ahead: recorded when it arrives; after another device unsubscribed, a repeat records nothing."""
    year = NOON + timedelta(days=365)
    first = when(subscribe(year))
    left = [*first, unsubscribed(minutes(10))]
    assert when(subscribe(year, now=minutes(20)), left) == []
    later = year + timedelta(minutes=25)
    assert when(subscribe(later, now=minutes(25)), left) == [subscribed(minutes(25), claimed_at=later)]


def test_a_wrong_clock_that_comes_true_does_not_count_again() -> None:
    """The device is an hour ahead and repeats the action an hour later, when its time is no longer ahead."""
    hour = minutes(60)
    left = [*when(subscribe(hour)), unsubscribed(minutes(30))]
    assert when(subscribe(hour, now=hour), left) == []
    back = [
        subscribed(minutes(-1)),
        *when(unsubscribe(hour), [subscribed(minutes(-1))]),
        subscribed(minutes(30)),
    ]
    assert when(unsubscribe(hour, now=hour), back) == []


def test_an_action_of_a_wrong_clock_that_lost_does_not_win_later() -> None:
    """Recorded as of now, it is older than what a device four minutes ahead said; later it would be newer."""
    year = NOON + timedelta(days=365)
    gone = [subscribed(minutes(3)), unsubscribed(minutes(4))]
    since = [*gone, *when(subscribe(year), gone)]
    assert not folded(since).subscriptions[NEWS].active
    assert when(subscribe(year, now=minutes(10)), since) == []
    here = [unsubscribed(minutes(3)), subscribed(minutes(4))]
    since = [*here, *when(unsubscribe(year), here)]
    assert folded(since).subscriptions[NEWS].active
    assert when(unsubscribe(year, now=minutes(10)), since) == []
