"""Checkpoints must hold everything that was said by the events that retention deletes."""

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import codec
from eventstore.domain import collections, playlists, plays, saved, subscriptions
from eventstore.domain.checkpoint import (
    IN_CHECKPOINT,
    NOT_STATE,
    FeedMarked,
    PopularityRecalculated,
    PublicHistoryTrimmed,
    TakeCheckpoint,
    UserCheckpoint,
)
from eventstore.domain.messages import Event
from eventstore.domain.times import NEVER
from eventstore.domain.topic import Topic
from eventstore.domain.topics import TOPICS
from eventstore.domain.user import User, decide, evolve
from tests.domain.drawn import events, states
from tests.domain.scenarios import ALICE, MONDAY, NEWS, NOON, SCIENCE, TUESDAY, folded, minutes
from tests.properties import examples

few = examples(30, shrink=True)
of_every_topic = pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
LIST = UUID("11111111-1111-4111-8111-111111111111")
# those that concern no particular user: superseded by newer ones, and not covered by checkpoints
INSTANCE_EVENTS = {PopularityRecalculated, PublicHistoryTrimmed, FeedMarked}


SUBSCRIBED = subscriptions.UserSubscribed(user_id=ALICE, rss_source_feed=NEWS, subscribed_at=minutes(1))
PLAYED = plays.PlayRecorded(
    user_id=ALICE,
    rss_source_feed=NEWS,
    rss_source_item=MONDAY,
    position=7,
    played=True,
    played_at=minutes(1),
)
SAVED = saved.EpisodeSaved(user_id=ALICE, rss_source_feed=NEWS, rss_source_item=MONDAY, saved_at=minutes(1))
PLAYLIST = playlists.PlaylistCreated(user_id=ALICE, playlist_id=LIST, name="Walks", updated_at=minutes(1))
IN_PLAYLIST = tuple(
    playlists.PlaylistItemAdded(
        user_id=ALICE,
        playlist_id=LIST,
        rss_source_feed=NEWS,
        rss_source_item=item,
        item_title="A title",
        added_at=minutes(2),
    )
    for item in (MONDAY, TUESDAY)
)
COLLECTION = collections.CollectionCreated(
    user_id=ALICE, collection_id=LIST, name="News", color="#aabbcc", updated_at=minutes(1)
)
IN_COLLECTION = tuple(
    collections.FeedAddedToCollection(
        user_id=ALICE, collection_id=LIST, rss_source_feed=feed, added_at=minutes(2)
    )
    for feed in (NEWS, SCIENCE)
)


def checkpoint_of(user: User) -> UserCheckpoint:
    (event,) = decide(user, TakeCheckpoint(user_id=ALICE, now=minutes(9), before=NEVER))
    assert isinstance(event, UserCheckpoint)
    return event


def stored(event: Event) -> Any:
    """An event after it was stored and read."""
    name, schema = codec.name_of(event)
    return codec.decode(name, schema, codec.encode(event))


def test_every_event_is_in_a_checkpoint_or_named_as_what_needs_none() -> None:
    known = {cls for cls, _ in codec.EVENTS.values()}
    assert known == IN_CHECKPOINT | NOT_STATE | INSTANCE_EVENTS
    assert len(known) == len(IN_CHECKPOINT) + len(NOT_STATE) + len(INSTANCE_EVENTS)


@of_every_topic
@few
@given(st.data())
def test_a_checkpoint_holds_the_state_and_folding_goes_on_from_it(topic: Topic, data: st.DataObject) -> None:
    before, after = (data.draw(st.lists(events(topic), max_size=6)) for _ in range(2))
    user, again = folded(before), User(ALICE)
    evolve(again, stored(checkpoint_of(user)))
    assert again == user
    assert folded(after, again) == folded(after, user)


@of_every_topic
@few
@given(st.data())
def test_every_field_of_a_state_comes_through_a_checkpoint(topic: Topic, data: st.DataObject) -> None:
    state = data.draw(states(topic.register))
    held: dict[str, Any] = {topic.name: {"key": state}}
    of = UserCheckpoint(user_id=ALICE, taken_at=NOON, **held)
    assert getattr(stored(of), topic.name) == {"key": state}


@of_every_topic
@few
@given(st.data())
def test_what_is_no_state_changes_none(topic: Topic, data: st.DataObject) -> None:
    if topic.not_state:
        event = data.draw(events(topic, only=topic.not_state))
        assert folded([event]) == User(ALICE)


@of_every_topic
@few
@given(st.data())
def test_a_checkpoint_shares_nothing_with_the_state_that_goes_on_changing(
    topic: Topic, data: st.DataObject
) -> None:
    before, after = (data.draw(st.lists(events(topic), max_size=6)) for _ in range(2))
    user = folded(before)
    taken = checkpoint_of(user)
    then = codec.encode(taken)
    folded(after, user)
    assert codec.encode(taken) == then


def test_a_checkpoint_leaves_out_what_has_been_gone_for_longer_than_the_retention() -> None:
    gone = subscriptions.UserUnsubscribed(user_id=ALICE, rss_source_feed=NEWS, unsubscribed_at=minutes(2))
    user = folded([SUBSCRIBED, gone])
    for before, left in ((minutes(2), {NEWS}), (minutes(3), set())):
        (event,) = decide(user, TakeCheckpoint(user_id=ALICE, now=minutes(9), before=before))
        assert isinstance(event, UserCheckpoint)
        assert set(event.subscriptions) == left
