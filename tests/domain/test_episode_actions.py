"""What apps do with episodes besides playing them, and several orders in one append."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from eventstore.domain.batch import Batch
from eventstore.domain.episode_actions import Action, RecordEpisodeAction
from eventstore.domain.episodes import EpisodeIdentified
from eventstore.domain.identifiers import item_of
from eventstore.domain.messages import Event
from eventstore.domain.plays import PlayRecorded, RecordPlay
from eventstore.domain.subscriptions import Subscribe, Unsubscribe, UserSubscribed
from eventstore.domain.times import REMEMBERED
from eventstore.domain.user import User, decide
from tests.domain.scenarios import ALICE, MONDAY, NEWS, NOON, SCIENCE, folded, key, minutes, when

FILE = "https://example.org/1.mp3"
ALONE, WITH_GUID = item_of("", FILE), item_of("monday", FILE)


def act(action: Action, at: datetime, item: str = MONDAY) -> RecordEpisodeAction:
    return RecordEpisodeAction(
        user_id=ALICE, feed=NEWS, item=item, action=action, at=at, now=NOON, device="phone"
    )


def play(position: int, at: datetime, item: str = MONDAY, **more: Any) -> RecordPlay:
    order = {"device": "phone", **more}
    return RecordPlay(
        user_id=ALICE, feed=NEWS, item=item, position=position, played=None, at=at, now=NOON, **order
    )


def batch(*orders: Any) -> Batch:
    return Batch(user_id=ALICE, now=NOON, orders=orders)


def kinds(events: Iterable[Event]) -> list[str]:
    return [type(event).__name__ for event in events]


def test_an_action_is_a_fact_and_the_newest_the_state() -> None:
    events = when(batch(act("download", minutes(-9)), act("delete", minutes(-3))))
    assert kinds(events) == ["EpisodeActionRecorded"] * 2
    assert folded(events).episode_actions[key(MONDAY)].action == "delete"


def test_it_never_touches_how_far_an_episode_was_heard() -> None:
    heard = when(play(700, minutes(-9)))
    after = folded([*heard, *when(act("new", minutes(-1)), heard)])
    assert after.plays[key(MONDAY)].position == 700


def test_one_older_than_the_newest_is_recorded_all_the_same_and_loses() -> None:
    given = when(act("delete", minutes(-3)))
    late = when(act("download", NOON - timedelta(days=900)), given)
    assert kinds(late) == ["EpisodeActionRecorded"]
    assert folded([*given, *late]).episode_actions[key(MONDAY)].action == "delete"


@pytest.mark.parametrize("turned", [False, True])
def test_a_batch_that_comes_again_records_nothing_in_whatever_order(turned: bool) -> None:
    orders = [
        play(10, minutes(-9), started=0, total=90, device="phone"),
        play(20, minutes(-8), started=10, total=90, device="phone"),
        play(20, minutes(-8), started=11, total=90, device=""),
        act("download", minutes(-9)),
        act("delete", minutes(-9)),
    ]
    given = when(batch(*orders))
    assert len(given) == 5
    assert when(batch(*(orders[::-1] if turned else orders)), given) == []


def test_clocks_that_are_ahead_alike_tell_two_things_and_each_once() -> None:
    ahead = minutes(60)
    known = when(batch(play(5, ahead), act("download", ahead)))
    others = play(9, ahead, device="desk"), act("delete", ahead)
    recorded = when(batch(*others), known)
    assert kinds(recorded) == ["PlayRecorded", "EpisodeActionRecorded"]
    assert {event.claimed_at for event in recorded} == {ahead}  # type: ignore[attr-defined]
    every = play(5, ahead), act("download", ahead), *others
    assert when(batch(*every), [*known, *recorded]) == []
    caught_up = [replace(order, now=minutes(90)) for order in every]
    assert when(batch(*caught_up), [*known, *recorded]) == []
    new = when(batch(replace(play(7, ahead), now=minutes(90))), [*known, *recorded])
    assert [(event.position, event.played_at, event.claimed_at) for event in new] == [(7, ahead, None)]  # type: ignore[attr-defined]


def test_only_so_much_is_remembered_of_an_episode() -> None:
    orders = [play(n, minutes(n - 2 * REMEMBERED), device="") for n in range(2 * REMEMBERED)]
    state = folded(decide(User(ALICE), batch(*orders))).plays[key(MONDAY)]
    assert len(state.facts) == REMEMBERED
    assert list(state.facts) == sorted(state.facts)


def test_what_no_device_sent_is_not_remembered() -> None:
    state = folded(decide(User(ALICE), batch(*(play(n, minutes(n - 9), device=None) for n in range(9)))))
    assert state.plays[key(MONDAY)].facts == ()


@pytest.mark.parametrize(
    ("position", "more", "played"),
    [
        (571, {"total": 600}, True),
        (570, {"total": 600}, True),
        (569, {"total": 600}, False),
        (9_500, {"total": 10_000}, True),
        (600, {}, False),
        (590, {"duration": 600}, True),
        (590, {"total": 900, "duration": 600}, False),
        (0, {"started": 0, "total": 20}, False),
    ],
)
def test_played_is_near_the_end(position: int, more: dict[str, Any], played: bool) -> None:
    (event,) = when(play(position, minutes(-9), **more))
    assert isinstance(event, PlayRecorded)
    assert event.played is played


def test_what_was_played_stays_so_until_it_is_begun_again() -> None:
    given = when(play(600, minutes(-9), total=600))
    (later,) = when(play(30, minutes(-5), total=600), given)
    (again,) = when(play(0, minutes(-5), started=0, total=600), given)
    assert isinstance(later, PlayRecorded)
    assert isinstance(again, PlayRecorded)
    assert (later.played, again.played) == (True, False)


def test_which_device_said_so_is_a_fact() -> None:
    (event,) = when(play(30, minutes(-5), device="phone", started=2, total=60))
    assert isinstance(event, PlayRecorded)
    assert (event.device, event.started, event.total) == ("phone", 2, 60)
    state = folded([event]).plays[key(MONDAY)]
    assert (state.started, state.total) == (2, 60)


def test_orders_of_a_batch_are_decided_one_after_the_other() -> None:
    who = {"user_id": ALICE, "now": NOON}
    events = when(batch(Subscribe(**who, feed=NEWS), Subscribe(**who, feed=NEWS)))  # type: ignore[arg-type]
    assert kinds(events) == ["UserSubscribed", "CollectionCreated"]


def test_an_order_that_is_refused_leaves_the_others_alone() -> None:
    who = {"user_id": ALICE, "now": NOON}
    events = when(batch(Unsubscribe(**who, feed=SCIENCE), Subscribe(**who, feed=NEWS)))  # type: ignore[arg-type]
    assert [event.rss_source_feed for event in events if isinstance(event, UserSubscribed)] == [NEWS]


def test_a_file_without_a_guid_is_the_episode_that_has_it() -> None:
    given = when(play(10, minutes(-9), WITH_GUID))
    events = when(batch(play(20, minutes(-5), ALONE), act("delete", minutes(-4), ALONE)), given)
    assert [getattr(event, "rss_source_item") for event in events] == [WITH_GUID, WITH_GUID]  # noqa: B009
    both = when(batch(play(20, minutes(-5), ALONE), play(10, minutes(-9), WITH_GUID)))
    assert folded(both).plays.keys() == {key(WITH_GUID)}


def test_a_guid_that_is_learned_joins_what_is_known_and_the_later_wins() -> None:
    given = when(batch(play(20, minutes(-5), ALONE), act("delete", minutes(-4), ALONE)))
    events = when(batch(play(10, minutes(-9), WITH_GUID)), given)
    assert kinds(events) == ["EpisodeIdentified", "PlayRecorded"]
    after = folded([*given, *events])
    assert after.plays[key(WITH_GUID)].position == 20
    assert after.episode_actions.keys() == {key(WITH_GUID)}
    assert isinstance(events[0], EpisodeIdentified)


def test_a_large_batch_is_decided_as_many_small_ones() -> None:
    orders = [
        order
        for n in range(120)
        for order in (
            play(n, minutes(-n), item_of("" if n % 2 else f"g{n % 9}", f"https://example.org/{n % 9}")),
            act("download", minutes(-n), item_of(f"g{n % 9}", f"https://example.org/{n % 9}")),
        )
    ]
    state = User(ALICE)
    for order in orders:
        folded(decide(state, batch(order)), state)
    at_once = folded(decide(User(ALICE), batch(*orders)))
    assert at_once.plays == state.plays
    assert at_once.episode_actions == state.episode_actions
