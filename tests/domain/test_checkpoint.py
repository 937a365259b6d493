"""Checkpoints: what stands for the events that retention deletes must hold all that they said."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from eventstore import codec
from eventstore.domain import collections, playlists, plays, privacy, saved, subscriptions
from eventstore.domain.checkpoint import (
    IN_CHECKPOINT,
    INSTANCE_EVENTS,
    NOT_STATE,
    TakeCheckpoint,
    UserCheckpoint,
)
from eventstore.domain.messages import Event
from eventstore.domain.times import NEVER
from eventstore.domain.user import User, decide, evolve
from tests.domain.scenarios import ALICE, MONDAY, NEWS, NOON, SCIENCE, TUESDAY, folded, minutes

LIST = UUID("11111111-1111-4111-8111-111111111111")


@dataclass(frozen=True)
class Sample:
    """An event that changes the state that ``given`` led to."""

    event: Event
    given: tuple[Event, ...] = ()


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
AHEAD = NOON + timedelta(days=300)

SAMPLES: tuple[Sample, ...] = (
    Sample(SUBSCRIBED),
    Sample(
        subscriptions.UserSubscribed(
            user_id=ALICE,
            rss_source_feed=NEWS,
            rss_source_id="id",
            subscribed_at=minutes(2),
            claimed_at=AHEAD,
        ),
        (SUBSCRIBED,),
    ),
    Sample(
        subscriptions.UserUnsubscribed(user_id=ALICE, rss_source_feed=NEWS, unsubscribed_at=minutes(2)),
        (SUBSCRIBED,),
    ),
    Sample(PLAYED),
    Sample(
        plays.PositionUpdated(
            user_id=ALICE,
            rss_source_feed=NEWS,
            rss_source_item=MONDAY,
            position=9,
            played=True,
            updated_at=minutes(2),
            claimed_at=AHEAD,
        ),
        (PLAYED,),
    ),
    Sample(SAVED),
    Sample(
        saved.EpisodeUnsaved(
            user_id=ALICE, rss_source_feed=NEWS, rss_source_item=MONDAY, unsaved_at=minutes(2)
        ),
        (SAVED,),
    ),
    Sample(PLAYLIST),
    Sample(
        playlists.PlaylistUpdated(
            user_id=ALICE,
            playlist_id=LIST,
            name="Runs",
            description="Fast",
            order=(TUESDAY, MONDAY),
            updated_at=minutes(3),
            claimed_at=AHEAD,
        ),
        (PLAYLIST, *IN_PLAYLIST),
    ),
    Sample(
        playlists.PlaylistVisibilityChanged(
            user_id=ALICE, playlist_id=LIST, name="Walks", is_public=True, updated_at=minutes(3)
        ),
        (PLAYLIST,),
    ),
    Sample(
        playlists.PlaylistReordered(
            user_id=ALICE, playlist_id=LIST, order=(TUESDAY, MONDAY), updated_at=minutes(3)
        ),
        (PLAYLIST, *IN_PLAYLIST),
    ),
    Sample(playlists.PlaylistDeleted(user_id=ALICE, playlist_id=LIST, deleted_at=minutes(3)), (PLAYLIST,)),
    Sample(IN_PLAYLIST[0], (PLAYLIST,)),
    Sample(
        playlists.PlaylistItemRemoved(
            user_id=ALICE,
            playlist_id=LIST,
            rss_source_feed=NEWS,
            rss_source_item=MONDAY,
            removed_at=minutes(3),
        ),
        (PLAYLIST, *IN_PLAYLIST),
    ),
    Sample(COLLECTION),
    Sample(
        collections.CollectionUpdated(
            user_id=ALICE,
            collection_id=LIST,
            name="More news",
            color="#000000",
            order=(SCIENCE, NEWS),
            updated_at=minutes(3),
        ),
        (COLLECTION, *IN_COLLECTION),
    ),
    Sample(
        collections.CollectionVisibilityChanged(
            user_id=ALICE, collection_id=LIST, name="News", is_public=True, updated_at=minutes(3)
        ),
        (COLLECTION,),
    ),
    Sample(
        collections.CollectionReordered(
            user_id=ALICE, collection_id=LIST, order=(SCIENCE, NEWS), updated_at=minutes(3)
        ),
        (COLLECTION, *IN_COLLECTION),
    ),
    Sample(
        collections.CollectionDeleted(user_id=ALICE, collection_id=LIST, deleted_at=minutes(3)),
        (COLLECTION,),
    ),
    Sample(IN_COLLECTION[0], (COLLECTION,)),
    Sample(
        collections.FeedRemovedFromCollection(
            user_id=ALICE, collection_id=LIST, rss_source_feed=NEWS, removed_at=minutes(3)
        ),
        (COLLECTION, *IN_COLLECTION),
    ),
    Sample(
        privacy.PrivacyChanged(user_id=ALICE, level="public", rss_source_feed=NEWS, changed_at=minutes(1))
    ),
)


def checkpoint_of(user: User) -> UserCheckpoint:
    (event,) = decide(user, TakeCheckpoint(user_id=ALICE, now=minutes(9), before=NEVER))
    assert isinstance(event, UserCheckpoint)
    return event


def stored(event: Event) -> Any:
    """As it comes back from the store."""
    name, schema = codec.name_of(event)
    return codec.decode(name, schema, codec.encode(event))


def test_every_event_type_is_carried_by_checkpoints_or_named_as_what_needs_none() -> None:
    known = {cls for cls, _ in codec.EVENTS.values()}
    assert known == IN_CHECKPOINT | NOT_STATE | INSTANCE_EVENTS
    assert len(known) == len(IN_CHECKPOINT) + len(NOT_STATE) + len(INSTANCE_EVENTS)


def test_every_type_that_is_said_to_be_carried_has_a_sample_here() -> None:
    assert {type(sample.event) for sample in SAMPLES} | {UserCheckpoint} == IN_CHECKPOINT


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample.event).__name__)
def test_a_checkpoint_carries_what_the_event_changed(sample: Sample) -> None:
    without = folded(sample.given)
    user = folded([*sample.given, sample.event])
    assert user != without, "a sample must change the state"
    again = User(ALICE)
    evolve(again, stored(checkpoint_of(user)))
    assert again == user


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample.event).__name__)
def test_folding_goes_on_from_a_checkpoint_as_from_the_events(sample: Sample) -> None:
    given = folded(sample.given)
    again = User(ALICE)
    evolve(again, stored(checkpoint_of(given)))
    assert folded([sample.event], again) == folded([*sample.given, sample.event])


@pytest.mark.parametrize("event", [saved.EpisodeShared], ids=lambda cls: cls.__name__)
def test_what_needs_no_checkpoint_changes_no_state(event: type[saved.EpisodeShared]) -> None:
    share = event(user_id=ALICE, rss_source_feed=NEWS, rss_source_item=MONDAY, shared_at=minutes(1))
    assert folded([share]) == User(ALICE)


def test_a_checkpoint_shares_nothing_with_the_state_that_goes_on_changing() -> None:
    user = folded([SUBSCRIBED, PLAYED, SAVED, PLAYLIST, *IN_PLAYLIST, COLLECTION, *IN_COLLECTION])
    taken = checkpoint_of(user)
    before = codec.encode(taken)
    for sample in SAMPLES:
        folded([sample.event], user)
    assert codec.encode(taken) == before


def test_a_checkpoint_leaves_out_what_has_been_gone_for_longer_than_the_retention() -> None:
    gone = subscriptions.UserUnsubscribed(user_id=ALICE, rss_source_feed=NEWS, unsubscribed_at=minutes(2))
    user = folded([SUBSCRIBED, gone])
    for before, left in ((minutes(2), {NEWS}), (minutes(3), set())):
        (event,) = decide(user, TakeCheckpoint(user_id=ALICE, now=minutes(9), before=before))
        assert isinstance(event, UserCheckpoint)
        assert set(event.subscriptions) == left
