"""The events of saving, unsaving and sharing an episode."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.domain.identifiers import item_of
from eventstore.domain.saved import (
    REGISTER,
    EpisodeSaved,
    EpisodeShared,
    EpisodeUnsaved,
    SavedEpisode,
    SavedEpisodeEntry,
    SaveEpisode,
    ShareEpisode,
    UnsaveEpisode,
)
from eventstore.domain.sync import SyncUserData
from eventstore.domain.user import User, decide
from tests.domain.drawn import SPELLINGS
from tests.domain.scenarios import (
    ALICE,
    FEEDS,
    ITEMS,
    MONDAY,
    NEWS,
    NOON,
    PAST,
    SCIENCE,
    TIMES,
    TUESDAY,
    folded,
    key,
    minutes,
    refusal,
    synced,
    when,
)

YEAR = timedelta(days=365)

moments = st.none() | PAST
claims = st.lists(TIMES, max_size=3).map(lambda drawn: tuple(sorted(set(drawn))))
one_episode = st.builds(SavedEpisode, st.just(NEWS), st.sampled_from(SPELLINGS), moments, moments, claims)
entries = st.builds(
    SavedEpisodeEntry, st.sampled_from(FEEDS), st.sampled_from(ITEMS), moments, moments
).filter(lambda entry: entry.saved_at is not None or entry.unsaved_at is not None)


def save(
    at: datetime | None = None, now: datetime = NOON, feed: str = NEWS, item: str = MONDAY
) -> SaveEpisode:
    return SaveEpisode(user_id=ALICE, feed=feed, item=item, at=at, now=now)


def unsave(at: datetime | None = None, now: datetime = NOON, feed: str | None = None) -> UnsaveEpisode:
    return UnsaveEpisode(user_id=ALICE, feed=feed, item=MONDAY, at=at, now=now)


def share(at: datetime | None = None, now: datetime = NOON) -> ShareEpisode:
    return ShareEpisode(user_id=ALICE, feed=NEWS, item=MONDAY, at=at, now=now)


def saved(at: datetime, feed: str = NEWS, **more: Any) -> EpisodeSaved:
    return EpisodeSaved(user_id=ALICE, rss_source_feed=feed, rss_source_item=MONDAY, saved_at=at, **more)


def unsaved(at: datetime, feed: str = NEWS, **more: Any) -> EpisodeUnsaved:
    return EpisodeUnsaved(user_id=ALICE, rss_source_feed=feed, rss_source_item=MONDAY, unsaved_at=at, **more)


def shared(at: datetime) -> EpisodeShared:
    return EpisodeShared(user_id=ALICE, rss_source_feed=NEWS, rss_source_item=MONDAY, shared_at=at)


def sends(*sent: SavedEpisodeEntry, now: datetime = NOON) -> SyncUserData:
    return SyncUserData(user_id=ALICE, now=now, saved_episodes=list(sent))


def entry(saved_at: datetime | None = None, unsaved_at: datetime | None = None) -> SavedEpisodeEntry:
    return SavedEpisodeEntry(NEWS, MONDAY, saved_at, unsaved_at)


def test_an_episode_is_saved_at_the_servers_time_or_the_clients() -> None:
    assert when(save()) == [saved(NOON)]
    assert when(save(minutes(-60))) == [saved(minutes(-60))]


def test_saving_again_changes_nothing() -> None:
    assert when(save(now=minutes(5)), [saved(NOON)]) == []
    assert when(save(NOON), [saved(NOON)]) == []
    assert when(save(minutes(-1)), [saved(NOON)]) == []


def test_unsaving_what_is_not_saved_changes_nothing() -> None:
    assert when(unsave()) == []
    assert when(unsave(now=minutes(5)), [saved(NOON), unsaved(minutes(1))]) == []


def test_it_can_be_unsaved_and_saved_again_within_one_instant() -> None:
    user = folded([saved(NOON)])
    folded(decide(user, unsave()), user)
    assert not user.saved[key(MONDAY)].saved
    folded(decide(user, save()), user)
    assert user.saved[key(MONDAY)].saved


def test_unsaving_knows_the_feed_of_what_was_saved() -> None:
    assert when(unsave(minutes(1)), [saved(NOON, SCIENCE)]) == [unsaved(minutes(1), SCIENCE)]


def test_unsaving_what_nobody_knows_needs_the_feed_where_it_came_from_offline() -> None:
    assert refusal(unsave(NOON)) == "feed_required"
    assert when(unsave(NOON, feed=NEWS)) == [unsaved(NOON)]


def test_the_later_decides_whatever_comes_first() -> None:
    for events in ([saved(NOON), unsaved(minutes(1))], [unsaved(minutes(1)), saved(NOON)]):
        assert not folded(events).saved[key(MONDAY)].saved
    for events in ([saved(NOON), unsaved(NOON)], [unsaved(NOON), saved(NOON)]):
        assert folded(events).saved[key(MONDAY)].saved, "on equal times it is saved"


def test_an_older_action_is_recorded_where_it_says_something_new() -> None:
    """Otherwise an earlier action of a device would lose to one that arrives even later."""
    assert when(save(minutes(-5)), [unsaved(NOON)]) == [saved(minutes(-5))]
    assert not folded([unsaved(NOON), saved(minutes(-5))]).saved[key(MONDAY)].saved


def test_of_two_addresses_for_one_time_the_same_stands_in_any_order() -> None:
    moved = item_of("monday", "https://example.org/moved.mp3")
    for one, other in ((MONDAY, moved), (moved, MONDAY)):
        user = folded(when(save(NOON, item=one)))
        folded(decide(user, save(NOON, item=other)), user)
        assert user.saved[key(MONDAY)].item == max(MONDAY, moved)


def test_every_share_counts_and_is_no_state() -> None:
    user = User(ALICE)
    for _ in range(2):
        events = decide(user, share())
        assert events == [shared(NOON)]
        folded(events, user)
    assert user == User(ALICE)


@pytest.mark.parametrize(
    ("claimed", "accepted"), [(-60, -60), (4, 4), (6, 0)], ids=["past", "just ahead", "wrong clock"]
)
def test_a_share_has_the_clients_time_if_it_can_be_believed(claimed: int, accepted: int) -> None:
    assert decide(User(ALICE), share(minutes(claimed))) == [shared(minutes(accepted))]


def test_an_action_of_a_wrong_clock_counts_once() -> None:
    claim = NOON + YEAR
    first = when(save(claim))
    assert first == [saved(NOON, claimed_at=claim)]
    since = [*first, unsaved(minutes(10))]
    assert when(save(claim, now=minutes(20)), since) == []
    assert when(sends(entry(claim), now=minutes(20)), since) == []


def test_an_action_of_a_wrong_clock_that_lost_does_not_win_later() -> None:
    given_ = [unsaved(minutes(4))]
    since = [*given_, *when(save(NOON + YEAR), given_)]
    assert not folded(since).saved[key(MONDAY)].saved
    assert when(save(NOON + YEAR, now=minutes(10)), since) == []


@pytest.mark.parametrize("last", ["saved", "unsaved"])
def test_a_device_with_a_wrong_clock_keeps_the_order_of_its_own_actions(last: str) -> None:
    times = (NOON + YEAR, NOON + YEAR - timedelta(minutes=1))
    sent = entry(*times) if last == "saved" else entry(*reversed(times))
    user = User(ALICE)
    synced(user, sends(sent))
    assert user.saved[key(MONDAY)].saved is (last == "saved")


@given(st.lists(entries, max_size=6), st.randoms(use_true_random=False))
def test_entries_in_any_order_cut_anyhow_end_with_the_same(
    sent: list[SavedEpisodeEntry], random: Any
) -> None:
    whole, apart = User(ALICE), User(ALICE)
    synced(whole, sends(*sent))
    shuffled = [*sent, *sent]
    random.shuffle(shuffled)
    for one in shuffled:
        synced(apart, sends(one))
    assert apart.saved == whole.saved
    assert decide(whole, sends(*sent)) == []


@given(st.lists(entries, max_size=6), st.lists(entries, min_size=1, max_size=4))
def test_what_lost_is_listed_with_both_values(
    known: list[SavedEpisodeEntry], sent: list[SavedEpisodeEntry]
) -> None:
    user = User(ALICE)
    synced(user, sends(*known))
    synced(user, sends(*sent))
    conflicts = {
        REGISTER.key.read(client): (client, server, rule)
        for _, client, server, rule in _conflicts(user, sent)
    }
    for item, incoming in REGISTER.merge_payload(sent, ALICE).items():
        current = user.saved[item]
        assert (item in conflicts) is (incoming.saved is not current.saved)
        if item in conflicts:
            client, server, rule = conflicts[item]
            assert (client.saved_at, client.unsaved_at) == (incoming.saved_at, incoming.unsaved_at)
            assert (server.saved_at, server.unsaved_at) == (current.saved_at, current.unsaved_at)
            assert rule == (
                "saved_wins_a_tie"
                if REGISTER.decided_at(incoming) == REGISTER.decided_at(current)
                else "later_wins"
            )


def test_what_lost_to_a_wrong_clock_says_so() -> None:
    user = folded([saved(NOON, claimed_at=NOON + YEAR), unsaved(minutes(1))])
    ((_, _, _, rule),) = _conflicts(user, [entry(NOON + YEAR)])
    assert rule == "clock_ahead"


def test_the_document_holds_what_was_asked_for() -> None:
    user = folded([saved(NOON), unsaved(minutes(1))])
    assert REGISTER.to_entries(user.saved) == [entry(NOON, minutes(1))]
    assert REGISTER.to_entries(user.saved, [key(MONDAY), key(TUESDAY)]) == [entry(NOON, minutes(1))]
    assert REGISTER.to_entries(user.saved, [key(TUESDAY)]) == []


@given(st.dictionaries(st.sampled_from(ITEMS), one_episode), PAST)
def test_pruning_leaves_out_what_was_unsaved_before_and_nothing_else(
    state: dict[str, SavedEpisode], before: datetime
) -> None:
    kept = REGISTER.prune(state, before)
    assert kept.items() <= state.items()
    for item in state.keys() - kept.keys():
        at = state[item].unsaved_at
        assert not state[item].saved
        assert at is not None
        assert at < before
    for one in kept.values():
        assert one.saved or one.unsaved_at is None or one.unsaved_at >= before


def test_folding_goes_on_from_a_snapshot() -> None:
    events = [saved(NOON, claimed_at=NOON + YEAR), unsaved(minutes(1)), saved(minutes(2), SCIENCE)]
    snapshot = msgspec.json.encode(folded(events[:2]))
    resumed = folded(events[2:], msgspec.json.decode(snapshot, type=User))
    assert resumed == folded(events)


def _conflicts(
    user: User, sent: list[SavedEpisodeEntry]
) -> list[tuple[str, SavedEpisodeEntry, SavedEpisodeEntry, str]]:
    return list(REGISTER.conflicts(user.saved, REGISTER.merge_payload(sent, ALICE), NOON))
