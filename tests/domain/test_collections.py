"""Collections: the events of commands, and that devices converge whatever the order of arrival."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.domain import checkpoint, collections, sync
from eventstore.domain.checkpoint import TakeCheckpoint
from eventstore.domain.collections import (
    AddFeedToCollection,
    Collection,
    CollectionCreated,
    CollectionDeleted,
    CollectionEntry,
    CollectionFeed,
    CollectionFeedEntry,
    CollectionReordered,
    CollectionUpdated,
    CollectionVisibilityChanged,
    CreateCollection,
    DeleteCollection,
    FeedAddedToCollection,
    FeedRemovedFromCollection,
    RemoveFeedFromCollection,
    ReorderCollection,
    UpdateCollection,
    default_id,
)
from eventstore.domain.errors import DomainError
from eventstore.domain.messages import Command, Event
from eventstore.domain.subscriptions import Subscribe, SubscriptionEntry, UserSubscribed
from eventstore.domain.sync import SyncUserData
from eventstore.domain.times import NEVER, TICK
from eventstore.domain.user import User, decide
from tests.domain.scenarios import (
    ALICE,
    FEEDS,
    MUSIC,
    NEWS,
    NOON,
    PAST,
    SCIENCE,
    TIMES,
    folded,
    minutes,
    refusal,
    synced,
    when,
)

GYM, MIX = UUID(int=1), UUID(int=2)
DEFAULT = default_id(ALICE)
AT_1, AT_2, AT_3 = minutes(1), minutes(2), minutes(3)
YEAR = timedelta(days=365)


def create(name: str = "Gym", now: datetime = NOON, of: UUID = GYM, **more: Any) -> CreateCollection:
    return CreateCollection(user_id=ALICE, collection_id=of, name=name, now=now, **more)


def update(now: datetime = AT_1, of: UUID = GYM, **changes: Any) -> UpdateCollection:
    return UpdateCollection(user_id=ALICE, collection_id=of, now=now, **changes)


def delete(now: datetime = AT_1, of: UUID = GYM) -> DeleteCollection:
    return DeleteCollection(user_id=ALICE, collection_id=of, now=now)


def add(feed: str = NEWS, now: datetime = AT_1, of: UUID = GYM, **more: Any) -> AddFeedToCollection:
    return AddFeedToCollection(user_id=ALICE, collection_id=of, feed=feed, now=now, **more)


def remove(feed: str = NEWS, now: datetime = AT_2, of: UUID = GYM, **more: Any) -> RemoveFeedFromCollection:
    return RemoveFeedFromCollection(user_id=ALICE, collection_id=of, feed=feed, now=now, **more)


def reorder(*feeds: str, now: datetime = AT_3, of: UUID = GYM) -> ReorderCollection:
    return ReorderCollection(user_id=ALICE, collection_id=of, feeds=feeds, now=now)


def created(name: str = "Gym", at: datetime = NOON, of: UUID = GYM, **more: Any) -> CollectionCreated:
    return CollectionCreated(user_id=ALICE, collection_id=of, name=name, updated_at=at, **more)


def deleted(at: datetime) -> CollectionDeleted:
    return CollectionDeleted(user_id=ALICE, collection_id=GYM, deleted_at=at)


def added(feed: str = NEWS, at: datetime = AT_1, **more: Any) -> FeedAddedToCollection:
    return FeedAddedToCollection(user_id=ALICE, collection_id=GYM, rss_source_feed=feed, added_at=at, **more)


def removed(feed: str = NEWS, at: datetime = AT_2) -> FeedRemovedFromCollection:
    return FeedRemovedFromCollection(user_id=ALICE, collection_id=GYM, rss_source_feed=feed, removed_at=at)


def subscribed(*feeds: str, at: datetime = NOON) -> list[Event]:
    return [UserSubscribed(user_id=ALICE, rss_source_feed=feed, subscribed_at=at) for feed in feeds]


EVERYTHING = [*subscribed(*FEEDS), created("All Subscriptions", of=DEFAULT, is_default=True)]


def the_collection(events: Sequence[Event], of: UUID = GYM) -> Collection:
    return folded(events).collections[str(of)]


def feeds_in_order(events: Sequence[Event]) -> list[str]:
    gym = the_collection(events)
    return collections.REGISTER.arranged(gym)


def test_a_collection_is_created_private_and_empty() -> None:
    assert when(create(color="#2f6f4e")) == [created(color="#2f6f4e")]
    assert the_collection([created()]) == Collection("Gym", NOON)


def test_creating_it_again_changes_nothing_and_another_of_its_id_is_refused() -> None:
    assert when(create(now=AT_1), [created()]) == []
    assert refusal(create(color="#2f6f4e"), [created()]) == "collection_exists"
    assert when(create("Mix"), [created(), deleted(AT_1)]) == [created("Mix", AT_1 + TICK)]


def test_an_update_changes_what_it_names_and_what_is_empty_goes() -> None:
    given = [created(description="Loud", color="#2f6f4e")]
    [renamed] = when(update(name="Mix"), given)
    assert isinstance(renamed, CollectionUpdated)
    assert (renamed.name, renamed.description, renamed.color) == ("Mix", "Loud", "#2f6f4e")
    [cleared] = when(update(description="", color=""), given)
    assert isinstance(cleared, CollectionUpdated)
    assert (cleared.name, cleared.description, cleared.color) == ("Gym", None, None)
    assert when(update(name="Gym", color="#2f6f4e"), given) == []


def test_showing_it_is_an_event_of_its_own() -> None:
    [shown] = when(update(is_public=True), [created(color="#2f6f4e")])
    assert shown == CollectionVisibilityChanged(
        user_id=ALICE, collection_id=GYM, name="Gym", color="#2f6f4e", is_public=True, updated_at=AT_1
    )
    assert the_collection([created(), shown]).is_public


@pytest.mark.parametrize("command", [update(name="Mix"), add(), remove(), reorder(NEWS)])
def test_one_that_is_not_there_is_not_found(command: Command) -> None:
    assert refusal(command, EVERYTHING) == "collection_not_found"
    assert refusal(command, [*EVERYTHING, created(), deleted(AT_1)]) == "collection_not_found"


def test_a_deletion_is_soft_and_comes_after_all_that_is_known() -> None:
    assert when(delete(), [created(at=minutes(4))]) == [deleted(minutes(4) + TICK)]
    assert when(delete(), [created(), deleted(AT_1)]) == []
    assert refusal(delete()) == "collection_not_found"


def test_only_feeds_that_are_subscribed_to_are_added() -> None:
    assert refusal(add(SCIENCE), [*subscribed(NEWS), created()]) == "not_subscribed"
    assert when(add(), [*subscribed(NEWS), created()]) == [added()]
    assert when(add(now=AT_2), [*subscribed(NEWS), created(), added()]) == []


def test_a_feed_is_removed_and_comes_back() -> None:
    given = [*EVERYTHING, created(), added()]
    assert when(remove(), given) == [removed()]
    assert when(remove(now=AT_3), [*given, removed()]) == []
    assert when(add(now=AT_2), [*given, removed()]) == [added(at=AT_2 + TICK)]
    assert refusal(remove(SCIENCE), given) == "feed_not_in_collection"


def test_what_was_done_offline_counts_when_it_was_done() -> None:
    given = [*EVERYTHING, created(), added(at=minutes(-3)), removed(at=minutes(-1))]
    late = when(add(at=minutes(-2)), given)
    assert late == [added(at=minutes(-2))]
    assert feeds_in_order([*given, *late]) == []


def test_an_action_of_a_wrong_clock_counts_once() -> None:
    given = [*EVERYTHING, created()]
    first = when(add(at=NOON + YEAR), given)
    assert first == [added(claimed_at=NOON + YEAR)]
    assert when(add(at=NOON + YEAR, now=AT_3), [*given, *first, removed()]) == []


def test_an_order_is_given_and_what_comes_later_goes_last() -> None:
    given = [*EVERYTHING, created(), added(NEWS, AT_1), added(SCIENCE, AT_2)]
    assert feeds_in_order(given) == [NEWS, SCIENCE]
    [event] = when(reorder(SCIENCE, NEWS), given)
    assert event == CollectionReordered(
        user_id=ALICE, collection_id=GYM, order=(SCIENCE, NEWS), updated_at=AT_3
    )
    assert feeds_in_order([*given, event, added(MUSIC, NOON)]) == [SCIENCE, NEWS, MUSIC]
    assert refusal(reorder(MUSIC), given) == "feed_not_in_collection"
    [left] = when(reorder(NEWS, SCIENCE), [*given, removed(NEWS)])
    assert isinstance(left, CollectionReordered)
    assert left.order == (SCIENCE,)


def test_the_first_subscription_brings_the_default_collection() -> None:
    subscribe = Subscribe(user_id=ALICE, feed=NEWS, now=NOON)
    first, default = when(subscribe)
    assert isinstance(first, UserSubscribed)
    assert default == created("All Subscriptions", of=DEFAULT, is_default=True)
    assert the_collection([default], DEFAULT).is_default
    again = Subscribe(user_id=ALICE, feed=SCIENCE, now=AT_1)
    assert [type(event) for event in when(again, [first, default])] == [UserSubscribed]


def test_the_default_collection_stays_and_holds_what_is_subscribed_to() -> None:
    for command in (delete(of=DEFAULT), remove(of=DEFAULT)):
        assert refusal(command, EVERYTHING) == "default_collection"
    assert when(add(of=DEFAULT), EVERYTHING) == []
    assert refusal(add("bmV3", of=DEFAULT), EVERYTHING) == "not_subscribed"
    [renamed] = when(update(of=DEFAULT, name="Mine"), EVERYTHING)
    [ordered] = when(reorder(MUSIC, NEWS, of=DEFAULT), EVERYTHING)
    mine = the_collection([*EVERYTHING, renamed, ordered], DEFAULT)
    assert (mine.name, mine.is_default, mine.order, mine.members) == ("Mine", True, (MUSIC, NEWS), {})


# -- devices --------------------------------------------------------------------------------------------


def payload(*entries: CollectionEntry, now: datetime = NOON) -> SyncUserData:
    return SyncUserData(user_id=ALICE, now=now, collections=list(entries))


def entry(name: str = "Gym", at: datetime = NOON, **more: Any) -> CollectionEntry:
    return CollectionEntry(GYM, name, at, **more)


def entries(times: st.SearchStrategy[datetime] = PAST) -> st.SearchStrategy[CollectionEntry]:
    members = st.builds(
        CollectionFeedEntry,
        rss_source_feed=st.sampled_from(FEEDS),
        position=st.none() | st.integers(0, 2),
        added_at=st.none() | times,
        removed_at=st.none() | times,
    )
    return st.builds(
        CollectionEntry,
        id=st.sampled_from([GYM, MIX, DEFAULT]),
        name=st.sampled_from(["Gym", "Mix"]),
        updated_at=times,
        description=st.sampled_from([None, "", "Loud"]),
        color=st.sampled_from([None, "#2f6f4e"]),
        is_public=st.booleans(),
        is_default=st.booleans(),
        deleted_at=st.none() | times,
        feeds=st.lists(members, max_size=3),
    )


def payloads(times: st.SearchStrategy[datetime] = PAST) -> st.SearchStrategy[SyncUserData]:
    return st.lists(entries(times), max_size=3).map(lambda drawn: payload(*drawn))


@given(st.lists(payloads(), max_size=4), st.randoms(use_true_random=False))
def test_any_order_any_cut_and_any_repeats_end_with_the_same(
    sent: list[SyncUserData], random: Random
) -> None:
    in_order, shuffled, apart = User(ALICE), User(ALICE), User(ALICE)
    for one in sent:
        synced(in_order, one)
    for one in random.sample([*sent, *sent], 2 * len(sent)):
        synced(shuffled, one)
    everything = [one for each in sent for one in each.collections]
    for entry in random.sample(everything, len(everything)):
        synced(apart, payload(entry))
    assert shuffled.collections == in_order.collections
    assert apart.collections == in_order.collections


@given(st.lists(payloads(TIMES), min_size=1, max_size=3))
def test_what_was_sent_or_told_before_records_nothing(sent: list[SyncUserData]) -> None:
    """This holds also with clocks that are ahead, and with syncs of other devices in between."""
    user = User(ALICE)
    for one in sent:
        synced(user, one)
        assert decide(user, one) == []
    for one in sent:
        assert decide(user, msgspec.structs.replace(one, now=AT_1)) == []
    echo = payload(*collections.REGISTER.to_entries(user.collections))
    assert decide(user, echo) == []
    assert sync.conflicts(user, echo) == []


@given(st.lists(payloads(TIMES), max_size=3))
def test_a_first_device_has_nobody_to_lose_to_and_events_go_in_any_order(sent: list[SyncUserData]) -> None:
    user, log = User(ALICE), list[Event]()
    for number, one in enumerate(sent):
        log += synced(user, one)
        if number == 0:
            assert sync.conflicts(user, one) == []
    assert folded(list(reversed(log))).collections == user.collections
    assert folded([*log, *log]).collections == user.collections


@given(st.lists(payloads(TIMES), max_size=3))
def test_there_is_one_default_collection_and_it_is_never_deleted(sent: list[SyncUserData]) -> None:
    user = User(ALICE)
    for one in sent:
        synced(user, one)
    assert {key for key, of in user.collections.items() if of.is_default} <= {str(DEFAULT)}
    default = user.collections.get(str(DEFAULT))
    assert default is None or (default.deleted_at is None and default.members == {})


STEPS: st.SearchStrategy[Any] = st.one_of(
    st.builds(create, st.sampled_from(["Gym", "Mix"])),
    st.builds(update, is_public=st.booleans(), name=st.none() | st.just("Mix")),
    st.builds(delete),
    st.builds(add, st.sampled_from(FEEDS), at=st.none() | TIMES),
    st.builds(remove, st.sampled_from(FEEDS), at=st.none() | TIMES),
    st.builds(reorder, st.sampled_from(FEEDS)),
    payloads(TIMES),
)


@given(st.lists(STEPS, max_size=10), st.data())
def test_folding_from_any_checkpoint_equals_folding(steps: list[Any], data: st.DataObject) -> None:
    user, log = folded(EVERYTHING), list(EVERYTHING)
    for number, step in enumerate(steps):
        command = msgspec.structs.replace(step, now=minutes(number))
        try:
            log += (events := decide(user, command))
        except DomainError:
            continue
        assert decide(folded(events, user), command) == [], "deciding twice"
    assert folded(log) == user
    cut = data.draw(st.integers(0, len(log)))
    take = TakeCheckpoint(user_id=ALICE, now=NOON, before=NEVER)
    taken = msgspec.json.encode(checkpoint.take(folded(log[:cut]), take))
    stored = msgspec.json.decode(taken, type=checkpoint.UserCheckpoint)
    assert folded([stored, *log[cut:]]) == user
    assert folded([*log[:cut], stored, *log[cut:]]) == user


def test_what_was_removed_long_ago_is_not_kept() -> None:
    given = [*EVERYTHING, created(), added(NEWS), added(SCIENCE)]
    given += when(reorder(SCIENCE, NEWS), given)
    user = folded([*given, removed(NEWS, minutes(4))])
    assert collections.REGISTER.prune(user.collections, minutes(4)) == user.collections
    kept = collections.REGISTER.prune(user.collections, minutes(5))[str(GYM)]
    assert (kept.members, kept.order) == ({SCIENCE: CollectionFeed(AT_1)}, (SCIENCE,))
    gone = folded([*given, deleted(minutes(4))])
    assert str(GYM) in collections.REGISTER.prune(gone.collections, minutes(4))
    assert list(collections.REGISTER.prune(gone.collections, minutes(5))) == [str(DEFAULT)]


def test_a_feed_may_be_in_a_collection_before_its_subscription_arrives() -> None:
    user = User(ALICE)
    synced(user, payload(entry(feeds=[CollectionFeedEntry(NEWS, 0, NOON)])))
    late = SyncUserData(user_id=ALICE, now=NOON, subscriptions=[SubscriptionEntry(NEWS, None, NOON)])
    synced(user, late)
    assert user.collections[str(GYM)].members == {NEWS: CollectionFeed(NOON)}
    assert user.subscriptions[NEWS].active


def test_a_first_subscription_that_comes_with_its_default_collection_makes_no_second_one() -> None:
    user = User(ALICE)
    mine = CollectionEntry(DEFAULT, "Mine", minutes(-5), is_default=True)
    both = SyncUserData(
        user_id=ALICE, now=NOON, subscriptions=[SubscriptionEntry(NEWS, None, NOON)], collections=[mine]
    )
    events = synced(user, both)
    assert [type(event) for event in events] == [UserSubscribed, CollectionCreated]
    assert user.collections[str(DEFAULT)].name == "Mine"


def test_another_collection_is_not_believed_to_be_the_default_one() -> None:
    user = User(ALICE)
    synced(user, payload(entry(is_default=True)))
    assert not user.collections[str(GYM)].is_default


def test_the_default_collections_order_goes_from_device_to_device() -> None:
    user = folded(EVERYTHING)
    feeds = [CollectionFeedEntry(MUSIC, 0, NOON), CollectionFeedEntry(NEWS, 1, NOON)]
    synced(user, payload(CollectionEntry(DEFAULT, "Mine", AT_1, feeds=feeds)))
    shown = {one.id: one for one in collections.REGISTER.to_entries(user.collections)}[DEFAULT]
    assert shown.is_default
    assert [one.rss_source_feed for one in shown.feeds] == [MUSIC, NEWS]


def test_conflicts_name_what_lost_and_why() -> None:
    user = User(ALICE)
    synced(user, payload(entry("Mix", minutes(-1), feeds=[CollectionFeedEntry(NEWS, None, minutes(-1))])))
    for client, rule in (
        (entry("Gym", minutes(-2)), "later_wins"),
        (entry("Gym", minutes(-1)), "greater_value_wins_a_tie"),
        (entry("Mix", minutes(-1), deleted_at=minutes(-1)), None),
        (entry("Mix", minutes(-2), deleted_at=minutes(-1)), "existing_wins_a_tie"),
        (entry("Mix", minutes(-1), feeds=[CollectionFeedEntry(NEWS, None, None, minutes(-2))]), "later_wins"),
    ):
        rules = [conflict.rule for conflict in sync.conflicts(user, payload(client))]
        assert rules == ([] if rule is None else [rule])
