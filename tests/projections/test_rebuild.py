"""A rebuild produces the rows that live projection produced, beside the live tables and without a gap."""

import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple, TypeAlias
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db import connections
from hypothesis import given
from hypothesis import strategies as st
from psycopg.errors import LockNotAvailable

from eventstore import dispatcher, log, undo
from eventstore.dispatcher import DomainError, dispatch
from eventstore.domain.checkpoint import (
    PopularityRecalculated,
    PublicHistoryTrimmed,
    TakeCheckpoint,
)
from eventstore.domain.collections import (
    AddFeedToCollection,
    CreateCollection,
    DeleteCollection,
    RemoveFeedFromCollection,
)
from eventstore.domain.identifiers import item_of
from eventstore.domain.messages import Command, Event, Origin
from eventstore.domain.playlists import (
    AddToPlaylist,
    CreatePlaylist,
    DeletePlaylist,
    RemoveFromPlaylist,
    UpdatePlaylist,
)
from eventstore.domain.plays import RecordPlay, UpdatePosition
from eventstore.domain.privacy import ChangePrivacy, ClearPrivacy
from eventstore.domain.saved import SaveEpisode, ShareEpisode, UnsaveEpisode
from eventstore.domain.subscriptions import Subscribe, Unsubscribe
from eventstore.undo import Chosen
from projections import catch_up, deadletters, locks, rebuild, shadows
from projections.catch_up import apply_until
from projections.connect import Connection, connect
from projections.projectors import PROJECTORS
from projections.projectors.shape import Fact, Projector
from projections.rebuild import AlreadyRunning
from projections.runner import Runner
from projections.worker import Worker
from tests.conftest import STORES, clear_caches, empty
from tests.projections.conftest import Project
from tests.projections.histories import (
    ALICE,
    BOB,
    CHARLIE,
    catalogue,
    counted,
    counting,
    dump,
    marked,
    minutes,
    played,
    record,
    saved,
    subscribed,
    unsubscribed,
)
from tests.projections.running import eventually, run_until, running
from tests.properties import examples

pytestmark = pytest.mark.usefixtures("stores")
EVERY = list(PROJECTORS.values())

users = st.sampled_from([ALICE, BOB, CHARLIE])
feeds = st.sampled_from(["Zg==", "Zw=="])
items = st.sampled_from(["MSw=", "Miw="])
nows = st.integers(0, 500).map(minutes)
ats = st.one_of(st.none(), st.integers(-20, 600).map(minutes))
positions = st.integers(0, 5)
lists = st.sampled_from([UUID(int=1), UUID(int=2)])
names = st.sampled_from(["Mix", "Walk"])
commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(
        Subscribe, user_id=users, feed=feeds, now=nows, at=ats, source_id=st.sampled_from([None, "a", "b"])
    ),
    st.builds(Unsubscribe, user_id=users, feed=feeds, now=nows, at=ats),
    st.builds(
        RecordPlay,
        user_id=users,
        feed=feeds,
        item=items,
        position=positions,
        played=st.booleans(),
        now=nows,
        at=ats,
    ),
    st.builds(UpdatePosition, user_id=users, item=items, position=positions, now=nows, at=ats, feed=feeds),
    st.builds(SaveEpisode, user_id=users, feed=feeds, item=items, now=nows, at=ats),
    st.builds(UnsaveEpisode, user_id=users, feed=feeds, item=items, now=nows, at=ats),
    st.builds(ShareEpisode, user_id=users, feed=feeds, item=items, now=nows, at=ats),
    st.builds(
        ChangePrivacy,
        user_id=users,
        level=st.sampled_from(["public", "anonymous", "private"]),
        feed=st.none() | feeds,
        item=st.none() | items,
        now=nows,
        at=ats,
    ),
    st.builds(ClearPrivacy, user_id=users, feed=st.none() | feeds, item=st.none() | items, now=nows, at=ats),
    st.builds(
        CreatePlaylist, user_id=users, playlist_id=lists, name=names, is_public=st.booleans(), now=nows
    ),
    st.builds(UpdatePlaylist, user_id=users, playlist_id=lists, name=names, now=nows),
    st.builds(DeletePlaylist, user_id=users, playlist_id=lists, now=nows),
    st.builds(AddToPlaylist, user_id=users, playlist_id=lists, feed=feeds, item=items, now=nows, at=ats),
    st.builds(RemoveFromPlaylist, user_id=users, playlist_id=lists, item=items, now=nows, at=ats),
    st.builds(CreateCollection, user_id=users, collection_id=lists, name=names, now=nows),
    st.builds(DeleteCollection, user_id=users, collection_id=lists, now=nows),
    st.builds(AddFeedToCollection, user_id=users, collection_id=lists, feed=feeds, now=nows, at=ats),
    st.builds(RemoveFeedFromCollection, user_id=users, collection_id=lists, feed=feeds, now=nows, at=ats),
    st.builds(TakeCheckpoint, user_id=users, now=nows, before=nows),
)
figures = st.builds(
    PopularityRecalculated,
    rss_source_feed=feeds,
    rss_source_item=st.none() | items,
    score=st.integers(0, 9),
    plays=st.integers(0, 2),
    likes=st.just(0),
    shares=st.just(0),
    subscribers=st.just(0),
)


