"""An episode is identified by (feed, GUID), or by (feed, enclosure URL) if it has no GUID."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.domain import privacy, sync
from eventstore.domain.checkpoint import TakeCheckpoint, UserCheckpoint, take
from eventstore.domain.episodes import EpisodeIdentified
from eventstore.domain.identifiers import episode_key, item_of, normalise_url, parts_of_item, shown_item
from eventstore.domain.messages import Command, Event
from eventstore.domain.naming import EpisodeName
from eventstore.domain.playlists import (
    AddToPlaylist,
    CreatePlaylist,
    PlaylistEntry,
    PlaylistItemEntry,
    RemoveFromPlaylist,
    ReorderPlaylist,
)
from eventstore.domain.plays import PlayEntry, RecordPlay, UpdatePosition
from eventstore.domain.privacy import ChangePrivacy, PrivacyEntry
from eventstore.domain.removal import RemoveEvents, remove
from eventstore.domain.saved import SavedEpisodeEntry, SaveEpisode, UnsaveEpisode
from eventstore.domain.sync import SyncUserData
from eventstore.domain.times import NEVER
from eventstore.domain.user import User, decide
from tests.domain.scenarios import ALICE, NEWS, NOON, SCIENCE, folded, key, minutes, refusal, synced, when

WALK = UUID("3a1b0000-0000-4000-8000-000000000000")
URL, MOVED = "https://cdn.example.org/1.mp3", "https://cdn.example.org/1.mp3?token=2"
ONE, ELSEWHERE, FILE = item_of("1", URL), item_of("1", MOVED), item_of("", URL)
ONE_KEY, FILE_KEY = key(ONE), key(FILE)


def play(item: str = ONE, position: int = 60, feed: str = NEWS, at: int = 0) -> RecordPlay:
    return RecordPlay(
        user_id=ALICE, feed=feed, item=item, position=position, played=False, now=NOON, at=minutes(at)
    )


def save(item: str = ONE, feed: str = NEWS, at: int = 0) -> SaveEpisode:
    return SaveEpisode(user_id=ALICE, feed=feed, item=item, now=NOON, at=minutes(at))


def hide(item: str = ONE, feed: str | None = NEWS, at: int = 0) -> ChangePrivacy:
    return ChangePrivacy(user_id=ALICE, level="private", feed=feed, item=item, now=NOON, at=minutes(at))


def add(item: str = ONE, feed: str = NEWS, at: int = 0) -> AddToPlaylist:
    return AddToPlaylist(user_id=ALICE, playlist_id=WALK, feed=feed, item=item, now=NOON, at=minutes(at))


def order(*items: str, feed: str | None = None) -> ReorderPlaylist:
    names = tuple(EpisodeName(feed, item) for item in items)
    return ReorderPlaylist(user_id=ALICE, playlist_id=WALK, items=names, now=minutes(4))


TAKE = TakeCheckpoint(user_id=ALICE, now=NOON, before=NEVER)
CREATE = CreatePlaylist(user_id=ALICE, playlist_id=WALK, name="Walk", now=NOON)


def history(*commands: Command) -> list[Event]:
    user, events = User(ALICE), list[Event]()
    for command in commands:
        events += (decided := decide(user, command))
        folded(decided, user)
    return events


def everything(item: str = ONE, feed: str = NEWS, at: int = 0) -> list[Command]:
    """One command of every topic that knows episodes."""
    return [play(item, 60, feed, at), save(item, feed, at), hide(item, feed, at), add(item, feed, at)]


def members(user: User) -> list[str]:
    return list(user.playlists[str(WALK)].members)


def entries(user: User) -> dict[str, Any]:
    return {"plays": user.plays, "saved": user.saved, "privacy": user.privacy, "playlists": user.playlists}


def test_the_same_guid_of_two_feeds_is_two_episodes_in_every_topic() -> None:
    user = folded(history(CREATE, *everything(), *everything(feed=SCIENCE)))
    keys = [ONE_KEY, key(ONE, SCIENCE)]
    assert list(user.plays) == list(user.saved) == members(user) == keys
    assert list(user.privacy) == [f"item:{one}" for one in keys]


def test_the_same_guid_with_another_enclosure_is_the_same_episode_and_the_newest_is_kept() -> None:
    user = folded(history(CREATE, *everything(), *everything(ELSEWHERE, at=1), *everything(at=-1)))
    assert list(user.plays) == list(user.saved) == members(user) == [ONE_KEY]
    newest = [user.plays[ONE_KEY].item, user.saved[ONE_KEY].item, user.privacy[f"item:{ONE_KEY}"].item]
    assert newest == [ELSEWHERE] * 3
    assert user.playlists[str(WALK)].members[ONE_KEY].item == ELSEWHERE


def test_two_guids_with_one_enclosure_stay_two() -> None:
    other = item_of("2", URL)
    assert list(folded(history(play(), play(other))).plays) == [ONE_KEY, key(other)]


def test_a_learned_guid_joins_what_was_known_of_the_enclosure_in_every_topic() -> None:
    tuesday = item_of("2", "")
    lists = [CREATE, add(FILE), add(tuesday), order(tuesday, FILE)]
    events = history(*lists, *everything(FILE)[:3], play(position=9, at=-1))
    assert [event for event in events if isinstance(event, EpisodeIdentified)] == [
        EpisodeIdentified(
            user_id=ALICE, rss_source_feed=NEWS, known_item=FILE, rss_source_item=ONE, identified_at=NOON
        )
    ]
    user = folded(events)
    assert list(user.plays) == list(user.saved) == [ONE_KEY]
    assert (user.plays[ONE_KEY].position, user.plays[ONE_KEY].item) == (60, ONE), "the later play counts"
    assert list(user.privacy) == [f"item:{ONE_KEY}"]
    assert user.playlists[str(WALK)].order == (key(tuesday), ONE_KEY)
    assert set(members(user)) == {key(tuesday), ONE_KEY}


def test_both_in_one_order_are_joined_at_the_place_of_the_first() -> None:
    two = item_of("2", "")
    other = item_of("1", MOVED)
    given = [CREATE, add(FILE), add(two), add(other), order(two, FILE, other)]
    events = history(*given, play(ONE))
    assert folded(events).playlists[str(WALK)].order == (key(two), ONE_KEY)


@pytest.mark.parametrize("feed", [NEWS, None])
def test_an_enclosure_without_guid_is_the_episode_that_is_known_to_have_it(feed: str | None) -> None:
    given = history(play())
    position = UpdatePosition(user_id=ALICE, item=FILE, position=90, now=NOON, at=minutes(1), feed=feed)
    user = folded([*given, *when(position, given)])
    assert [(name, one.position, one.item) for name, one in user.plays.items()] == [(ONE_KEY, 90, ONE)]


def test_of_two_episodes_with_one_enclosure_none_is_meant() -> None:
    given = history(play(), play(item_of("2", URL)))
    user = folded([*given, *when(play(FILE), given)])
    assert len(user.plays) == 3


def test_another_feed_s_file_is_another_episode() -> None:
    user = folded(history(play(FILE, feed=SCIENCE), play()))
    assert list(user.plays) == [key(FILE, SCIENCE), ONE_KEY]


WITHOUT_FEED: list[Callable[[], Command]] = [
    lambda: UpdatePosition(user_id=ALICE, item=ELSEWHERE, position=90, now=minutes(2)),
    lambda: UnsaveEpisode(user_id=ALICE, item=ELSEWHERE, now=minutes(2)),
    lambda: hide(ELSEWHERE, None, 2),
    lambda: RemoveFromPlaylist(user_id=ALICE, playlist_id=WALK, item=ELSEWHERE, now=minutes(2)),
    lambda: order(ELSEWHERE),
]


@pytest.mark.parametrize("command", WITHOUT_FEED)
def test_an_item_without_its_feed_is_the_one_that_is_known(command: Callable[[], Command]) -> None:
    [event] = when(command(), history(CREATE, *everything()))
    assert getattr(event, "rss_source_feed", NEWS) == NEWS
    assert getattr(event, "order", (ONE_KEY,)) == (ONE_KEY,)


@pytest.mark.parametrize("command", WITHOUT_FEED)
def test_an_item_of_several_feeds_is_ambiguous(command: Callable[[], Command]) -> None:
    given = history(CREATE, *everything(), *everything(feed=SCIENCE))
    assert refusal(command(), given) == "ambiguous_item"


def test_privacy_of_an_unknown_item_needs_its_feed() -> None:
    assert refusal(hide(feed=None)) == "feed_required"


def test_privacy_of_an_item_is_of_one_feed_alone() -> None:
    settings = folded(history(hide())).privacy
    assert privacy.in_force(settings, NEWS, ELSEWHERE, "public") == ("private", "item")
    assert privacy.in_force(settings, SCIENCE, ONE, "public") == ("public", "instance")


def payload(*plays: PlayEntry, **more: Any) -> SyncUserData:
    return SyncUserData(user_id=ALICE, now=minutes(10), play_statuses=list(plays), **more)


def heard(item: str, position: int = 0, at: int = 0, feed: str = NEWS) -> PlayEntry:
    return PlayEntry(feed, item, position, False, minutes(at))


forms = st.sampled_from([ONE, ELSEWHERE, FILE, item_of("2", ""), item_of("", MOVED)])
heard_entries = st.builds(
    heard, forms, st.integers(0, 2), st.integers(0, 3), st.sampled_from([NEWS, SCIENCE])
)


@given(st.lists(heard_entries, max_size=3), st.lists(heard_entries, max_size=3))
def test_a_file_and_its_guid_end_as_one_in_whatever_order_two_devices_sync(
    one: list[PlayEntry], other: list[PlayEntry]
) -> None:
    """This holds for an episode with one enclosure, because the owner of an older one is no longer known."""
    one, other = (
        [entry for entry in sent if MOVED not in parts_of_item(entry.rss_source_item)]
        for sent in (one, other)
    )
    ends = []
    for first, second in ((one, other), (other, one)):
        user = User(ALICE)
        for sent in (first, second, first, second):
            synced(user, payload(*sent))
        ends.append(user.plays)
    assert ends[0] == ends[1]


def test_one_payload_may_name_an_episode_in_both_forms() -> None:
    user = User(ALICE)
    synced(user, payload(heard(FILE, 10, 1), heard(ONE, 20, 2)))
    assert [(name, one.position) for name, one in user.plays.items()] == [(ONE_KEY, 20)]


def test_a_sync_joins_what_was_known_in_every_topic() -> None:
    user = folded(history(CREATE, *everything(FILE)))
    item = PlaylistItemEntry(NEWS, ONE, added_at=minutes(1))
    sent = payload(
        heard(ONE, 90, 1),
        saved_episodes=[SavedEpisodeEntry(NEWS, ONE, minutes(1))],
        playlists=[PlaylistEntry(WALK, "Walk", minutes(1), items=[item])],
        privacy_settings=[PrivacyEntry("public", minutes(1), NEWS, ONE)],
    )
    synced(user, sent)
    assert list(user.plays) == list(user.saved) == members(user) == [ONE_KEY]
    assert {name: one.level for name, one in user.privacy.items()} == {f"item:{ONE_KEY}": "public"}


def test_a_device_is_answered_with_the_address_that_it_sent_and_others_with_the_newest() -> None:
    user = User(ALICE)
    synced(user, payload(heard(ELSEWHERE, 20, 2)))
    sent = payload(heard(ONE, 10, 1))
    synced(user, sent)
    assert user.plays[ONE_KEY].item == ELSEWHERE
    [own] = sync.to_entries(user, None, sent).play_statuses
    [others] = sync.to_entries(user).play_statuses
    assert (own.rss_source_item, own.position) == (ONE, 20)
    assert (others.rss_source_item, others.position) == (ELSEWHERE, 20)


def test_a_device_hears_of_what_was_identified() -> None:
    given = history(CREATE, *everything(FILE))
    events = when(play(position=90, at=5), given)
    data = sync.to_entries(folded([*given, *events]), events)
    assert [entry.rss_source_item for entry in (*data.play_statuses, *data.saved_episodes)] == [ONE, ONE]
    assert [len(data.playlists), len(data.privacy_settings)] == [1, 1]


def test_a_conflict_names_the_item_and_shows_the_device_its_own_address() -> None:
    user = User(ALICE)
    synced(user, payload(heard(ELSEWHERE, 20, 2)))
    sent = payload(heard(ONE, 10, 1))
    synced(user, sent)
    [conflict] = sync.conflicts(user, sent)
    assert (conflict.key, conflict.client.rss_source_item, conflict.server.rss_source_item) == (ONE, ONE, ONE)


@pytest.mark.parametrize("named", [(NEWS, ONE), (None, ELSEWHERE), (NEWS, FILE), (None, FILE)])
def test_a_removal_takes_what_was_known_before_it_was_identified(named: tuple[str | None, str]) -> None:
    events = history(CREATE, *everything(FILE), *everything(feed=SCIENCE, item=item_of("9", "")), play())
    feed, item = named
    remains = remove(events, RemoveEvents(user_id=ALICE, feed=feed, item=item, now=NOON))
    left = folded([*(one for n, one in enumerate(events) if n not in remains.gone), *remains.events])
    never = folded(history(CREATE, *everything(feed=SCIENCE, item=item_of("9", ""))))
    assert entries(left) == entries(never)


def test_a_removal_leaves_the_same_guid_of_another_feed_alone() -> None:
    events = history(CREATE, *everything(), *everything(feed=SCIENCE), order(ONE, feed=SCIENCE))
    remains = remove(events, RemoveEvents(user_id=ALICE, feed=NEWS, item=ONE, now=NOON))
    left = folded([*(one for n, one in enumerate(events) if n not in remains.gone), *remains.events])
    assert list(left.plays) == list(left.saved) == members(left) == [key(ONE, SCIENCE)]
    assert left.playlists[str(WALK)].order == (key(ONE, SCIENCE),)


def test_a_file_that_was_of_another_episode_before_stays_there() -> None:
    """Two GUIDs had the same enclosure in turn: each keeps what was known when it was identified."""
    two = item_of("2", URL)
    moved = item_of("1", MOVED)
    events = history(play(FILE), play(ONE, at=1), play(moved, at=2), play(FILE, 7, at=3), play(two, 8, at=4))
    remains = remove(events, RemoveEvents(user_id=ALICE, feed=NEWS, item=two, now=NOON))
    left = folded([*(one for n, one in enumerate(events) if n not in remains.gone), *remains.events])
    assert list(left.plays) == [ONE_KEY]


def test_a_removal_of_an_item_of_several_feeds_is_ambiguous() -> None:
    events = history(play(), play(feed=SCIENCE))
    with pytest.raises(Exception, match="ambiguous_item"):
        remove(events, RemoveEvents(user_id=ALICE, item=ONE, now=NOON))


steps = st.one_of(
    st.builds(play, forms, st.integers(0, 2), st.sampled_from([NEWS, SCIENCE]), st.integers(0, 3)),
    st.builds(save, forms, st.sampled_from([NEWS, SCIENCE]), st.integers(0, 3)),
    st.builds(hide, forms, st.sampled_from([NEWS, SCIENCE]), st.integers(0, 3)),
    st.builds(add, forms, st.sampled_from([NEWS, SCIENCE]), st.integers(0, 3)),
)


@given(st.lists(steps, max_size=6), st.integers(0, 6))
def test_a_checkpoint_in_the_middle_changes_nothing(commands: list[Command], cut: int) -> None:
    events = history(CREATE, *commands)
    before = folded(events[:cut])
    kept = take(before, TAKE)
    assert isinstance(kept, UserCheckpoint)
    assert entries(folded([kept, *events[cut:]])) == entries(folded(events))


def test_a_guid_or_an_address_may_hold_a_comma_before_an_address() -> None:
    for guid, url in (
        ("a,http://b", ""),
        ("a,http://b", "https://c/"),
        ("a", "https://c/x,http://d"),
        ("a", "https://c/x,"),
    ):
        item = item_of(guid, url)
        assert parts_of_item(item) == (guid, url)
        assert shown_item(item)[1:] == (guid, url)
        assert episode_key(NEWS, item) == episode_key(NEWS, item_of(guid, normalise_url("http://e")))
