"""The stored state of a listener: read by key, written with the events, and always equal to the log's."""

import random
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

import msgspec
import pytest

from eventstore import dispatcher, entries, log, streams
from eventstore.dispatcher import CommandId
from eventstore.domain.checkpoint import TakeCheckpoint
from eventstore.domain.errors import DomainError
from eventstore.domain.identifiers import item_of
from eventstore.domain.messages import Command, Origin
from eventstore.domain.playlists import AddToPlaylist, CreatePlaylist, RemoveFromPlaylist
from eventstore.domain.plays import PlayEntry
from eventstore.domain.privacy import ChangePrivacy
from eventstore.domain.removal import RemoveEvents
from eventstore.domain.saved import SaveEpisode
from eventstore.domain.sync import SyncUserData, to_entries
from eventstore.domain.topics import STATE_SCHEMA
from eventstore.domain.user import User
from eventstore.erasure import purge_stream, tombstone_stream
from eventstore.prepared import Prepared
from eventstore.removal import remove
from eventstore.streams import Streams, StreamUnreadable, rebuild
from tests.eventstore.dispatching import (
    ALICE,
    BOB,
    CHARLIE,
    NEWS,
    NOON,
    SCIENCE,
    at_once,
    dispatch,
    elsewhere,
    events_of,
    execute,
    move,
    play,
    replayed,
    subscribe,
    unsubscribe,
)

pytestmark = pytest.mark.usefixtures("stores")

