"""The events and states that plays and positions lead to."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from eventstore.domain.plays import PlayRecorded, PositionUpdated, RecordPlay, UpdatePosition
from eventstore.domain.times import REMEMBERED_SKEWS
from eventstore.domain.user import decide
from tests.domain.scenarios import ALICE, MONDAY, NEWS, NOON, SCIENCE, folded, key, minutes, refusal, when

YEAR = timedelta(days=365)


def record(
    position: int, at: datetime | None = None, now: datetime = NOON, *, played: bool = False
) -> RecordPlay:
    return RecordPlay(user_id=ALICE, feed=NEWS, item=MONDAY, position=position, played=played, at=at, now=now)


def move(
    position: int, at: datetime | None = None, now: datetime = NOON, feed: str | None = None
) -> UpdatePosition:
    return UpdatePosition(user_id=ALICE, item=MONDAY, position=position, at=at, now=now, feed=feed)


def recorded(position: int, at: datetime, *, played: bool = False, **more: Any) -> PlayRecorded:
    return PlayRecorded(
        user_id=ALICE,
        rss_source_feed=NEWS,
        rss_source_item=MONDAY,
        position=position,
        played=played,
        played_at=at,
        **more,
    )


def moved(position: int, at: datetime, *, played: bool = False, feed: str = NEWS) -> PositionUpdated:
    return PositionUpdated(
        user_id=ALICE,
        rss_source_feed=feed,
        rss_source_item=MONDAY,
        position=position,
        played=played,
        updated_at=at,
    )


def test_a_play_is_recorded_at_the_clients_time() -> None:
    assert when(record(60, minutes(-5))) == [recorded(60, minutes(-5))]


def test_a_player_that_tells_no_position_leaves_position_played_and_speed_as_they_are() -> None:
    started = msgspec.structs.replace(record(0, now=minutes(5)), position=None, played=None)
    assert when(started) == [recorded(0, minutes(5))]
    given = [recorded(1_200, NOON, played=True, speed=1.5)]
    assert when(started, given) == [recorded(1_200, minutes(5), played=True, speed=1.5)]


def test_a_play_can_be_left_out_where_one_is_recent() -> None:
    given = [recorded(60, NOON)]
    started = msgspec.structs.replace(record(0, now=minutes(5)), position=None, played=None)
    assert when(msgspec.structs.replace(started, unless_since=minutes(-5)), given) == []
    assert when(msgspec.structs.replace(started, unless_since=NOON), given) == [recorded(60, minutes(5))]
    assert when(msgspec.structs.replace(started, unless_since=NOON)) == [recorded(0, minutes(5))]


def test_a_position_leaves_the_speed_as_it_was_and_a_play_says_all_of_it() -> None:
    given = [recorded(60, NOON, speed=1.5)]
    (kept,) = when(move(90, minutes(1)), given)
    assert isinstance(kept, PositionUpdated)
    assert kept.speed == 1.5
    assert folded([*given, recorded(60, minutes(1))]).plays[key(MONDAY)].speed is None


def test_the_same_play_again_is_not_recorded() -> None:
    assert when(record(60, NOON), [recorded(60, NOON)]) == []


def test_the_same_action_without_a_time_counts_once() -> None:
    assert when(record(60)) == [recorded(60, NOON)]
    assert when(move(60), [recorded(10, minutes(-1))]) == [moved(60, NOON)]
    assert when(record(60), [recorded(60, minutes(4))]) == []


def test_hearing_the_same_again_later_is_recorded() -> None:
    """Otherwise what another device did in between and sends late would win over it."""
    assert when(record(60, now=minutes(1)), [recorded(60, NOON)]) == [recorded(60, minutes(1))]


def test_an_older_position_is_recorded_and_changes_nothing() -> None:
    """As with plays, nothing is lost; of positions with the same time the greater one wins."""
    for position, at in ((500, minutes(-1)), (59, NOON)):
        user = folded([recorded(60, NOON)])
        events = decide(user, move(position, at))
        assert events == [moved(position, at)]
        assert folded(events, user).plays[key(MONDAY)].position == 60
    assert when(move(61, NOON), [recorded(60, NOON)]) == [moved(61, NOON)]


def test_an_older_play_is_recorded_and_changes_nothing() -> None:
    """Nothing is lost: the history contains the play, and the newer status remains."""
    newer, older = recorded(90, NOON), recorded(60, minutes(-60))
    user = folded([newer])
    before = user.plays[key(MONDAY)]
    assert folded([older], user).plays[key(MONDAY)] == before
    assert folded([older, newer]) == folded([newer, older])


def test_a_play_without_a_time_comes_after_what_is_known() -> None:
    command = record(10, now=NOON)
    user = folded([recorded(60, minutes(4))])
    assert folded(decide(user, command), user).plays[key(MONDAY)].position == 10


def test_a_position_keeps_played_and_the_feed() -> None:
    given = [recorded(60, minutes(-5), played=True)]
    assert when(move(90, NOON), given) == [moved(90, NOON, played=True)]


def test_a_position_of_an_unknown_item_needs_its_feed() -> None:
    assert refusal(move(90, NOON)) == "feed_required"
    assert when(move(90, NOON, feed=SCIENCE)) == [moved(90, NOON, feed=SCIENCE)]


def test_on_equal_times_the_further_position_stands() -> None:
    assert folded([recorded(60, NOON), recorded(90, NOON)]).plays[key(MONDAY)].position == 90
    assert folded([recorded(90, NOON), recorded(60, NOON)]).plays[key(MONDAY)].position == 90


def test_an_action_of_a_wrong_clock_counts_once() -> None:
    first = when(record(100, NOON + YEAR))
    assert first == [recorded(100, NOON, claimed_at=NOON + YEAR)]
    since = [*first, recorded(200, minutes(10))]
    assert when(record(100, NOON + YEAR, now=minutes(20)), since) == []


def test_a_new_action_of_a_wrong_clock_counts_when_it_arrives() -> None:
    given = [recorded(100, NOON, claimed_at=NOON + YEAR)]
    claim = NOON + YEAR + timedelta(minutes=30)
    assert when(record(300, claim, now=minutes(30)), given) == [recorded(300, minutes(30), claimed_at=claim)]


def test_a_wrong_clock_that_comes_true_does_not_count_again() -> None:
    """The device is an hour ahead and repeats the action an hour later, when its time is no longer ahead."""
    hour = minutes(60)
    since = [*when(record(100, hour)), recorded(200, minutes(30))]
    assert when(record(100, hour, now=hour), since) == []
    assert when(move(100, hour, now=hour), since) == []


def test_an_action_of_a_wrong_clock_that_lost_does_not_win_later() -> None:
    """Recorded as of now, it is older than what a device four minutes ahead said; later it would be newer."""
    given = [recorded(10, minutes(4))]
    claim = NOON + YEAR
    for command, again in (
        (record(100, claim), record(100, claim, now=minutes(10))),
        (move(100, claim), move(100, claim, now=minutes(10))),
    ):
        since = [*given, *when(command, given)]
        assert folded(since).plays[key(MONDAY)].position == 10
        assert when(again, since) == []


@pytest.mark.parametrize("before", [-1, 0])
def test_an_action_of_a_wrong_clock_that_agrees_does_not_count_later(before: int) -> None:
    given = [recorded(100, minutes(before))]
    since = [*given, *when(record(100, NOON + YEAR), given), recorded(50, minutes(1))]
    assert when(record(100, NOON + YEAR, now=minutes(10)), since) == []


def test_claims_are_bounded() -> None:
    claims = [NOON + YEAR + timedelta(minutes=n) for n in range(REMEMBERED_SKEWS + 5)]
    given = [recorded(n, minutes(n), claimed_at=claim) for n, claim in enumerate(claims)]
    assert len(folded(given).plays[key(MONDAY)].skewed) == REMEMBERED_SKEWS
    for n, claim in enumerate(claims):
        assert when(record(n, claim, now=minutes(60)), given) == []
