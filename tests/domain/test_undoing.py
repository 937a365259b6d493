"""Undoing restores what was there before, whatever was done, and loses nothing that others did later."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.domain.batch import Batch
from eventstore.domain.checkpoint import TakeCheckpoint
from eventstore.domain.collections import (
    AddFeedToCollection,
    CreateCollection,
    FeedRemovedFromCollection,
    RemoveFeedFromCollection,
    default_id,
)
from eventstore.domain.episodes import EpisodeIdentified
from eventstore.domain.identifiers import episode_key, item_of
from eventstore.domain.messages import Event
from eventstore.domain.ordered import OrderedSet
from eventstore.domain.playlists import (
    AddToPlaylist,
    ClearPlaylist,
    CreatePlaylist,
    DeletePlaylist,
    RemoveFromPlaylist,
    UpdatePlaylist,
    queue_id,
)
from eventstore.domain.plays import PlayRecorded, RecordPlay
from eventstore.domain.privacy import ChangePrivacy
from eventstore.domain.relevance import relevant_to
from eventstore.domain.restoring import Place, can_restore, facets
from eventstore.domain.saved import SaveEpisode, ShareEpisode
from eventstore.domain.subscriptions import Subscribe, Unsubscribe
from eventstore.domain.topics import TOPICS
from eventstore.domain.undoing import PastEvent, Plan, plan
from eventstore.domain.user import User, decide
from tests.domain.drawn import LISTS, PAST, SPELLINGS, entries, events, structs
from tests.domain.scenarios import ALICE, MONDAY, NEWS, SCIENCE, TUESDAY, folded, minutes
from tests.domain.test_every_topic import Device, Key, Server, off_by
from tests.domain.test_every_topic import view as entries_view

UNDOABLE = [topic for topic in TOPICS if can_restore(topic.register)]
LATER = minutes(60)
MIX = LISTS[0]
acts_of_devices = st.one_of([entries(topic) for topic in UNDOABLE])
of_events = st.one_of([events(topic, only=topic.register.carriers) for topic in UNDOABLE])


def view(user: User) -> dict[tuple[str, str], Any]:
    """What a listener sees of everything, whatever the times; entries that are off are left out."""
    found = {}
    for topic in UNDOABLE:
        for key, of in getattr(user, topic.name).items():
            place = Place(topic.register, ALICE, key)
            shown = {name: facet.shown for name, facet in facets(place, of).items()}
            is_hidden = isinstance(topic.register, OrderedSet) and not shown[""][0]
            nothing = {name: facet.shown for name, facet in facets(place, None).items()}
            if shown != nothing and not is_hidden:
                found[topic.name, key] = shown
    return found


def undone(history: Sequence[Event], chosen: Sequence[int], at: datetime = LATER) -> tuple[Plan, list[Event]]:
    """The plan that undoes the events with these numbers, and the history including its events."""
    past = [PastEvent(event, number in chosen) for number, event in enumerate(history)]
    found = plan(past, folded(history), None, at)
    return found, [*history, *(one.event for one in found.events)]


def done(*commands: Any) -> list[Event]:
    """The events of commands decided one after the other."""
    history: list[Event] = []
    for command in commands:
        history += decide(folded(history), command)
    return history


def test_every_topic_is_undone_but_what_apps_did_with_their_files() -> None:
    """This ensures that the properties below draw from every topic, including new ones."""
    assert {topic.name for topic in TOPICS} - {topic.name for topic in UNDOABLE} == {"episode_actions"}


@given(st.lists(of_events, max_size=10), st.lists(of_events, min_size=1, max_size=8))
def test_whatever_is_done_and_undone_all_is_as_it_was_before_and_again_as_it_was_after(
    before: list[Event], acts: list[Event]
) -> None:
    history = [*before, *acts]
    _, after = undone(history, range(len(before), len(history)))
    assert view(folded(after)) == view(folded(before))
    _, again = undone(after, range(len(history), len(after)), LATER + timedelta(hours=1))
    assert view(folded(again)) == view(folded(history))


@given(st.lists(of_events, min_size=2, max_size=14), st.data())
def test_what_others_did_last_stays_and_whatever_is_not_undone_is_told(
    history: list[Event], data: st.DataObject
) -> None:
    chosen = data.draw(st.sets(st.integers(0, len(history) - 1)))
    found, after = undone(history, sorted(chosen))
    was, now = view(folded(history)), view(folded(after))
    changed = {one.part[:2] for one in found.changes}
    assert {key for key in was.keys() | now.keys() if was.get(key) != now.get(key)} == changed
    for one in found.skipped:
        assert one.number in chosen
        assert one.later
        assert not chosen & set(one.later)
    # nothing is left to undo
    again, _ = undone(after, sorted(chosen), LATER + timedelta(hours=1))
    assert again.changes == []


identified = structs(EpisodeIdentified, PAST, rss_source_item=st.sampled_from(SPELLINGS[1:]))
any_events = st.one_of([*(events(topic) for topic in TOPICS), identified])


@given(st.lists(any_events, min_size=1, max_size=16), st.data())
def test_the_plan_is_the_same_without_the_events_that_it_does_not_depend_on(
    history: list[Event], data: st.DataObject
) -> None:
    chosen = data.draw(st.sets(st.integers(0, len(history) - 1), min_size=1, max_size=3))
    assert_the_rest_does_not_matter(history, chosen)


def test_a_podcast_that_was_unfollowed_since_is_not_put_back_into_a_collection() -> None:
    whose: Any = {"user_id": ALICE, "collection_id": MIX}
    history = done(
        Subscribe(user_id=ALICE, now=minutes(0), feed=NEWS),
        CreateCollection(**whose, now=minutes(1), name="Mix"),
        AddFeedToCollection(**whose, now=minutes(2), feed=NEWS),
        RemoveFeedFromCollection(**whose, now=minutes(3), feed=NEWS),
        Unsubscribe(user_id=ALICE, now=minutes(4), feed=NEWS),
    )
    removed = next(n for n, event in enumerate(history) if isinstance(event, FeedRemovedFromCollection))
    assert_the_rest_does_not_matter(history, {removed})


def assert_the_rest_does_not_matter(history: Sequence[Event], chosen: Collection[int]) -> None:
    which = relevant_to(history[number] for number in chosen)
    kept = [number for number, event in enumerate(history) if number in chosen or which.has(event)]
    user = folded(history)
    whole = plan([PastEvent(event, n in chosen) for n, event in enumerate(history)], user, None, LATER)
    part = plan([PastEvent(history[n], n in chosen) for n in kept], user, None, LATER)
    assert in_numbers_of(kept, part) == in_numbers_of(range(len(history)), whole)


def in_numbers_of(numbers: Sequence[int], found: Plan) -> Any:
    """What a plan says, with the numbers that its events have in a longer history."""

    def named(some: Iterable[int]) -> tuple[int, ...]:
        return tuple(numbers[number] for number in some)

    return (
        [(one.part, one.now.shown, one.then.shown, named(one.undone)) for one in found.changes],
        [(numbers[one.number], one.reason, named(one.later)) for one in found.skipped],
        [(one.event, named(one.undone)) for one in found.events],
    )


def test_what_was_never_played_is_as_if_it_had_not_been_begun() -> None:
    history = done(
        RecordPlay(user_id=ALICE, now=minutes(0), feed=NEWS, item=MONDAY, position=60, played=True)
    )
    found, after = undone(history, [0])
    (event,) = (one.event for one in found.events)
    assert isinstance(event, PlayRecorded)
    assert (event.position, event.played, event.is_undo) == (0, False, True)
    # and playing it again is a new act
    found, _ = undone(after, [1], minutes(90))
    (event,) = (one.event for one in found.events)
    assert isinstance(event, PlayRecorded)
    assert (event.position, event.played, event.is_undo) == (60, True, False)


def test_an_episode_comes_back_to_its_place_and_what_was_added_since_stays() -> None:
    whose: Any = {"user_id": ALICE, "playlist_id": MIX}
    items = [(NEWS, MONDAY), (NEWS, TUESDAY), (SCIENCE, MONDAY)]
    history = done(
        CreatePlaylist(**whose, now=minutes(0), name="Mix"),
        *(
            AddToPlaylist(**whose, now=minutes(n), feed=feed, item=item)
            for n, (feed, item) in enumerate(items, 1)
        ),
        RemoveFromPlaylist(**whose, now=minutes(5), feed=NEWS, item=TUESDAY),
        AddToPlaylist(**whose, now=minutes(6), feed=SCIENCE, item=TUESDAY),
    )
    _, after = undone(history, [4])
    shown = view(folded(after))["playlists", str(MIX)]["order"]
    assert shown == tuple(episode_key(*one) for one in [*items, (SCIENCE, TUESDAY)])


def test_a_list_that_others_have_put_something_into_stays() -> None:
    whose: Any = {"user_id": ALICE, "playlist_id": MIX}
    history = done(
        CreatePlaylist(**whose, now=minutes(0), name="Mix"),
        UpdatePlaylist(**whose, now=minutes(1), name="Walk"),
        AddToPlaylist(**whose, now=minutes(2), feed=NEWS, item=MONDAY),
    )
    found, _ = undone(history, [0])
    assert [(one.reason, one.later) for one in found.skipped] == [("later_changes", (1, 2))]
    found, after = undone(history, [0, 1])
    assert [one.number for one in found.skipped] == [0]
    assert view(folded(after))["playlists", str(MIX)]["name"] == "Mix"
    found, after = undone(history, [0, 1, 2])
    assert view(folded(after)) == {}
    assert [type(one.event).__name__ for one in found.events] == ["PlaylistDeleted"]


def test_what_is_in_a_list_that_was_deleted_since_stays_as_it_is() -> None:
    whose: Any = {"user_id": ALICE, "playlist_id": MIX}
    history = done(
        CreatePlaylist(**whose, now=minutes(0), name="Mix"),
        AddToPlaylist(**whose, now=minutes(1), feed=NEWS, item=MONDAY),
        DeletePlaylist(**whose, now=minutes(2)),
    )
    found, _ = undone(history, [1])
    assert [(one.reason, one.later) for one in found.skipped] == [("later_changes", (2,))]


def test_the_collection_of_everything_stays_and_shares_are_no_changes() -> None:
    history = done(
        Subscribe(user_id=ALICE, now=minutes(0), feed=NEWS),
        ShareEpisode(user_id=ALICE, now=minutes(1), feed=NEWS, item=MONDAY),
    )
    found, after = undone(history, [0, 1, 2])
    assert [one.part.topic for one in found.changes] == ["subscriptions"]
    assert [(one.number, one.reason) for one in found.skipped] == [(2, "not_undoable")]
    assert folded(after).collections[str(default_id(ALICE))].deleted_at is None


def test_of_a_history_whose_beginning_is_gone_what_came_before_must_be_known() -> None:
    def left(since: datetime) -> list[str]:
        past = [
            PastEvent(event, is_chosen) for event, is_chosen in zip(kept, [False, True, True], strict=True)
        ]
        found = plan(past, folded(history), since, LATER)
        return [one.reason for one in found.skipped] + [one.part.topic for one in found.changes]

    history = done(
        SaveEpisode(user_id=ALICE, now=minutes(0), feed=NEWS, item=MONDAY),
        Subscribe(user_id=ALICE, now=minutes(20), feed=NEWS),
        Unsubscribe(user_id=ALICE, now=minutes(30), feed=NEWS),
        ChangePrivacy(user_id=ALICE, now=minutes(40), level="public"),
    )
    kept = [event for event in history if type(event).__name__ in KEPT]
    # the kept events include the subscription, but not the previous privacy level
    assert left(minutes(15)) == ["too_old", "subscriptions"]
    assert left(minutes(25)) == ["too_old", "too_old"]


KEPT = ("UserSubscribed", "UserUnsubscribed", "PrivacyChanged")


def test_a_checkpoint_tells_what_was_before_it() -> None:
    history = done(
        Subscribe(user_id=ALICE, now=minutes(0), feed=NEWS),
        TakeCheckpoint(user_id=ALICE, now=minutes(1), before=minutes(-1)),
        Unsubscribe(user_id=ALICE, now=minutes(2), feed=NEWS),
    )
    found, after = undone(history[2:], [1])
    assert found.skipped == []
    assert folded(after).subscriptions[NEWS].active


def apparent(of: Iterable[Any]) -> dict[Key, Any]:
    """What is visible of entries, without those that are off, cleared or never begun.

    Lists are compared without their order, because entries state an order only of members that somebody has
    arranged.
    """
    nothing = (None, False, (None,), (0, False, None))
    own = str(default_id(ALICE))
    seen: dict[Key, Any] = {
        key: one for key, one in entries_view(of).items() if one not in nothing and key.name != own
    }
    in_order = {key: one for key, one in seen.items() if key.topic in ("playlists", "collections")}
    return seen | {key: (called, sorted(inside)) for key, (called, inside) in in_order.items()}


@given(st.lists(acts_of_devices, max_size=8), st.lists(acts_of_devices, min_size=1, max_size=6))
def test_after_its_next_sync_every_device_sees_what_was_before(before: list[Any], acts: list[Any]) -> None:
    server = Server()
    phone, desk = Device(server), Device(server)
    for entry in before:
        desk.act(off_by(timedelta(hours=-1), entry))
    desk.sync()
    phone.sync()
    was, start = apparent(desk.known.values()), len(server.log)
    for entry in acts:
        phone.act(entry)
    phone.sync()
    desk.sync()
    _, server.log = undone(server.log, range(start, len(server.log)))
    server.user = folded(server.log)
    for device in (phone, desk):
        device.sync()
        assert apparent(device.known.values()) == was


def test_a_long_queue_that_was_emptied_comes_back_without_a_look_at_all_of_it_for_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queue = queue_id(ALICE)
    named: dict[str, Any] = {"user_id": ALICE, "now": minutes(0), "playlist_id": queue, "feed": NEWS}
    adds = [AddToPlaylist(item=item_of(f"episode {number}", ""), **named) for number in range(300)]
    history = done(Batch(user_id=ALICE, now=minutes(0), orders=tuple(adds)))
    before = view(folded(history))
    clear = ClearPlaylist(user_id=ALICE, now=minutes(1), playlist_id=queue)
    emptied = [*history, *decide(folded(history), clear)]
    looks = 0

    def is_member(self: Any, of: Any) -> bool:
        nonlocal looks
        looks += 1
        return bool(self.members.is_on(of))

    monkeypatch.setattr(OrderedSet, "is_member", is_member)
    _, after = undone(emptied, range(len(history), len(emptied)))
    assert looks < 20 * len(adds)
    assert view(folded(after)) == before
