"""Whether what an event said still holds, and why."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from eventstore.domain import history
from eventstore.domain.checkpoint import EventsRemoved, UserCheckpoint
from eventstore.domain.messages import Event
from eventstore.domain.playlists import (
    PlaylistCreated,
    PlaylistDeleted,
    PlaylistItemAdded,
    PlaylistItemRemoved,
    PlaylistReordered,
    PlaylistUpdated,
)
from eventstore.domain.plays import PlayRecorded
from eventstore.domain.privacy import PrivacyChanged
from eventstore.domain.register import InEffect
from eventstore.domain.saved import EpisodeSaved, EpisodeShared, EpisodeUnsaved
from eventstore.domain.subscriptions import UserSubscribed, UserUnsubscribed
from eventstore.domain.topics import User
from tests.domain.scenarios import ALICE, MONDAY, NEWS, NOON, TUESDAY, folded, minutes

YEAR = timedelta(days=365)
LIST = UUID("11150000-0000-4000-8000-000000000000")
STANDS, LATER, AHEAD = (
    InEffect(True, "later_wins"),
    InEffect(False, "later_wins"),
    InEffect(False, "clock_ahead"),
)


def played(position: int, at: int, **more: Any) -> PlayRecorded:
    return PlayRecorded(
        user_id=ALICE,
        rss_source_feed=NEWS,
        rss_source_item=MONDAY,
        position=position,
        played=False,
        played_at=minutes(at),
        **more,
    )


def subscribed(at: int) -> UserSubscribed:
    return UserSubscribed(user_id=ALICE, rss_source_feed=NEWS, subscribed_at=minutes(at))


def unsubscribed(at: int) -> UserUnsubscribed:
    return UserUnsubscribed(user_id=ALICE, rss_source_feed=NEWS, unsubscribed_at=minutes(at))


def saved(at: int) -> EpisodeSaved:
    return EpisodeSaved(user_id=ALICE, rss_source_feed=NEWS, rss_source_item=MONDAY, saved_at=minutes(at))


def unsaved(at: int) -> EpisodeUnsaved:
    return EpisodeUnsaved(user_id=ALICE, rss_source_feed=NEWS, rss_source_item=MONDAY, unsaved_at=minutes(at))


def changed(level: Any, at: int) -> PrivacyChanged:
    return PrivacyChanged(user_id=ALICE, level=level, changed_at=minutes(at))


def added(item: str, at: int) -> PlaylistItemAdded:
    return PlaylistItemAdded(
        user_id=ALICE, playlist_id=LIST, rss_source_feed=NEWS, rss_source_item=item, added_at=minutes(at)
    )


def removed(item: str, at: int) -> PlaylistItemRemoved:
    return PlaylistItemRemoved(
        user_id=ALICE, playlist_id=LIST, rss_source_feed=NEWS, rss_source_item=item, removed_at=minutes(at)
    )


def created(name: str, at: int) -> PlaylistCreated:
    return PlaylistCreated(user_id=ALICE, playlist_id=LIST, name=name, updated_at=minutes(at))


def renamed(name: str, at: int) -> PlaylistUpdated:
    return PlaylistUpdated(user_id=ALICE, playlist_id=LIST, name=name, updated_at=minutes(at))


def standings(*events: Event) -> list[InEffect | None]:
    user = folded(events)
    return [history.in_effect(user, event) for event in events]


@pytest.mark.parametrize(
    ("first", "second", "tie"),
    [
        ([subscribed(0), unsubscribed(1)], [unsubscribed(0), subscribed(0)], "subscribed_wins_a_tie"),
        ([saved(0), unsaved(1)], [unsaved(0), saved(0)], "saved_wins_a_tie"),
        ([played(60, 0), played(30, 1)], [played(30, 0), played(60, 0)], "further_position_wins_a_tie"),
        (
            [changed("private", 0), changed("public", 1)],
            [changed("public", 0), changed("private", 0)],
            "more_private_wins_a_tie",
        ),
        ([added(MONDAY, 0), removed(MONDAY, 1)], [removed(MONDAY, 0), added(MONDAY, 0)], "added_wins_a_tie"),
    ],
)
def test_the_later_holds_and_of_equal_times_what_the_rule_says(
    first: list[Event], second: list[Event], tie: str
) -> None:
    assert standings(*first) == [LATER, STANDS]
    assert standings(*reversed(first)) == [STANDS, LATER], "whichever arrived first"
    assert standings(*second) == [InEffect(False, tie), STANDS]


def test_what_a_wrong_clock_said_and_was_not_believed_is_told() -> None:
    assert standings(played(60, 0, claimed_at=NOON + YEAR), played(30, 1)) == [AHEAD, STANDS]
    assert standings(played(60, 0, claimed_at=NOON + YEAR)) == [STANDS]


def test_a_list_is_called_what_it_was_called_when_only_its_order_changed() -> None:
    order = PlaylistReordered(user_id=ALICE, playlist_id=LIST, order=(MONDAY, TUESDAY), updated_at=minutes(2))
    assert standings(created("mix", 0), order) == [STANDS, STANDS]
    assert standings(created("mix", 0), renamed("gym", 1)) == [LATER, STANDS]


def test_of_a_deleted_list_only_the_deletion_holds() -> None:
    gone = PlaylistDeleted(user_id=ALICE, playlist_id=LIST, deleted_at=minutes(2))
    assert standings(created("mix", 0), gone) == [LATER, STANDS]
    assert standings(created("mix", 0), gone, renamed("gym", 3)) == [LATER, LATER, STANDS]


def test_what_is_no_state_or_forgotten_is_not_judged() -> None:
    share = EpisodeShared(user_id=ALICE, rss_source_feed=NEWS, rss_source_item=MONDAY, shared_at=NOON)
    assert standings(share, EventsRemoved(user_id=ALICE, removed_at=NOON)) == [None, None]
    for event in (
        subscribed(0),
        saved(0),
        played(1, 0),
        changed("public", 0),
        added(MONDAY, 0),
        created("x", 0),
    ):
        assert history.in_effect(User(ALICE), event) is None


def test_a_checkpoint_happened_when_it_was_taken() -> None:
    assert history.happened_at(UserCheckpoint(user_id=ALICE, taken_at=NOON)) == NOON
