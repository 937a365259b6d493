"""Syncs in any order, repeated or late: all devices converge, and nothing newer is lost."""

from datetime import timedelta
from itertools import permutations
from random import Random

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from eventstore.domain import plays, subscriptions, sync
from eventstore.domain.identifiers import episode_key, item_of
from eventstore.domain.plays import PlayEntry, PlayStatus
from eventstore.domain.subscriptions import SubscriptionEntry
from eventstore.domain.sync import SyncData, SyncUserData
from eventstore.domain.topics import TOPICS
from eventstore.domain.user import User, decide
from tests.domain.scenarios import (
    ALICE,
    FEEDS,
    MONDAY,
    NEWS,
    NOON,
    SCIENCE,
    TIMES,
    folded,
    minutes,
    payloads,
    synced,
)


def state(user: User) -> object:
    return msgspec.to_builtins(user)


@given(st.lists(payloads(), max_size=4), st.randoms(use_true_random=False))
def test_any_order_and_any_repeats_end_with_the_same_state(sent: list[SyncUserData], random: Random) -> None:
    in_order = User(ALICE)
    for payload in sent:
        synced(in_order, payload)
    shuffled = [*sent, *sent]
    random.shuffle(shuffled)
    other = User(ALICE)
    for payload in shuffled:
        synced(other, payload)
    assert state(other) == state(in_order)


@given(st.lists(payloads(), max_size=3))
def test_how_a_history_is_cut_into_payloads_does_not_matter(sent: list[SyncUserData]) -> None:
    at_once, apart = User(ALICE), User(ALICE)
    whole = SyncUserData(
        user_id=ALICE,
        now=NOON,
        subscriptions=[entry for payload in sent for entry in payload.subscriptions],
        play_statuses=[entry for payload in sent for entry in payload.play_statuses],
    )
    synced(at_once, whole)
    for entry in whole.subscriptions:
        synced(apart, SyncUserData(user_id=ALICE, now=NOON, subscriptions=[entry]))
    for play in whole.play_statuses:
        synced(apart, SyncUserData(user_id=ALICE, now=NOON, play_statuses=[play]))
    assert state(at_once) == state(apart)


@given(payloads(TIMES), payloads(TIMES))
def test_the_same_payload_twice_records_nothing(first: SyncUserData, second: SyncUserData) -> None:
    """This holds also with clocks that are ahead, and with another device's sync in between."""
    user = User(ALICE)
    synced(user, first)
    assert decide(user, first) == []
    synced(user, second)
    later = msgspec.structs.replace(first, now=minutes(1))
    assert decide(user, later) == []


@given(payloads(), payloads())
def test_nothing_newer_is_lost(first: SyncUserData, second: SyncUserData) -> None:
    user = User(ALICE)
    for payload in (first, second):
        synced(user, payload)
    for entry in [*first.subscriptions, *second.subscriptions]:
        current = user.subscriptions[entry.rss_source_feed]
        for sent, kept in (
            (entry.subscribed_at, current.subscribed_at),
            (entry.unsubscribed_at, current.unsubscribed_at),
        ):
            assert sent is None or (kept is not None and kept >= sent)
    for play in [*first.play_statuses, *second.play_statuses]:
        assert user.plays[plays.REGISTER.key.read(play)].updated_at >= play.updated_at


@given(payloads(TIMES), payloads(TIMES))
def test_what_differs_from_what_stands_is_listed(first: SyncUserData, second: SyncUserData) -> None:
    user = User(ALICE)
    synced(user, first)
    assert sync.conflicts(user, first) == [], "a first device has nobody to lose to"
    synced(user, second)
    found = sync.conflicts(user, second)
    conflicts = {conflict.key: conflict for conflict in found}
    items = {plays.REGISTER.key.read(one.client) for one in found if one.type == "play_status"}
    for feed, incoming in subscriptions.REGISTER.merge_payload(second.subscriptions, ALICE).items():
        assert (feed in conflicts) is (user.subscriptions[feed].active is not incoming.active)
    for item, heard in plays.REGISTER.merge_payload(second.play_statuses, ALICE).items():
        assert (item in items) is not plays.REGISTER.has_same_values(user.plays[item], heard)
    for conflict in conflicts.values():
        assert conflict.client != conflict.server


