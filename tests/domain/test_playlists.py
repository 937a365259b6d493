"""Playlists: the events of commands, and that devices converge whatever the order of arrival."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.domain import checkpoint, playlists, sync
from eventstore.domain.checkpoint import TakeCheckpoint
from eventstore.domain.errors import DomainError
from eventstore.domain.identifiers import item_of
from eventstore.domain.messages import Command, Event
from eventstore.domain.naming import EpisodeName
from eventstore.domain.playlists import (
    AddToPlaylist,
    CreatePlaylist,
    DeletePlaylist,
    Playlist,
    PlaylistCreated,
    PlaylistDeleted,
    PlaylistEntry,
    PlaylistItem,
    PlaylistItemAdded,
    PlaylistItemEntry,
    PlaylistItemRemoved,
    PlaylistReordered,
    PlaylistUpdated,
    PlaylistVisibilityChanged,
    RemoveFromPlaylist,
    ReorderPlaylist,
    UpdatePlaylist,
)
from eventstore.domain.sync import SyncUserData
from eventstore.domain.times import NEVER, TICK
from eventstore.domain.user import User, decide
from tests.domain.scenarios import (
    ALICE,
    FEEDS,
    ITEMS,
    MONDAY,
    NEWS,
    NOON,
    PAST,
    TIMES,
    TUESDAY,
    folded,
    key,
    minutes,
    refusal,
    synced,
    when,
)

WALK, RUN = UUID(int=1), UUID(int=2)
AT_1, AT_2, AT_3 = minutes(1), minutes(2), minutes(3)
YEAR = timedelta(days=365)

THIRD = item_of("c", "")


def create(name: str = "Walk", now: datetime = NOON, **more: Any) -> CreatePlaylist:
    return CreatePlaylist(user_id=ALICE, playlist_id=WALK, name=name, now=now, **more)


def update(now: datetime = AT_1, **changes: Any) -> UpdatePlaylist:
    return UpdatePlaylist(user_id=ALICE, playlist_id=WALK, now=now, **changes)


def delete(now: datetime = AT_1) -> DeletePlaylist:
    return DeletePlaylist(user_id=ALICE, playlist_id=WALK, now=now)


def add(item: str = MONDAY, now: datetime = AT_1, feed: str = NEWS, **more: Any) -> AddToPlaylist:
    return AddToPlaylist(user_id=ALICE, playlist_id=WALK, feed=feed, item=item, now=now, **more)


def remove(item: str = MONDAY, now: datetime = AT_2, **more: Any) -> RemoveFromPlaylist:
    return RemoveFromPlaylist(user_id=ALICE, playlist_id=WALK, feed=NEWS, item=item, now=now, **more)


def reorder(*items: str, now: datetime = AT_3) -> ReorderPlaylist:
    names = tuple(EpisodeName(NEWS, item) for item in items)
    return ReorderPlaylist(user_id=ALICE, playlist_id=WALK, items=names, now=now)


def created(name: str = "Walk", at: datetime = NOON, **more: Any) -> PlaylistCreated:
    return PlaylistCreated(user_id=ALICE, playlist_id=WALK, name=name, updated_at=at, **more)


def deleted(at: datetime) -> PlaylistDeleted:
    return PlaylistDeleted(user_id=ALICE, playlist_id=WALK, deleted_at=at)


def added(item: str = MONDAY, at: datetime = AT_1, feed: str = NEWS, **more: Any) -> PlaylistItemAdded:
    return PlaylistItemAdded(
        user_id=ALICE, playlist_id=WALK, rss_source_feed=feed, rss_source_item=item, added_at=at, **more
    )


def removed(item: str = MONDAY, at: datetime = AT_2) -> PlaylistItemRemoved:
    return PlaylistItemRemoved(
        user_id=ALICE, playlist_id=WALK, rss_source_feed=NEWS, rss_source_item=item, removed_at=at
    )


def the_playlist(events: Sequence[Event]) -> Playlist:
    return folded(events).playlists[str(WALK)]


def items_in_order(events: Sequence[Event]) -> list[str]:
    walk = the_playlist(events)
    return [walk.members[name].item for name in playlists.REGISTER.arranged(walk)]


def test_items_added_at_one_time_stand_by_their_digests_as_in_the_read_tables() -> None:
    """A device whose clock is ahead may send several items at once: all are recorded as added now."""
    items = [item_of(f"episode {number}", "") for number in range(9)]
    events = [created(), *(added(name, AT_1) for name in items), added(MONDAY, NOON)]
    assert items_in_order(events) == [MONDAY, *sorted(items, key=key)]


def test_a_playlist_is_created_private_and_empty() -> None:
    assert when(create()) == [created()]
    assert the_playlist([created()]) == Playlist("Walk", NOON)


def test_creating_it_again_changes_nothing_and_another_of_its_id_is_refused() -> None:
    assert when(create(now=minutes(5)), [created()]) == []
    assert refusal(create("Run"), [created()]) == "playlist_exists"


def test_creating_one_that_was_deleted_brings_it_back() -> None:
    events = when(create("Run"), [created(), deleted(minutes(1))])
    assert events == [created("Run", minutes(1) + TICK)]


def test_an_update_changes_what_it_names_and_an_empty_description_takes_it_away() -> None:
    given = [created(description="Slow")]
    [renamed] = when(update(name="Run"), given)
    assert isinstance(renamed, PlaylistUpdated)
    assert (renamed.name, renamed.description, renamed.order) == ("Run", "Slow", None)
    [cleared] = when(update(description=""), given)
    assert isinstance(cleared, PlaylistUpdated)
    assert (cleared.name, cleared.description) == ("Walk", None)
    assert when(update(name="Walk", description="Slow", is_public=False), given) == []


def test_showing_it_is_an_event_of_its_own() -> None:
    [shown] = when(update(is_public=True), [created()])
    assert shown == PlaylistVisibilityChanged(
        user_id=ALICE, playlist_id=WALK, name="Walk", is_public=True, updated_at=minutes(1)
    )
    assert the_playlist([created(), shown]).is_public


def test_a_deletion_is_soft_and_comes_after_all_that_is_known() -> None:
    assert when(delete(), [created(at=minutes(4))]) == [deleted(minutes(4) + TICK)]
    assert when(delete(), [created(), deleted(minutes(4))]) == []
    assert the_playlist([created(), deleted(minutes(4))]).name == "Walk"


@pytest.mark.parametrize("command", [update(name="Run"), add(), remove(), reorder(MONDAY)])
def test_one_that_is_not_there_is_not_found(command: Command) -> None:
    assert refusal(command) == "playlist_not_found"
    assert refusal(command, [created(), deleted(minutes(1))]) == "playlist_not_found"


def test_deleting_what_never_was_is_refused() -> None:
    assert refusal(delete()) == "playlist_not_found"


def test_an_episode_is_added_with_its_titles() -> None:
    [event] = when(add(item_title="Monday", feed_title="News"), [created()])
    assert event == added(item_title="Monday", feed_title="News")
    assert the_playlist([created(), event]).members[key(MONDAY)] == PlaylistItem(
        NEWS, MONDAY, "Monday", "News", minutes(1), None
    )


def test_adding_it_again_changes_nothing_but_titles() -> None:
    given = [created(), added(item_title="Monday")]
    assert when(add(now=minutes(5)), given) == []
    assert when(add(now=minutes(5), item_title="Monday"), given) == []
    assert when(add(now=minutes(5), item_title="On Monday"), given) == [
        added(at=minutes(5), item_title="On Monday")
    ]


def test_an_addition_made_offline_counts_when_it_was_made() -> None:
    given = [created(), added(at=minutes(-3)), removed(at=minutes(-1))]
    late = when(add(at=minutes(-2)), given)
    assert late == [added(at=minutes(-2))]
    assert items_in_order([*given, *late]) == []


def test_an_episode_is_removed_and_comes_back() -> None:
    given = [created(), added(), *when(remove(), [created(), added()])]
    assert given[-1] == removed()
    assert when(remove(now=minutes(9)), given) == []
    assert when(add(now=minutes(2)), given) == [added(at=minutes(2) + TICK)]


def test_removing_what_never_was_in_it_is_refused() -> None:
    assert refusal(remove(), [created()]) == "item_not_in_playlist"
    assert refusal(reorder(MONDAY, TUESDAY), [created(), added(MONDAY)]) == "item_not_in_playlist"


def test_an_action_of_a_wrong_clock_counts_once() -> None:
    first = when(add(at=NOON + YEAR, now=minutes(1)), [created()])
    assert first == [added(at=minutes(1), claimed_at=NOON + YEAR)]
    given = [created(), *first, removed(at=minutes(2))]
    assert when(add(at=NOON + YEAR, now=minutes(3)), given) == []


def test_an_order_is_given_and_what_comes_later_goes_last() -> None:
    given = [created(), added(MONDAY, minutes(1)), added(TUESDAY, minutes(2))]
    assert items_in_order(given) == [MONDAY, TUESDAY]
    [event] = when(reorder(TUESDAY, MONDAY), given)
    assert event == PlaylistReordered(
        user_id=ALICE, playlist_id=WALK, order=(key(TUESDAY), key(MONDAY)), updated_at=minutes(3)
    )
    assert items_in_order([*given, event]) == [TUESDAY, MONDAY]
    assert items_in_order([*given, event, added(THIRD, NOON)]) == [TUESDAY, MONDAY, THIRD]
    renamed = when(update(name="Run", now=minutes(5)), [*given, event])
    assert items_in_order([*given, event, *renamed]) == [TUESDAY, MONDAY]


def test_what_was_removed_has_no_place_in_a_new_order() -> None:
    given = [created(), added(MONDAY), added(TUESDAY), removed(MONDAY)]
    [event] = when(reorder(MONDAY, TUESDAY), given)
    assert isinstance(event, PlaylistReordered)
    assert event.order == (key(TUESDAY),)


# -- devices --------------------------------------------------------------------------------------------


def payload(*entries: PlaylistEntry, now: datetime = NOON) -> SyncUserData:
    return SyncUserData(user_id=ALICE, now=now, playlists=list(entries))


def entry(name: str = "Walk", at: datetime = NOON, **more: Any) -> PlaylistEntry:
    return PlaylistEntry(WALK, name, at, **more)


def item(name: str, place: int | None, joined: datetime | None, left: datetime | None = None) -> Any:
    return PlaylistItemEntry(NEWS, name, None, None, place, joined, left)


def item_entries(times: st.SearchStrategy[datetime]) -> st.SearchStrategy[PlaylistItemEntry]:
    return st.builds(
        PlaylistItemEntry,
        rss_source_feed=st.sampled_from(FEEDS),
        rss_source_item=st.sampled_from(ITEMS),
        item_title=st.sampled_from([None, "", "a", "b"]),
        position=st.none() | st.integers(0, 2),
        added_at=st.none() | times,
        removed_at=st.none() | times,
    )


def entries(times: st.SearchStrategy[datetime] = PAST) -> st.SearchStrategy[PlaylistEntry]:
    return st.builds(
        PlaylistEntry,
        id=st.sampled_from([WALK, RUN]),
        name=st.sampled_from(["Walk", "Run"]),
        updated_at=times,
        description=st.sampled_from([None, "", "Slow"]),
        is_public=st.booleans(),
        deleted_at=st.none() | times,
        items=st.lists(item_entries(times), max_size=3),
    )


def payloads(times: st.SearchStrategy[datetime] = PAST) -> st.SearchStrategy[SyncUserData]:
    return st.lists(entries(times), max_size=3).map(lambda drawn: payload(*drawn))


@given(st.lists(payloads(), max_size=4), st.randoms(use_true_random=False))
def test_any_order_and_any_repeats_end_with_the_same(sent: list[SyncUserData], random: Random) -> None:
    in_order, other = User(ALICE), User(ALICE)
    for one in sent:
        synced(in_order, one)
    shuffled = [*sent, *sent]
    random.shuffle(shuffled)
    for one in shuffled:
        synced(other, one)
    assert other.playlists == in_order.playlists


@given(st.lists(payloads(), max_size=3), st.randoms(use_true_random=False))
def test_how_a_history_is_cut_into_payloads_does_not_matter(sent: list[SyncUserData], random: Random) -> None:
    everything = [one for each in sent for one in each.playlists]
    at_once, apart = User(ALICE), User(ALICE)
    synced(at_once, payload(*everything))
    random.shuffle(everything)
    for one in everything:
        synced(apart, payload(one))
    assert apart.playlists == at_once.playlists


@given(st.lists(payloads(TIMES), min_size=1, max_size=3))
def test_the_same_payload_twice_records_nothing(sent: list[SyncUserData]) -> None:
    """This holds also with clocks that are ahead, and with syncs of other devices in between."""
    user = User(ALICE)
    for one in sent:
        synced(user, one)
        assert decide(user, one) == []
    for one in sent:
        assert decide(user, msgspec.structs.replace(one, now=minutes(1))) == []


@given(st.lists(payloads(TIMES), max_size=3))
def test_who_sends_back_what_he_was_told_changes_nothing(sent: list[SyncUserData]) -> None:
    user = User(ALICE)
    for one in sent:
        synced(user, one)
    echo = payload(*playlists.REGISTER.to_entries(user.playlists))
    assert decide(user, echo) == []
    assert sync.conflicts(user, echo) == []


@given(payloads(TIMES), payloads(TIMES))
def test_what_differs_from_what_stands_is_listed(first: SyncUserData, second: SyncUserData) -> None:
    user = User(ALICE)
    synced(user, first)
    assert sync.conflicts(user, first) == [], "a first device has nobody to lose to"
    synced(user, second)
    conflicts = {conflict.key for conflict in sync.conflicts(user, second)}
    for name, incoming in playlists.REGISTER.merge_payload(second.playlists, ALICE).items():
        current = user.playlists[name]
        assert (name in conflicts) is (shown(incoming, incoming) != shown(current, incoming))


def shown(of: Playlist, members: Playlist) -> object:
    """What can be seen of a playlist, including which of the items that ``members`` knows are on it."""
    if not playlists.REGISTER.is_on(of):
        return None
    inside = {name: playlists.ITEMS.is_on(one) for name, one in of.members.items() if name in members.members}
    return of.name, of.description, of.is_public, of.order, inside


@given(st.lists(payloads(TIMES), max_size=3))
def test_events_lead_to_the_same_in_any_order_and_twice(sent: list[SyncUserData]) -> None:
    user = User(ALICE)
    log = [event for one in sent for event in synced(user, one)]
    assert folded(list(reversed(log))).playlists == user.playlists
    assert folded([*log, *log]).playlists == user.playlists


STEPS: st.SearchStrategy[Any] = st.one_of(
    st.builds(create, st.sampled_from(["Walk", "Run"])),
    st.builds(update, is_public=st.booleans(), name=st.none() | st.just("Run")),
    st.builds(delete),
    st.builds(add, st.sampled_from(ITEMS), feed=st.sampled_from(FEEDS), at=st.none() | TIMES),
    st.builds(remove, st.sampled_from(ITEMS), at=st.none() | TIMES),
    st.builds(reorder, st.sampled_from(ITEMS)),
    payloads(TIMES),
)


def played_out(steps: Sequence[Any]) -> list[list[Event]]:
    """The events of each step; steps that are refused yield none."""
    user, streams = User(ALICE), []
    for number, step in enumerate(steps):
        command = msgspec.structs.replace(step, now=minutes(number))
        try:
            events = decide(user, command)
        except DomainError:
            continue
        again = decide(folded(events, user), command)
        assert again == [], "deciding twice"
        streams.append(events)
    return streams


@given(st.lists(STEPS, max_size=10), st.data())
def test_folding_from_any_checkpoint_equals_folding(steps: list[Any], data: st.DataObject) -> None:
    log = [event for events in played_out(steps) for event in events]
    whole = folded(log)
    cut = data.draw(st.integers(0, len(log)))
    before = folded(log[:cut])
    taken = checkpoint.take(before, TakeCheckpoint(user_id=ALICE, now=NOON, before=NEVER))
    stored = msgspec.json.decode(msgspec.json.encode(taken), type=checkpoint.UserCheckpoint)
    assert folded([stored, *log[cut:]]) == whole
    assert folded([*log[:cut], stored, *log[cut:]]) == whole


@given(st.lists(STEPS, max_size=10))
def test_what_is_done_at_the_server_stands_whatever_devices_said(steps: list[Any]) -> None:
    log = [event for events in played_out(steps) for event in events]
    if str(WALK) in folded(log).playlists:
        log += decide(folded(log), delete(now=NOON))
    for command in (create("Last"), add(MONDAY), add(TUESDAY), reorder(TUESDAY, MONDAY), remove(MONDAY)):
        log += when(msgspec.structs.replace(command, now=NOON), log)
    assert the_playlist(log).name == "Last"
    # devices may have added episodes of other feeds
    here = playlists.REGISTER.arranged(the_playlist(log))
    assert [name for name in here if name in (key(MONDAY), key(TUESDAY))] == [key(TUESDAY)]


def test_a_checkpoint_shares_nothing_with_the_state_that_goes_on() -> None:
    user = folded([created(), added()])
    taken = checkpoint.take(user, TakeCheckpoint(user_id=ALICE, now=NOON, before=NOON))
    folded([removed(), deleted(minutes(9))], user)
    assert taken.playlists[str(WALK)] == the_playlist([created(), added()])
    again = folded([taken, removed(), deleted(minutes(9))])
    assert again.playlists == user.playlists
    assert taken.playlists[str(WALK)] == the_playlist([created(), added()])


def test_what_was_removed_long_ago_is_not_kept() -> None:
    given = [
        created(),
        added(MONDAY),
        added(TUESDAY),
        *when(reorder(TUESDAY, MONDAY), [created(), added(), added(TUESDAY)]),
    ]
    user = folded([*given, removed(MONDAY, minutes(4))])
    assert playlists.REGISTER.prune(user.playlists, minutes(4)) == user.playlists
    [kept] = playlists.REGISTER.prune(user.playlists, minutes(5)).values()
    assert (list(kept.members), kept.order) == ([key(TUESDAY)], (key(TUESDAY),))
    gone = folded([*given, deleted(minutes(4))])
    assert list(playlists.REGISTER.prune(gone.playlists, minutes(4))) == [str(WALK)]
    assert playlists.REGISTER.prune(gone.playlists, minutes(5)) == {}


def test_two_devices_merge_item_by_item() -> None:
    user = User(ALICE)
    phone = entry(items=[item(MONDAY, 0, minutes(-9)), item(TUESDAY, 1, minutes(-9))])
    tablet = entry(items=[item(MONDAY, 0, minutes(-9), minutes(-5)), item(THIRD, 1, minutes(-4))])
    for device in (phone, tablet, phone):
        synced(user, payload(device))
    [shown] = playlists.REGISTER.to_entries(user.playlists)
    assert [(one.rss_source_item, one.removed_at is None) for one in shown.items] == [
        (TUESDAY, True), (THIRD, True), (MONDAY, False),
    ]  # fmt: skip


def test_a_later_deletion_wins_over_items_and_a_later_name_over_a_deletion() -> None:
    user = User(ALICE)
    synced(user, payload(entry(at=minutes(-9), items=[item(MONDAY, 0, minutes(-1))])))
    synced(user, payload(entry(at=minutes(-9), deleted_at=minutes(-5))))
    assert when(delete(), folded_events(user)) == []
    [conflict] = sync.conflicts(user, payload(entry(at=minutes(-9))))
    assert conflict.rule == "later_wins"
    synced(user, payload(entry("Back", at=minutes(-2))))
    assert sync.conflicts(user, payload(entry("Back", at=minutes(-2)))) == []
    [conflict] = sync.conflicts(user, payload(entry(at=minutes(-9), deleted_at=minutes(-2))))
    assert conflict.rule == "existing_wins_a_tie"


def folded_events(user: User) -> list[Event]:
    """The checkpoint that replaces the events that led to a state."""
    command = TakeCheckpoint(user_id=ALICE, now=NOON, before=NEVER)
    return [checkpoint.take(user, command)]


def test_a_conflict_has_both_playlists_and_the_rule() -> None:
    user = User(ALICE)
    synced(user, payload(entry("Run", minutes(-1))))
    older = payload(entry("Walk", minutes(-2)))
    synced(user, older)
    [conflict] = sync.conflicts(user, older)
    assert (conflict.type, conflict.key, conflict.rule) == ("playlist", str(WALK), "later_wins")
    assert (conflict.client, conflict.server) == (entry("Walk", minutes(-2)), entry("Run", minutes(-1)))
    tied = payload(entry("Amble", minutes(-1)))
    [conflict] = sync.conflicts(user, tied)
    assert conflict.rule == "greater_value_wins_a_tie"


def test_an_item_that_lost_is_a_conflict_of_its_playlist() -> None:
    user = User(ALICE)
    synced(user, payload(entry(items=[item(MONDAY, None, minutes(-1))])))
    for left, rule in ((minutes(-2), "later_wins"), (minutes(-1), "added_wins_a_tie")):
        [conflict] = sync.conflicts(user, payload(entry(items=[item(MONDAY, None, None, left)])))
        assert conflict.rule == rule


def test_an_item_without_any_time_says_nothing() -> None:
    user = User(ALICE)
    [event] = synced(user, payload(entry(items=[item(MONDAY, 0, None)])))
    assert event == created()


def test_a_device_a_year_ahead_does_not_win_for_ever() -> None:
    user = User(ALICE)
    for turn in range(5):
        synced(user, payload(entry("Ahead", NOON + YEAR), now=minutes(10 * turn)))
        synced(user, payload(entry(f"Turn {turn}", minutes(10 * turn + 5)), now=minutes(10 * turn + 5)))
        assert user.playlists[str(WALK)].name == f"Turn {turn}"


def test_a_devices_own_order_holds_where_its_clock_does_not() -> None:
    first, last = NOON + YEAR, NOON + YEAR + timedelta(hours=1)
    one_ahead = [(minutes(6), minutes(4)), (minutes(4), minutes(6))]
    for updated, gone in ((first, last), (last, first), *one_ahead):
        user = User(ALICE)
        synced(user, payload(entry(at=updated, deleted_at=gone)))
        [shown] = playlists.REGISTER.to_entries(user.playlists)
        assert shown.deleted_at is not None
        assert (shown.deleted_at > shown.updated_at) is (gone > updated)


def test_the_items_that_are_in_come_first_and_their_places_are_those_that_were_given() -> None:
    given = [created(), added(THIRD, minutes(1)), added(MONDAY), added(TUESDAY)]
    given += when(reorder(TUESDAY, MONDAY), given)
    [shown] = playlists.REGISTER.to_entries(folded([*given, removed(THIRD)]).playlists)
    assert [(one.rss_source_item, one.position) for one in shown.items] == [
        (TUESDAY, 0), (MONDAY, 1), (THIRD, None),
    ]  # fmt: skip


def test_one_of_many_is_told_when_it_changed() -> None:
    user = User(ALICE)
    synced(user, payload(entry(), msgspec.structs.replace(entry(), id=RUN)))
    events = synced(user, payload(entry(items=[item(MONDAY, None, NOON)])))
    entries = sync.to_entries(user, events)
    assert [one.id for one in entries.playlists] == [WALK]
    assert entries.collections == []


def test_titles_go_with_the_later_addition_and_the_item_with_the_latest_word() -> None:
    other = item_of("monday", "https://example.org/other.mp3")
    gone = msgspec.structs.replace(removed(), rss_source_item=other)
    user = folded([created(), added(at=NOON, item_title="old"), added(item_title="new"), gone])
    kept = PlaylistItem(NEWS, other, "new", None, AT_1, AT_2)
    assert user.playlists[str(WALK)].members == {key(MONDAY): kept}
