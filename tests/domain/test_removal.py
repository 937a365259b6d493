"""Removal: the state is as if the removed events had never been recorded."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from eventstore import codec
from eventstore.domain import privacy, subscriptions
from eventstore.domain.checkpoint import EventsRemoved, TakeCheckpoint, UserCheckpoint
from eventstore.domain.identifiers import episode_key, feed_key_of
from eventstore.domain.messages import Event
from eventstore.domain.playlists import PlaylistReordered
from eventstore.domain.removal import RemoveEvents, Scope, remove, without
from eventstore.domain.times import NEVER
from eventstore.domain.topic import Topic
from eventstore.domain.topics import TOPICS
from eventstore.domain.user import User, decide
from tests.domain.drawn import events
from tests.domain.scenarios import ALICE, FEEDS, MONDAY, NEWS, NOON, SCIENCE, TUESDAY, folded, key, minutes
from tests.domain.test_checkpoint import (
    COLLECTION,
    IN_COLLECTION,
    IN_PLAYLIST,
    PLAYED,
    PLAYLIST,
    SAVED,
    SUBSCRIBED,
)

LIBRARY = [SUBSCRIBED, PLAYED, SAVED, PLAYLIST, *IN_PLAYLIST, COLLECTION, *IN_COLLECTION]


def command(feed: str | None = None, item: str | None = None) -> RemoveEvents:
    return RemoveEvents(user_id=ALICE, feed=feed, item=item, now=NOON)


def removed(history: list[Event], feed: str | None = None, item: str | None = None) -> User:
    """The state after the removal, folded from the events that remain and those that it records."""
    remains = remove(history, command(feed, item))
    left = [event for number, event in enumerate(history) if number not in remains.gone]
    return folded([*left, *remains.events])


def histories() -> st.SearchStrategy[list[Event]]:
    """Any events of every topic about a feed and its items, in any order."""
    of_it = st.one_of([events(topic, rss_source_feed=feeds_of(topic)) for topic in TOPICS])
    return st.lists(of_it.filter(names_its_feed), max_size=12)


def names_its_feed(event: Any) -> bool:
    """Whether an event about an episode names its feed; true of all other events."""
    return not getattr(event, "rss_source_item", None) or event.rss_source_feed is not None


def feeds_of(topic: Topic) -> st.SearchStrategy[Any]:
    """The feeds that events of a topic may name; privacy settings of the whole account name none."""
    return st.sampled_from([NEWS, None]) if topic.name == "privacy" else st.just(NEWS)


def known_items(history: Iterable[Event]) -> set[str]:
    """The items that belong to the feed according to a history."""
    of_it = [event for event in history if getattr(event, "rss_source_feed", None) == NEWS]
    return {event.rss_source_item for event in of_it if getattr(event, "rss_source_item", None)}  # type: ignore[attr-defined]


def renamed(event: Event) -> Event:
    """The same event about another feed and its items."""
    text = codec.encode(event).decode()
    for old, new in ((NEWS, SCIENCE), (MONDAY, "d2VkbmVzZGF5LA=="), (TUESDAY, "dGh1cnNkYXks")):
        text = text.replace(old, new)
    name, schema = codec.name_of(event)
    return codec.decode(name, schema, text)


@given(histories(), st.data())
def test_what_is_left_is_as_if_the_feed_had_never_been(of_it: list[Event], data: st.DataObject) -> None:
    others = [renamed(event) for event in LIBRARY]
    history = data.draw(st.permutations([*of_it, *others]))
    keys = frozenset(episode_key(NEWS, item) for item in known_items(history))
    scope = Scope(feed_key_of(NEWS), keys)
    never = [event for event in (without(event, scope) for event in history) if event is not None]
    assert removed(list(history), NEWS) == folded(never)


@given(histories())
def test_nothing_that_is_left_or_recorded_names_the_feed(history: list[Event]) -> None:
    remains = remove(history, command(NEWS))
    left = [event for number, event in enumerate(history) if number not in remains.gone]
    text = b"".join(codec.encode(event) for event in [*left, *remains.events]).decode()
    assert NEWS not in text
    assert [item for item in known_items(history) if item in text] == []


def test_a_checkpoint_is_cleaned_like_the_events_that_it_stands_for() -> None:
    (taken,) = decide(folded(LIBRARY), TakeCheckpoint(user_id=ALICE, now=NOON, before=NEVER))
    assert isinstance(taken, UserCheckpoint)
    assert removed([taken], NEWS) == removed(LIBRARY, NEWS)
    assert NEWS not in msgspec.json.encode(removed([taken], NEWS)).decode()
    assert removed([taken], item=MONDAY) == removed(LIBRARY, item=MONDAY)


def test_an_item_goes_and_the_others_of_its_feed_stay() -> None:
    state = removed(LIBRARY, item=MONDAY)
    assert state.plays == {}
    assert state.saved == {}
    assert NEWS in state.subscriptions
    (playlist,) = state.playlists.values()
    assert set(playlist.members) == {key(TUESDAY)}


def test_an_item_of_a_feed_leaves_the_same_item_of_another_feed() -> None:
    other = msgspec.structs.replace(PLAYED, rss_source_feed=SCIENCE, played_at=minutes(0))
    state = removed([PLAYED, other], NEWS, MONDAY)
    assert list(state.plays) == [key(MONDAY, SCIENCE)]


def test_an_item_of_another_feed_is_not_in_an_order() -> None:
    names = {"user_id": ALICE, "playlist_id": PLAYLIST.playlist_id}
    order = PlaylistReordered(**names, order=(key(TUESDAY), key(MONDAY)), updated_at=minutes(3))
    history = [PLAYLIST, *IN_PLAYLIST, order]
    assert folded(history).playlists[str(order.playlist_id)].order == (key(TUESDAY), key(MONDAY))
    assert remove(history, command(SCIENCE, MONDAY)).gone == []
    assert removed(history, NEWS, MONDAY).playlists[str(order.playlist_id)].order == (key(TUESDAY),)


def test_settings_of_the_feed_and_of_its_items_go_and_the_accounts_own_stays() -> None:
    settings = [
        privacy.PrivacyChanged(
            user_id=ALICE, level="public", rss_source_feed=feed, rss_source_item=item, changed_at=NOON
        )
        for feed, item in ((None, None), (NEWS, None), (SCIENCE, None), (NEWS, MONDAY), (SCIENCE, MONDAY))
    ]
    state = removed([PLAYED, *settings], NEWS)
    assert set(state.privacy) == {"user", f"feed:{SCIENCE}", f"item:{key(MONDAY, SCIENCE)}"}


def test_with_neither_feed_nor_item_everything_goes() -> None:
    assert removed(LIBRARY) == User(ALICE)


def test_what_was_never_there_leaves_the_history_as_it_is() -> None:
    assert remove([SUBSCRIBED], command(SCIENCE)).events == []
    unsubscribed = subscriptions.UserUnsubscribed(
        user_id=ALICE, rss_source_feed=NEWS, unsubscribed_at=minutes(2)
    )
    assert remove([SUBSCRIBED, unsubscribed], command(item=MONDAY)) == ([], [])


def test_the_deletion_event_tells_what_went_by_digests_alone() -> None:
    remains = remove(LIBRARY, command(NEWS, MONDAY))
    deletion, checkpoint = remains.events
    assert isinstance(deletion, EventsRemoved)
    assert isinstance(checkpoint, UserCheckpoint)
    assert isinstance(deletion.feed_key, UUID)
    assert isinstance(deletion.item_key, UUID)
    assert FEEDS[0] not in codec.encode(deletion).decode()


def test_removing_twice_finds_nothing_the_second_time() -> None:
    remains = remove(LIBRARY, command(NEWS))
    left = [event for number, event in enumerate(LIBRARY) if number not in remains.gone]
    assert remove([*left, *remains.events], command(NEWS)) == ([], [])