@given(payloads(TIMES), payloads(TIMES), st.integers(0, 2))
def test_folding_equals_folding_from_any_snapshot(
    first: SyncUserData, second: SyncUserData, cut: int
) -> None:
    user = User(ALICE)
    events = [*synced(user, first), *synced(user, second)]
    snapshot = msgspec.json.encode(folded(events[:cut]))
    resumed = folded(events[cut:], msgspec.json.decode(snapshot, type=User))
    assert state(resumed) == state(user)


@given(payloads(TIMES))
def test_every_order_of_a_payload_leads_to_the_same(payload: SyncUserData) -> None:
    states, conflicts = [], []
    for seed in range(100):
        shuffled = SyncUserData(
            user_id=ALICE,
            now=NOON,
            subscriptions=Random(seed).sample(payload.subscriptions, len(payload.subscriptions)),
            play_statuses=Random(seed).sample(payload.play_statuses, len(payload.play_statuses)),
        )
        user = User(ALICE)
        synced(user, shuffled)
        states.append(user)
        conflicts.append({conflict.key: conflict for conflict in sync.conflicts(user, shuffled)})
    assert states == [states[0]] * 100
    assert conflicts == [conflicts[0]] * 100


def test_contradictory_entries_of_one_item_merge_in_every_order() -> None:
    entries = [PlayEntry(feed, MONDAY, position, False, NOON) for feed in FEEDS[:2] for position in (1, 2)]
    states = set()
    for order in permutations(entries):
        user = User(ALICE)
        synced(user, SyncUserData(user_id=ALICE, now=NOON, play_statuses=list(order)))
        states.add(tuple(user.plays[episode_key(feed, MONDAY)] for feed in FEEDS[:2]))
    assert states == {tuple(PlayStatus(feed, MONDAY, 2, False, NOON) for feed in FEEDS[:2])}


def test_leaving_without_having_subscribed_is_kept() -> None:
    """An older subscription by the other device may still arrive."""
    user = User(ALICE)
    left = SubscriptionEntry(NEWS, None, None, NOON)
    assert len(synced(user, SyncUserData(user_id=ALICE, now=NOON, subscriptions=[left]))) == 1
    older = SubscriptionEntry(NEWS, None, minutes(-1), None)
    synced(user, SyncUserData(user_id=ALICE, now=NOON, subscriptions=[older]))
    assert not user.subscriptions[NEWS].active
    assert sync.to_entries(user).subscriptions == [SubscriptionEntry(NEWS, None, minutes(-1), NOON)]


def test_heard_to_position_zero_is_a_status_like_any_other() -> None:
    user = User(ALICE)
    heard = PlayEntry(NEWS, MONDAY, 0, True, NOON)
    synced(user, SyncUserData(user_id=ALICE, now=NOON, play_statuses=[heard]))
    assert sync.to_entries(user).play_statuses == [heard]
    tied = PlayEntry(NEWS, MONDAY, 0, False, NOON)
    assert synced(user, SyncUserData(user_id=ALICE, now=NOON, play_statuses=[tied])) == []


def test_an_empty_sync_records_nothing() -> None:
    assert decide(User(ALICE), SyncUserData(user_id=ALICE, now=NOON)) == []


def test_ten_thousand_entries_lead_to_an_event_each_and_none_the_second_time() -> None:
    heard = [PlayEntry(NEWS, item_of(f"{number}", ""), number, False, NOON) for number in range(10_000)]
    payload = SyncUserData(user_id=ALICE, now=NOON, play_statuses=heard)
    user = User(ALICE)
    assert len(synced(user, payload)) == 10_000
    assert decide(user, payload) == []
    assert sync.to_entries(user).play_statuses == heard