ASKED = (
    (log, ("stream_of", "read_stream", "remembered_command", "append", "remember_command", "notify")),
    (entries, ("find_state", "read_state", "read_topic", "search")),
)
Asked = list[tuple[Any, ...]]
WALK = UUID(int=7)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """The calls of the store, in order: function name and arguments."""
    asked: Asked = []

    def listening(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def listen(*arguments: Any, **named: Any) -> Any:
            asked.append((name, *arguments, *named.values()))
            return function(*arguments, **named)

        return listen

    for module, functions in ASKED:
        for name in functions:
            monkeypatch.setattr(module, name, listening(name, getattr(module, name)))
    return asked


def names(asked: Asked) -> list[str]:
    return [name for name, *_ in asked]


def kept(user_id: UUID = ALICE) -> User:
    """The stored state, read without anything cached."""
    return dispatcher.state_of(user_id).read_whole()


def test_a_command_reads_what_it_names_and_the_next_of_the_same_episode_nothing(asked: Asked) -> None:
    dispatch(subscribe())
    # the first command opens the stream
    assert names(asked) == ["find_state", "stream_of", "read_state", "append", "notify"]
    asked.clear()
    dispatch(play(1))
    assert names(asked) == ["read_state", "append", "notify"]
    asked.clear()
    dispatch(play(2))
    assert names(asked) == ["append", "notify"]


def test_the_first_command_in_a_process_finds_the_stream_with_the_state(asked: Asked) -> None:
    dispatch(play(1))
    log.clear_caches()
    dispatcher.clear_cache()
    asked.clear()
    with patch.object(Prepared, "rows", autospec=True, side_effect=Prepared.rows) as executed:
        dispatch(play(2))
    assert names(asked) == ["find_state", "append", "notify"]
    assert executed.call_count == 2
    assert kept() == replayed()


def test_a_command_id_costs_one_look(asked: Asked) -> None:
    dispatch(play(1))
    asked.clear()
    dispatch(play(2), CommandId(uuid4(), b"play"))
    assert names(asked) == ["remembered_command", "append", "notify"]


def test_that_nothing_is_to_be_done_is_decided_on_what_is_the_newest(asked: Asked) -> None:
    dispatch(subscribe())
    asked.clear()
    assert dispatch(subscribe(minute=1)).events == []
    assert names(asked) == ["read_state"]
    elsewhere(unsubscribe(minute=2))
    assert len(dispatch(subscribe(minute=3)).events) == 1


def test_who_loses_a_race_reads_again_what_his_command_names(asked: Asked) -> None:
    dispatch(play(1))
    elsewhere(play(2))
    asked.clear()
    dispatch(play(3))
    assert names(asked) == ["append", "read_state", "append", "notify"]
    assert kept() == replayed()


def test_a_command_reads_once_also_where_another_process_has_appended(asked: Asked) -> None:
    first, second = (item_of(guid, "https://example.org/same.mp3") for guid in ("one", "two"))
    dispatch(play(1, item=first))
    elsewhere(play(2, item=first))
    asked.clear()
    # what may be known of the enclosure alone is named by both commands
    dispatch(play(3, item=second))
    assert names(asked) == ["read_state", "append", "notify"]
    assert kept() == replayed()


def test_of_a_long_history_a_command_reads_a_few_entries(asked: Asked) -> None:
    plays = [PlayEntry(NEWS, item_of(f"item-{number}", ""), number, False, NOON) for number in range(300)]
    dispatch(SyncUserData(user_id=ALICE, now=NOON, play_statuses=plays))
    dispatcher.clear_cache()
    asked.clear()
    with patch.object(Prepared, "rows", autospec=True, side_effect=Prepared.rows) as executed:
        outcome = dispatch(play(1_000, item=item_of("item-7", "")))
    assert names(asked) == ["read_state", "append", "notify"]
    # one to read and one to append
    assert executed.call_count == 2
    assert outcome.version == 301 + len([row for row in events_of() if row.type == "CollectionCreated"])


def listened(first: int, count: int, *, minute: int = 0) -> SyncUserData:
    at = NOON + timedelta(minutes=minute)
    numbers = range(first, first + count)
    plays = [PlayEntry(NEWS, item_of(f"item-{number}", ""), minute, False, at) for number in numbers]
    return SyncUserData(user_id=ALICE, now=at, play_statuses=plays)


def test_a_large_sync_adds_what_is_new_and_changes_what_is_known() -> None:
    dispatch(subscribe())
    for first in (0, 150):
        dispatcher.clear_cache()
        outcome = dispatch(listened(first, 300, minute=first))
        assert len(outcome.events) == 300
        assert kept() == replayed()


def test_what_was_folded_anew_since_it_was_read_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    dispatch(listened(0, 2))
    execute("DELETE FROM events.snapshots")
    dispatcher.clear_cache()
    append = log.append
    attempts: list[int | None] = []

    def meanwhile(*arguments: Any, **named: Any) -> int | None:
        if not attempts:
            rebuild(ALICE)
        attempts.append(append(*arguments, **named))
        return attempts[-1]

    monkeypatch.setattr(log, "append", meanwhile)
    dispatch(listened(0, 3, minute=1))
    assert attempts[0] is None
    assert attempts[1] is not None
    assert kept() == replayed()


def test_a_command_reads_no_table_whole_that_was_small_when_it_was_analysed() -> None:
    whole = """
        SELECT coalesce(sum(seq_tup_read), 0)::bigint FROM pg_stat_user_tables
         WHERE schemaname = 'events' AND relname IN ('events', 'snapshots')
           AND pg_stat_force_next_flush()::text = ''"""
    dispatch(play(item=item_of("item-0", "")))
    execute("ANALYZE events.events, events.snapshots")
    execute(whole)
    before = execute(whole)
    for number in range(1, 20):
        dispatch(play(number, item=item_of(f"item-{number}", "")))
    execute(whole)
    assert execute(whole) == before


@pytest.mark.parametrize("item", [item_of("item-7", ""), item_of("", "https://example.org/7.mp3")])
def test_an_episode_is_found_by_less_than_its_name_without_reading_all(asked: Asked, item: str) -> None:
    plays = [
        PlayEntry(NEWS, item_of(f"item-{n}", f"https://example.org/{n}.mp3"), 1, False, NOON)
        for n in range(300)
    ]
    dispatch(SyncUserData(user_id=ALICE, now=NOON, play_statuses=plays))
    dispatcher.clear_cache()
    asked.clear()
    outcome = dispatch(move(77, item=item))
    assert [one.position for one in outcome.events] == [77]  # type: ignore[attr-defined]
    assert "plays" not in [one[-1] for one in asked if one[0] == "read_topic"]
    assert kept() == replayed()


def anything(draw: random.Random) -> Command:
    feed, minute, position = draw.choice([NEWS, SCIENCE]), draw.randrange(60), draw.randrange(1_000)
    guid, url = draw.choice(["1", "2", ""]), "https://example.org/1.mp3"
    item, now = item_of(guid, draw.choice(["", url]) if guid else url), NOON + timedelta(minutes=minute)
    named: dict[str, Any] = {"user_id": ALICE, "feed": feed, "item": item, "now": now}
    lists: dict[str, Any] = {"user_id": ALICE, "playlist_id": WALK, "now": now}
    commands: list[Callable[[], Command]] = [
        lambda: subscribe(feed=feed, minute=minute),
        lambda: unsubscribe(feed=feed, minute=minute),
        lambda: msgspec.structs.replace(play(position, item=item), feed=feed),
        lambda: move(position, item=item),
        lambda: SaveEpisode(**named),
        lambda: ChangePrivacy(level=draw.choice(["public", "private"]), **named),
        lambda: CreatePlaylist(name="Walk", **lists),
        lambda: AddToPlaylist(feed=feed, item=item, **lists),
        lambda: RemoveFromPlaylist(feed=feed, item=item, **lists),
        lambda: TakeCheckpoint(user_id=ALICE, now=now, before=NOON),
        lambda: SyncUserData(
            user_id=ALICE,
            now=now,
            play_statuses=[PlayEntry(feed, item, position, False, now), PlayEntry(NEWS, item, 1, True, NOON)],
        ),
    ]
    return draw.choice(commands)()


@pytest.mark.parametrize("seed", range(12))
def test_what_is_kept_is_what_the_log_says(seed: int) -> None:
    """Random commands in several processes, with removals in between."""
    draw = random.Random(seed)
    processes = [Streams() for _ in range(3)]
    for _ in range(60):
        with patch.object(dispatcher, "_streams", draw.choice(processes)), suppress(DomainError):
            if draw.random() < 0.03:
                remove(RemoveEvents(user_id=ALICE, feed=draw.choice([NEWS, SCIENCE]), now=NOON), Origin())
            else:
                dispatch(anything(draw))
    assert kept() == streams.fold(log.stream_of(ALICE), ALICE)
    # read without keys
    assert to_entries(dispatcher.state_of(ALICE).user) == to_entries(kept())
    assert execute("SELECT count(DISTINCT (topic, key)), count(*) FROM events.snapshots")[0][0] > 0


def test_entries_of_another_shape_are_folded_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    dispatch(subscribe())
    dispatch(play(8))
    execute("UPDATE events.snapshots SET state = 'of another shape'")
    monkeypatch.setattr(streams, "STATE_SCHEMA", STATE_SCHEMA + 1)
    dispatcher.clear_cache()
    assert dispatch(play(9)).user == replayed()
    assert kept() == replayed()
    assert execute("SELECT state_schema FROM events.streams") == [(STATE_SCHEMA + 1,)]


def test_many_fold_anew_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    dispatch(play(8))
    execute("DELETE FROM events.snapshots")
    monkeypatch.setattr(streams, "STATE_SCHEMA", STATE_SCHEMA + 1)
    dispatcher.clear_cache()
    at_once(6, lambda number: dispatch(play(number, item=item_of(f"item-{number}", ""))).version)
    assert kept() == replayed()
    assert len(kept().plays) == 7


def test_nothing_is_decided_on_an_entry_that_cannot_be_read() -> None:
    dispatch(play(8))
    execute("UPDATE events.snapshots SET state = %s", '{"feed": "secret"}')
    dispatcher.clear_cache()
    with pytest.raises(StreamUnreadable, match="version 1") as refused:
        dispatch(play(9))
    assert "secret" not in str(refused.value)
    assert len(events_of()) == 1
    with pytest.raises(StreamUnreadable):
        to_entries(dispatcher.state_of(ALICE).user)


def test_a_wrong_clock_is_remembered() -> None:
    ahead = msgspec.structs.replace(subscribe(minute=1), at=play().now.replace(year=2030))
    assert dispatch(ahead).user.subscriptions[NEWS].skewed
    assert kept() == replayed()


def test_nothing_is_kept_of_an_erased_listener_nor_written_late() -> None:
    dispatch(play(1))
    stream = log.stream_of(ALICE)
    [late] = [one for one in streams.kept_entries(kept()) if one.topic == "plays"]
    for number in tombstone_stream(ALICE):
        list(purge_stream(number, 100))
    assert log.append(stream, 1, dispatch(play(2, BOB)).events, Origin(), changed=[late]) is None
    with pytest.raises(log.StreamErased):
        entries.replace(stream, [late], STATE_SCHEMA)
    assert execute("SELECT DISTINCT stream FROM events.snapshots") == [(log.stream_of(BOB),)]


# --- the entries that a process caches


def at_hand() -> list[UUID]:
    """The users whose entries are cached, least recently used first; also check that the sizes add up."""
    kept = dispatcher._streams
    assert kept._entries == sum(size for _, size in kept._kept.values())
    return list(kept._kept)


@pytest.fixture
def room_for_six(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MOST_ENTRIES", 6)
    monkeypatch.setattr(streams, "MOST_OF_A_STREAM", 4)


@pytest.mark.usefixtures("room_for_six")
def test_the_least_recently_used_goes_first() -> None:
    for user_id in (ALICE, BOB, ALICE, CHARLIE):
        dispatch(move(1, user_id) if user_id == ALICE and ALICE in at_hand() else play(1, user_id))
    assert at_hand()[-1] == CHARLIE
    assert BOB not in at_hand() or ALICE in at_hand()
    assert dispatch(play(2, BOB)).user == replayed(BOB)


@pytest.mark.usefixtures("room_for_six")
def test_much_of_one_stream_is_not_kept_at_hand() -> None:
    for number in range(9):
        outcome = dispatch(play(number, item=item_of(f"item-{number}", "")))
        assert outcome.user == replayed()
    assert outcome.version == 9
    assert at_hand() == []


def test_after_a_failure_nothing_is_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    dispatch(play(1))
    with monkeypatch.context() as patched:
        patched.setattr(log, "append", lambda *arguments, **named: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            dispatch(play(2))
    assert at_hand() == []
    assert dispatch(play(3)).user == replayed()


def test_two_of_one_listener_at_once_go_on_by_turns() -> None:
    dispatch(play(1))
    taken = dispatcher._streams.take(ALICE)
    dispatch(play(2))
    dispatcher._streams.give_back(taken)
    assert at_hand() == [ALICE]
    assert dispatch(play(3)).user == replayed()


@pytest.mark.usefixtures("room_for_six")
def test_many_users_at_once_with_little_room() -> None:
    users = [uuid4() for _ in range(6)]

    def work(number: int) -> None:
        for turn in range(12):
            user_id = users[(number + turn) % 6]
            dispatch(play(number * 100 + turn, user_id, item=item_of(f"item-{turn % 4}", "")))

    at_once(8, work)
    assert sum(size for _, size in dispatcher._streams._kept.values()) <= 6
    for user_id in users:
        assert len(events_of(user_id)) == 16
        assert dispatch(play(7, user_id)).user == replayed(user_id)