class TakeBack(NamedTuple):
    """Undo the newest ``events`` of a listener."""

    user_id: UUID
    events: int
    now: datetime


undos = st.builds(TakeBack, users, st.integers(1, 5), nows)
trims = st.builds(PublicHistoryTrimmed, before=nows)
marks = st.builds(marked, feeds, st.booleans())
Happening: TypeAlias = Command | Event | TakeBack
History: TypeAlias = list[tuple[Happening, bool]]
histories = st.lists(
    st.tuples(st.one_of(commands, commands, undos, trims, marks, figures), st.booleans()), max_size=20
)


@examples(10, shrink=True)
@given(histories)
def test_a_rebuild_equals_live_and_misses_nothing_that_a_checkpoint_stands_for(
    connection: Connection, project: Project, history: History
) -> None:
    head = live(project, history)
    before = dump(connection)
    rebuild.rebuild(EVERY)
    assert dump(connection) == before
    assert {saved(connection, name) for name in PROJECTORS} == {head}
    # as after retention: all events before the newest checkpoint of each stream are deleted
    with connections["events"].cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SET LOCAL balados.retention = 'on'")
        cursor.execute(
            "DELETE FROM events.events e USING events.events checkpoint WHERE checkpoint.stream = e.stream"
            " AND checkpoint.type = 'UserCheckpoint' AND checkpoint.version > e.version"
        )
        cursor.execute("COMMIT")
    # checkpoints do not hold what is public, which ages out before events are deleted (tests/privacy)
    carried = [
        projector for name, projector in PROJECTORS.items() if name not in ("public_events", "popularity")
    ]
    rebuild.rebuild(carried)
    assert dump(connection) == before


def live(project: Project, history: History) -> int:
    """Record a history on empty stores and project it meanwhile; return the last position."""
    for alias in STORES:
        empty(alias)
    clear_caches()
    for what, project_now in history:
        happen(what)
        if project_now:
            project()
    return project()


def happen(what: Happening) -> None:
    if isinstance(what, Event):
        log.append_to_instance([what])
    elif isinstance(what, TakeBack):
        version = dispatcher.state_of(what.user_id).version
        with suppress(DomainError):
            undo.undo(what.user_id, Chosen(after=version - what.events, upto=version), Origin(), what.now)
    else:
        with suppress(DomainError):
            dispatch(what, Origin())


def test_wiped_tables_come_back(connection: Connection, project: Project) -> None:
    record(subscribed(ALICE), played(ALICE), unsubscribed(ALICE, at=1))
    project()
    before = dump(connection)
    connection.execute("TRUNCATE users.subscriptions, users.play_statuses")
    rebuild.rebuild(EVERY)
    assert dump(connection) == before


def test_the_tables_are_what_the_migrations_made(connection: Connection, project: Project) -> None:
    record(subscribed(ALICE), played(ALICE))
    project()
    before = catalogue(connection)
    rebuild.rebuild(EVERY)
    assert catalogue(connection) == before
    call_command("makemigrations", "projections", check=True, dry_run=True, verbosity=0)
    call_command("migrate", "projections", "zero", database="projections", verbosity=0)
    call_command("migrate", "projections", database="projections", verbosity=0)
    assert catalogue(connection) == before


def test_it_tells_its_progress(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catch_up, "AT_ONCE", 2)
    record(*(played(ALICE, position=n) for n in range(5)))
    progress: list[tuple[int, int]] = []
    rebuild.rebuild(EVERY, lambda position, head: progress.append((position, head)))
    assert progress == [(2, 5), (4, 5), (5, 5)]


def test_events_that_come_during_it_are_in_it(connection: Connection, project: Project) -> None:
    record(played(ALICE))

    def meanwhile(position: int, head: int) -> None:
        record(played(BOB), subscribed(BOB))
        project()
        record(played(CHARLIE))

    rebuild.rebuild(EVERY, meanwhile)
    users = {row[0] for row in dump(connection)["play_statuses"]}
    assert users == {ALICE, BOB, CHARLIE}
    assert len(dump(connection)["subscriptions"]) == 1