def test_an_action_made_offline_reaches_a_device_that_synced_meanwhile() -> None:
    user = User(ALICE)
    synced(user, SyncUserData(user_id=ALICE, now=NOON, play_statuses=[play(10, 0)]))
    late = SubscriptionEntry(SCIENCE, None, NOON - timedelta(days=7), None)
    events = synced(user, SyncUserData(user_id=ALICE, now=minutes(5), subscriptions=[late]))
    lacking = sync.to_entries(user, events)
    assert lacking.subscriptions == [late]
    assert lacking.play_statuses == []


def test_a_value_that_lost_is_listed_with_the_one_that_stands_and_the_rule() -> None:
    user = User(ALICE)
    synced(user, SyncUserData(user_id=ALICE, now=NOON, play_statuses=[play(90, 0)]))
    older = SyncUserData(user_id=ALICE, now=NOON, play_statuses=[play(10, -5)])
    assert synced(user, older) == []
    [conflict] = sync.conflicts(user, older)
    assert (conflict.type, conflict.key, conflict.winner) == ("play_status", MONDAY, "server")
    assert (conflict.client, conflict.server) == (play(10, -5), play(90, 0))
    assert conflict.rule == "later_wins"


def test_ties_name_their_rules() -> None:
    user = User(ALICE)
    subscribed = SubscriptionEntry(NEWS, None, NOON, None)
    synced(
        user,
        SyncUserData(user_id=ALICE, now=NOON, subscriptions=[subscribed], play_statuses=[play(90, 0)]),
    )
    tied = SyncUserData(
        user_id=ALICE,
        now=NOON,
        subscriptions=[SubscriptionEntry(NEWS, None, None, NOON)],
        play_statuses=[play(10, 0)],
    )
    synced(user, tied)
    assert [conflict.rule for conflict in sync.conflicts(user, tied)] == [
        "subscribed_wins_a_tie",
        "further_position_wins_a_tie",
    ]


def test_a_devices_own_order_holds_where_its_clock_does_not() -> None:
    year = NOON + timedelta(days=365)
    left = SubscriptionEntry(NEWS, None, year, year + timedelta(hours=1))
    stayed = SubscriptionEntry(SCIENCE, None, year + timedelta(hours=1), year)
    user = User(ALICE)
    synced(user, SyncUserData(user_id=ALICE, now=NOON, subscriptions=[left, stayed]))
    assert not user.subscriptions[NEWS].active
    assert user.subscriptions[SCIENCE].active


def test_an_entry_without_any_time_says_nothing() -> None:
    silent = SyncUserData(user_id=ALICE, now=NOON, subscriptions=[SubscriptionEntry(NEWS, "a", None, None)])
    user = User(ALICE)
    assert synced(user, silent) == []
    assert sync.conflicts(user, silent) == []
    synced(user, SyncUserData(user_id=ALICE, now=NOON, subscriptions=[SubscriptionEntry(NEWS, None, NOON)]))
    assert synced(user, silent) == []
    assert sync.conflicts(user, silent) == []


def test_an_empty_source_id_is_none() -> None:
    for source_ids in (("", None), (None, ""), ("", "")):
        entries = [SubscriptionEntry(NEWS, source_id, NOON, None) for source_id in source_ids]
        user = User(ALICE)
        synced(user, SyncUserData(user_id=ALICE, now=NOON, subscriptions=entries))
        assert user.subscriptions[NEWS].source_id is None


def test_what_the_state_does_not_hold_yet_is_left_for_the_next_sync() -> None:
    """Another process may have recorded it after this state was folded."""
    user = User(ALICE)
    events = synced(user, SyncUserData(user_id=ALICE, now=NOON, play_statuses=[play(10, 0)]))
    assert sync.to_entries(User(ALICE), events) == SyncData(*([] for _ in TOPICS))


def play(position: int, minute: int) -> PlayEntry:
    return PlayEntry(NEWS, MONDAY, position, False, minutes(minute))
