"""A device whose clock is ahead: its actions count when they arrive, once, and it does not win for ever."""

from datetime import datetime, timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from eventstore.domain import sync
from eventstore.domain.collections import CollectionCreated
from eventstore.domain.plays import PlayEntry
from eventstore.domain.subscriptions import REGISTER, SubscriptionEntry, UserSubscribed
from eventstore.domain.sync import SyncUserData
from eventstore.domain.times import (
    NOTHING,
    REMEMBERED_SKEWS,
    TICK,
    TOLERANCE,
    AcceptedTime,
    accept_client_time,
    is_ahead,
    remember,
)
from eventstore.domain.user import User, decide
from tests.domain.scenarios import ALICE, FEEDS, MONDAY, NEWS, NOON, SCIENCE, key, minutes, payloads, synced

YEAR = timedelta(days=365)
# some are believed, some are up to five minutes ahead, some are not believed yet, and some never are
CLOCKS = st.sampled_from([-60, -1, 0, 3, 5, 6, 9, 20, 60, 500_000]).map(minutes)


def heard(position: int, at: datetime, now: datetime) -> SyncUserData:
    entry = PlayEntry(NEWS, MONDAY, position, False, at)
    return SyncUserData(user_id=ALICE, now=now, play_statuses=[entry])


def follows(now: datetime, joined: datetime | None = None, left: datetime | None = None) -> SyncUserData:
    entry = SubscriptionEntry(NEWS, None, joined, left)
    return SyncUserData(user_id=ALICE, now=now, subscriptions=[entry])


def after(*payloads: SyncUserData) -> User:
    user = User(ALICE)
    for payload in payloads:
        synced(user, payload)
    return user


def test_five_minutes_ahead_is_believed_and_more_is_not() -> None:
    assert accept_client_time(NOON + TOLERANCE, (), NOON) == AcceptedTime(NOON + TOLERANCE)
    late = NOON + TOLERANCE + timedelta(microseconds=1)
    assert accept_client_time(late, (), NOON) == AcceptedTime(NOON, late)


@given(st.lists(payloads(CLOCKS), min_size=1, max_size=4), st.data())
def test_a_payload_that_comes_again_records_nothing(sent: list[SyncUserData], data: st.DataObject) -> None:
    """This holds whatever came in between, and however late the repeat: even once its times have passed."""
    user = User(ALICE)
    for number, payload in enumerate(sent):
        synced(user, msgspec.structs.replace(payload, now=minutes(7 * number)))
        earlier = sent[data.draw(st.integers(0, number))]
        assert decide(user, msgspec.structs.replace(earlier, now=minutes(7 * number + 3))) == []
    for late in (100, 600_000):
        for payload in sent:
            assert decide(user, msgspec.structs.replace(payload, now=minutes(late))) == []


@given(st.lists(payloads(CLOCKS), max_size=4))
def test_no_time_of_the_state_is_further_ahead_than_is_believed(sent: list[SyncUserData]) -> None:
    user = after(*sent)
    kept = [status.updated_at for status in user.plays.values()]
    kept += [at for one in user.subscriptions.values() if (at := REGISTER.decided_at(one))]
    # a tick is added to an action that follows another one which is only just believed
    assert not any(is_ahead(at - TICK, NOON) for at in kept)


def test_a_device_a_year_ahead_does_not_win_for_ever() -> None:
    """It repeats the same action every ten minutes, while another device continues in between."""
    user = User(ALICE)
    for turn in range(30):
        synced(user, heard(1_000, NOON + YEAR, now=minutes(10 * turn)))
        synced(user, heard(turn, minutes(10 * turn + 5), now=minutes(10 * turn + 5)))
        assert user.plays[key(MONDAY)].position == turn