def test_a_running_projector_goes_on_from_where_the_rebuild_is(
    connection: Connection, counter: Projector
) -> None:
    runner = Runner([counter])
    run_until(runner, record(*(played(ALICE, position=n) for n in range(5))))
    ahead = record(played(ALICE, position=5))
    rebuild.rebuild([counter])
    assert runner.positions() == {"counter": ahead - 1}
    assert saved(connection, "counter") == ahead
    run_until(runner, record(played(ALICE, position=6)))
    runner.close()
    assert counted(connection) == [1, 2, 3, 4, 5, 6, 7]


def test_readers_and_writers_go_on_under_load(connection: Connection) -> None:
    record(*(played(ALICE, item_of(f"item{n}", ""), at=n) for n in range(300)))
    record(*(subscribed(ALICE, f"feed{n}") for n in range(50)))
    stop = threading.Event()
    seen = [350]
    written = 0

    def read() -> None:
        with connect("projections") as reader:
            while not stop.is_set():
                row = reader.execute(
                    "SELECT (SELECT count(*) FROM users.play_statuses)"
                    " + (SELECT count(*) FROM users.subscriptions)"
                ).fetchone()
                seen.append(row[0] if row else 0)

    def write() -> None:
        nonlocal written
        stream = log.stream_of(BOB)
        while not stop.is_set():
            log.append(stream, written, [played(BOB, item_of(f"item{written}", ""))], Origin())
            written += 1
        connections.close_all()

    with running(Runner()):
        eventually(lambda: min(saved(connection, name) for name in PROJECTORS) >= 350)
        threads = [threading.Thread(target=work) for work in (read, write)]
        for thread in threads:
            thread.start()
        for _ in range(3):
            rebuild.rebuild(EVERY)
        stop.set()
        for thread in threads:
            thread.join()
        eventually(lambda: min(saved(connection, name) for name in PROJECTORS) == log.head())
    assert seen == sorted(seen)
    assert written > 0
    live = dump(connection)
    assert len(live["play_statuses"]) == 300 + written
    rebuild.rebuild(EVERY)
    assert dump(connection) == live


def test_only_one_process_rebuilds_a_projector(connection: Connection, project: Project) -> None:
    assert locks.try_lock(connection, "subscriptions__rebuild")
    with pytest.raises(AlreadyRunning, match="subscriptions"):
        rebuild.rebuild(EVERY)


def test_it_gives_way_to_readers_who_stay(
    connection: Connection, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "SWAP_ATTEMPTS", 2)
    monkeypatch.setattr(rebuild, "PAUSE", 0)
    monkeypatch.setattr(shadows, "LOCK_TIMEOUT", "10ms")
    record(subscribed(ALICE))
    project()
    before, tables = dump(connection), catalogue(connection)
    with connect("projections") as reader, reader.transaction():
        reader.execute("SELECT * FROM users.subscriptions")
        with pytest.raises(LockNotAvailable):
            rebuild.rebuild(EVERY)
    assert dump(connection) == before
    assert catalogue(connection) == tables


def test_it_refuses_to_swap_over_a_migration(connection: Connection, project: Project) -> None:
    record(subscribed(ALICE))
    project()

    def migrate(position: int, head: int) -> None:
        connection.execute("ALTER TABLE users.subscriptions ADD COLUMN added integer")

    with pytest.raises(shadows.TableChanged, match=r"users\.subscriptions"):
        rebuild.rebuild(EVERY, migrate)
    connection.execute("ALTER TABLE users.subscriptions DROP COLUMN added")
    assert len(dump(connection)["subscriptions"]) == 1


def test_it_brings_its_own_dead_letters_and_takes_the_old_ones_along(
    connection: Connection, counter: Projector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catch_up, "PAUSES", ())

    def failing_at(position: int) -> Projector:
        def fail(facts: Sequence[Fact]) -> None:
            if any(recorded.position == position for recorded, _ in facts):
                raise ValueError("poison")

        return counting(before=fail)

    head = record(*(played(user, position=n) for n in range(2) for user in (ALICE, BOB)))
    apply_until([Worker(failing_at(1), connection)], head)
    rebuild.rebuild([failing_at(4)])
    assert [(letter.projector, letter.position) for letter in deadletters.letters(connection)] == [
        ("counter", 4)
    ]
    assert sorted(counted(connection)) == [1, 2, 3]
    rebuild.rebuild([counter])
    assert deadletters.letters(connection) == []
    assert not Worker(counter, connection).parked
    assert sorted(counted(connection)) == [1, 2, 3, 4]