def test_what_lost_when_it_came_does_not_win_when_it_comes_again() -> None:
    """Recorded as of now, it is older than what a device four minutes ahead said; later it would be newer."""
    user = after(heard(10, minutes(4), NOON), heard(100, NOON + YEAR, NOON))
    assert user.plays[key(MONDAY)].position == 10
    assert synced(user, heard(100, NOON + YEAR, minutes(10))) == []

    user = after(follows(NOON, minutes(3), minutes(4)), follows(NOON, NOON + YEAR))
    assert not user.subscriptions[NEWS].active
    assert synced(user, follows(minutes(10), NOON + YEAR)) == []

    user = after(follows(NOON, minutes(4), minutes(3)), follows(NOON, left=NOON + YEAR))
    assert user.subscriptions[NEWS].active
    assert synced(user, follows(minutes(10), left=NOON + YEAR)) == []


def test_leaving_is_not_undone_by_a_device_that_subscribed_on_a_wrong_clock() -> None:
    joined = NOON + YEAR
    user = after(follows(NOON, joined), follows(minutes(10), left=minutes(10)))
    for turn in range(2, 30):
        assert synced(user, follows(minutes(10 * turn), joined)) == []
    assert not user.subscriptions[NEWS].active


def test_what_a_device_did_last_holds_whatever_its_clock_says() -> None:
    first, last = NOON + YEAR, NOON + YEAR + timedelta(hours=1)
    for before in ([], [follows(NOON, minutes(-60))], [follows(NOON, minutes(-60), minutes(-30))]):
        assert not after(*before, follows(NOON, first, last)).subscriptions[NEWS].active
        assert after(*before, follows(NOON, last, first)).subscriptions[NEWS].active


def test_the_order_of_a_device_holds_where_only_one_of_its_times_is_believed() -> None:
    assert not after(follows(NOON, minutes(4), minutes(6))).subscriptions[NEWS].active
    assert after(follows(NOON, minutes(6), minutes(4))).subscriptions[NEWS].active


def test_a_conflict_says_that_the_clock_was_ahead() -> None:
    """The client's time is the later of the two, so "later wins" would not explain the result."""
    user = after(heard(100, minutes(60), NOON), follows(NOON, minutes(60)))
    synced(user, heard(200, minutes(20), minutes(20)))
    synced(user, follows(minutes(20), left=minutes(20)))
    for now in (minutes(30), minutes(90)):
        again = SyncUserData(
            user_id=ALICE,
            now=now,
            subscriptions=follows(now, minutes(60)).subscriptions,
            play_statuses=heard(100, minutes(60), now).play_statuses,
        )
        assert synced(user, again) == []
        assert [conflict.rule for conflict in sync.conflicts(user, again)] == ["clock_ahead", "clock_ahead"]


def test_the_memory_of_claims_is_a_bounded_union() -> None:
    claims = [NOON + YEAR + timedelta(minutes=number) for number in range(REMEMBERED_SKEWS + 4)]
    assert remember((), *claims) == remember(remember((), *claims[::2]), *claims[1::2])
    kept = remember((), *claims)
    assert len(kept) == REMEMBERED_SKEWS
    assert all(accept_client_time(claim, kept, NOON) == NOTHING for claim in claims)
    assert accept_client_time(claims[-1] + timedelta(minutes=1), kept, NOON).at == NOON
    assert accept_client_time(minutes(-1), kept, NOON) == AcceptedTime(minutes(-1))


def test_an_entry_of_another_key_is_not_taken_for_seen() -> None:
    user = after(heard(100, NOON + YEAR, NOON))
    other = PlayEntry(FEEDS[0], "dHVlc2RheSw=", 5, False, NOON + YEAR)
    events = synced(user, SyncUserData(user_id=ALICE, now=minutes(1), play_statuses=[other]))
    assert len(events) == 1
    entry = SubscriptionEntry(SCIENCE, None, NOON + YEAR, None)
    events = synced(user, SyncUserData(user_id=ALICE, now=NOON, subscriptions=[entry]))
    assert [type(event) for event in events] == [UserSubscribed, CollectionCreated]
