"""A projector in shards writes the rows that one alone would write, however they come forward, and while they
are divided anew.
"""

import threading
from contextlib import suppress
from typing import TypeAlias
from uuid import UUID

import pytest
from django.db import connections
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg import sql

from eventstore import log, retention
from eventstore.dispatcher import DomainError, dispatch
from eventstore.domain.messages import INSTANCE
from eventstore.domain.privacy import ChangePrivacy, PrivacyChanged
from eventstore.domain.retention import (
    FeedMarked,
    InstanceEvent,
    PopularityRecalculated,
    PublicHistoryTrimmed,
)
from eventstore.domain.subscriptions import Subscribe
from eventstore.domain.user import UserCommand
from eventstore.log import Origin, Recorded
from projections import catchup, deadletters, lag, layouts, locks, rebuild, runner
from projections.batches import Batch
from projections.catchup import catch_up
from projections.connect import Connection, connect
from projections.erasure import erase_history
from projections.layouts import lay_out
from projections.projectors import PROJECTORS, public_events
from projections.projectors.shape import Fact, Projector
from projections.public import timeline
from projections.queries import Behind, play_statuses, position_of
from projections.runner import Runner
from projections.shards import Shard, shards, share
from projections.tables import identifier
from projections.waiting import wait_for_all
from projections.worker import Moved, Worker
from tests.conftest import STORES, empty, forget
from tests.projecting import bring_up_to_date
from tests.projections.conftest import Project
from tests.projections.histories import (
    ALICE,
    BOB,
    CHARLIE,
    COUNTS,
    counted,
    counting,
    dump,
    marked,
    minutes,
    played,
    record,
    record_raw,
    subscribed,
)
from tests.projections.running import eventually, running
from tests.projections.test_rebuild import EVERY, commands, feeds, items, nows

pytestmark = [pytest.mark.topology, pytest.mark.usefixtures("stores")]

NUMBERS = (1, 2, 3, 5)

figures = st.builds(
    PopularityRecalculated,
    rss_source_feed=feeds,
    rss_source_item=st.none() | items,
    score=st.integers(0, 9),
    score_previous=st.integers(0, 9),
    plays=st.integers(0, 2),
    likes=st.just(0),
    shares=st.just(0),
    subscribers=st.just(0),
    calculated_at=nows,
)
trims = st.builds(PublicHistoryTrimmed, before=nows)
marks = st.builds(marked, feeds, st.booleans())
# which projector, which of its shards, how many positions further
Advance: TypeAlias = tuple[int, int, int]
moves = st.lists(
    st.one_of(
        st.sampled_from(NUMBERS),
        st.tuples(st.integers(0, 8) | st.just(6), st.integers(0, 4), st.integers(1, 12)),
    ),
    max_size=4,
)
histories = st.lists(st.tuples(st.one_of(commands, commands, trims, marks, figures), moves), max_size=20)


Happening: TypeAlias = UserCommand | PublicHistoryTrimmed | FeedMarked | PopularityRecalculated
History: TypeAlias = list[tuple[Happening, list[int | Advance]]]


class Shared:
    """Every projector, and one that counts, divided as the rows say; nothing runs but what a test moves."""

    def __init__(self, connection: Connection, counter: Projector) -> None:
        self._connection = connection
        self._projectors = [*EVERY, counter]
        self._zombies: list[Worker] = []

    def divide(self, of: int) -> None:
        for projector in self._projectors:
            lay_out(self._connection, projector, of)

    def advance(self, which: int, number: int, positions: int) -> None:
        """One shard goes on; whoever did it before, and thinks that he still may, tries so too."""
        workers = layouts.workers(self._projectors[which], self._connection)
        worker = workers[number % len(workers)]
        upto = min(worker.position + positions, log.head())
        catch_up([worker], upto)
        for zombie in self._zombies:
            with suppress(Moved):
                catch_up([zombie], upto)
        worker.position = max(0, worker.position - 1)
        self._zombies = [*self._zombies[-3:], worker]

    def finish(self) -> None:
        for projector in self._projectors:
            for worker in layouts.workers(projector, self._connection):
                catch_up([worker], log.head())


def move(shared: Shared, step: int | Advance) -> None:
    if isinstance(step, int):
        shared.divide(step)
    else:
        shared.advance(*step)


def happen(what: Happening) -> None:
    if isinstance(what, PublicHistoryTrimmed | FeedMarked | PopularityRecalculated):
        log.append_to_instance([what])
    else:
        with suppress(DomainError):
            dispatch(what, Origin())


def public() -> ChangePrivacy:
    return ChangePrivacy(user_id=ALICE, level="public", now=minutes(1))


def follow(at: int) -> Subscribe:
    return Subscribe(user_id=ALICE, feed="Zg==", now=minutes(500), at=minutes(at))


TRIM = PublicHistoryTrimmed(before=minutes(300))
BLOCK, LIFT = marked("Zg=="), marked("Zg==", blocked=False)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=15)
@given(st.sampled_from(NUMBERS), histories)
# Alice's shard has passed the trim and then something old of hers, the other comes to the trim only now
@example(2, [(public(), []), (TRIM, []), (follow(100), [(6, 0, 9), (6, 1, 9)])])
@example(2, [(public(), []), (TRIM, []), (follow(100), [(6, 1, 9), (6, 0, 9)])])
# the same with rows of before there were shards
@example(1, [(public(), []), (follow(50), [(6, 0, 9), 2]), (TRIM, []), (follow(100), [(6, 0, 1), (6, 1, 9)])])
@example(1, [(public(), []), (follow(50), [(6, 0, 9), 2]), (TRIM, []), (follow(100), [(6, 1, 1), (6, 0, 9)])])
# a feed is blocked, or no longer, while the listener's shard or that of the marks is behind
@example(2, [(public(), []), (follow(50), []), (BLOCK, [(6, 0, 9)]), (follow(60), [(6, 1, 9)])])
@example(2, [(public(), []), (follow(50), []), (BLOCK, [(6, 1, 9)]), (follow(60), [(6, 0, 9)])])
@example(2, [(public(), []), (follow(50), [(6, 1, 9)]), (BLOCK, [(6, 0, 9)]), (LIFT, [(6, 1, 9)])])
# the same with rows of before there were shards
@example(1, [(public(), []), (follow(50), [(6, 0, 9), 2]), (BLOCK, [(6, 0, 9)]), (follow(60), [(6, 1, 9)])])
def test_however_the_shards_come_forward_the_rows_are_those_of_one_projector(
    connection: Connection, counter: Projector, of: int, history: History
) -> None:
    in_shards_and_alone(connection, counter, of, history, rebuilt=False)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=5)
@given(st.sampled_from(NUMBERS), histories)
def test_however_the_shards_come_forward_a_rebuild_gives_the_same_rows(
    connection: Connection, counter: Projector, of: int, history: History
) -> None:
    in_shards_and_alone(connection, counter, of, history, rebuilt=True)


def in_shards_and_alone(
    connection: Connection, counter: Projector, of: int, history: History, *, rebuilt: bool
) -> None:
    for alias in STORES:
        empty(alias)
    connection.execute(f"TRUNCATE {COUNTS}")
    forget()
    shared = Shared(connection, counter)
    shared.divide(of)
    for what, steps in history:
        happen(what)
        for step in steps:
            move(shared, step)
    shared.finish()
    in_shards = dump(connection)
    plays = [event.position for event in log.read_all(0, 1_000) if event.type == "PlayRecorded"]
    assert sorted(counted(connection)) == plays
    if rebuilt:
        rebuild.rebuild(EVERY)
    else:
        empty("projections")
        bring_up_to_date()
    assert dump(connection) == in_shards


def test_a_history_once_divided_is_what_it_was_undivided(
    connection: Connection, project: Project, counter: Projector
) -> None:
    record(*(event for user in (ALICE, BOB, CHARLIE) for event in (subscribed(user), played(user))))
    project()
    before = dump(connection)
    for of in (4, 3, 1):
        for projector in EVERY:
            lay_out(connection, projector, of)
        assert layouts.layouts(connection) == dict.fromkeys(PROJECTORS, of)
        assert dump(connection) == before
        assert set(lag.lags()) == {lag.Lag(name, 0, 0.0) for name in PROJECTORS}


def test_dividing_brings_every_shard_to_one_position_first(
    connection: Connection, counter: Projector
) -> None:
    lay_out(connection, counter, 3)
    head = record(*(played(user, position=n) for n in range(4) for user in (ALICE, BOB, CHARLIE)))
    first, second, _ = layouts.workers(counter, connection)
    catch_up([first], head)
    catch_up([second], 5)
    lay_out(connection, counter, 2)
    assert [worker.position for worker in layouts.workers(counter, connection)] == [head, head]
    assert sorted(counted(connection)) == list(range(1, head + 1))


def test_shards_that_nobody_works_on_and_that_are_far_apart_are_brought_nearer_first(
    connection: Connection, counter: Projector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layouts, "APART", 3)
    monkeypatch.setattr(layouts, "PAUSE", 0.001)
    lay_out(connection, counter, 2)
    head = record(*(played(user, position=n) for n in range(6) for user in (ALICE, BOB)))
    ahead, behind = layouts.workers(counter, connection)
    catch_up([ahead], head)
    with connect("projections") as other:
        assert locks.try_lock(other, behind.label)
        lay_out(connection, counter, 1, stopped=iter([False] * 5 + [True] * 5).__next__)
        assert layouts.layouts(connection) == {"counter": 2}, "whoever has the lock brings it forward"
    lay_out(connection, counter, 1)
    assert layouts.layouts(connection) == {"counter": 1}
    assert sorted(counted(connection)) == list(range(1, head + 1))


def test_who_works_on_an_older_division_writes_nothing(connection: Connection, counter: Projector) -> None:
    record(played(ALICE), played(BOB))
    undivided = Worker(counter, connection)
    lay_out(connection, counter, 2)
    batch = Batch(log.read_all(0, 10), log.head())
    with pytest.raises(Moved):
        undivided.apply(batch)
    with pytest.raises(Moved):
        Worker(counter, connection)
    divided = layouts.workers(counter, connection)
    lay_out(connection, counter, 4)
    for worker in divided:
        with pytest.raises(Moved):
            worker.apply(batch)
    assert counted(connection) == []


@pytest.mark.parametrize("of", [1, 4])
def test_of_many_that_begin_at_once_all_find_one_division(
    connection: Connection, counter: Projector, of: int
) -> None:
    def begin(number: int) -> None:
        with connect("projections") as own:
            lay_out(own, counter, number)

    threads = [threading.Thread(target=begin, args=[number]) for number in (of, 2, 3, of, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    rows = connection.execute("SELECT shard, shards FROM users.projector_positions ORDER BY 1").fetchall()
    assert rows == [tuple(shard) for shard in shards(rows[0][1])]


def test_letters_go_along_with_their_streams(
    connection: Connection, counter: Projector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catchup, "PAUSES", ())

    def fail(facts: object) -> None:
        if any(recorded.position == 2 for recorded, _ in facts):  # type: ignore[attr-defined]
            raise ValueError("poison")

    lay_out(connection, counter, 2)
    head = record(*(played(user, position=n) for n in range(3) for user in (ALICE, BOB, CHARLIE)))
    for worker in layouts.workers(counting(before=fail), connection):
        catch_up([worker], head)
    assert [letter.position for letter in deadletters.letters(connection)] == [2, 5, 8]
    bobs = log.stream_of(BOB)
    for of in (3, 1, 2):
        lay_out(connection, counter, of)
        parked = [worker.shard for worker in layouts.workers(counter, connection) if worker.parked]
        assert parked == [Shard(bobs % of, of)]
    head = record(played(BOB, position=9))
    for worker in layouts.workers(counter, connection):
        catch_up([worker], head)
    assert [letter.position for letter in deadletters.letters(connection)] == [2, 5, 8, 10]
    assert layouts.settled(connection, ["counter"]) == {"counter": 1}
    assert layouts.retry_letters(counter, connection, [log.stream_of(ALICE)]) == (0, 4)
    assert layouts.retry_letters(counter, connection) == (4, 0)
    assert not any(worker.parked for worker in layouts.workers(counter, connection))
    rows = connection.execute(f"SELECT positions FROM {COUNTS} ORDER BY stream").fetchall()
    assert rows == [([1, 4, 7],), ([2, 5, 8, 10],), ([3, 6, 9],)]


def test_a_trim_that_nobody_can_read_is_set_aside_once_and_the_next_one_trims_for_all(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catchup, "PAUSES", ())
    projector = PROJECTORS["public_events"]
    lay_out(connection, projector, 3)
    record(*(subscribed(user) for user in (ALICE, BOB, CHARLIE)))
    bad = record_raw(INSTANCE, "PublicHistoryTrimmed", 1, "{}")
    log.append_to_instance([PublicHistoryTrimmed(before=minutes(1))])
    for worker in layouts.workers(projector, connection):
        catch_up([worker], log.head())
    (first, behind) = deadletters.letters(connection)
    assert (first.position, behind.position) == (bad, bad + 1)
    home = log.stream_of(INSTANCE) % 3
    (left,) = dump(connection)["activity"]
    assert log.stream_of(left[0]) % 3 == home, "the others were trimmed, this one waits"


@pytest.mark.parametrize("of", [2, 3])
def test_a_mark_that_was_set_aside_hides_the_rows_of_every_shard_once_it_is_retried(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, of: int
) -> None:
    monkeypatch.setattr(catchup, "PAUSES", ())
    projector = PROJECTORS["public_events"]
    lay_out(connection, projector, of)
    record(*(event for user in (ALICE, BOB, CHARLIE) for event in (seen_by_all(user), subscribed(user))))
    with monkeypatch.context() as patched:
        patched.setattr(public_events, "MARK", sql.SQL("SELECT 1 / 0 WHERE %s <> ''"))
        bad = log.append_to_instance([marked()])
        for worker in layouts.workers(projector, connection):
            catch_up([worker], log.head())
    assert [letter.position for letter in deadletters.letters(connection)] == [bad]
    assert len(dump(connection)["public_events"]) == 3
    with pytest.raises(Behind):
        timeline(10)
    assert layouts.retry_letters(projector, connection) == (1, 0)
    assert dump(connection)["public_events"] == []
    assert timeline(10) == ([], None)


def seen_by_all(user: UUID) -> PrivacyChanged:
    return PrivacyChanged(user_id=user, level="public", changed_at=minutes(0))


def test_readers_see_the_position_of_the_last_shard(connection: Connection) -> None:
    projector = PROJECTORS["play_statuses"]
    lay_out(connection, projector, 2)
    head = record(played(ALICE), played(BOB))
    first, second = layouts.workers(projector, connection)
    catch_up([first], head)
    assert position_of("play_statuses") == play_statuses(ALICE).position == 0
    catch_up([second], head - 1)
    assert position_of("play_statuses") == play_statuses(ALICE).position == head - 1


def test_erasing_an_account_reaches_every_shard(connection: Connection) -> None:
    for projector in EVERY:
        lay_out(connection, projector, 3)
    record(*(played(user) for user in (ALICE, BOB)))
    batch = Batch(log.read_all(0, 10), log.head())
    workers = [worker for projector in EVERY for worker in layouts.workers(projector, connection)]
    erase_history(ALICE)
    for worker in workers:
        with pytest.raises(Moved):
            worker.apply(batch)
    for projector in EVERY:
        for worker in layouts.workers(projector, connection):
            catch_up([worker], log.head())
    assert {row[0] for row in dump(connection)["play_statuses"]} == {BOB}


@pytest.mark.parametrize(
    ("of", "processes", "shares"),
    [(4, 1, [4]), (4, 2, [2, 2]), (4, 3, [2, 1, 1]), (2, 3, [1, 1, 0]), (1, 1, [1]), (5, 2, [3, 2])],
)
def test_shares_are_even_and_leave_none_over(of: int, processes: int, shares: list[int]) -> None:
    assert [share(of, rank, processes) for rank in range(processes)] == shares


@pytest.fixture
def _brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "TEND_EVERY", 0.02)
    monkeypatch.setattr(runner, "ACKNOWLEDGE_EVERY", 0.02)


@pytest.mark.usefixtures("_brisk")
def test_processes_share_out_the_shards_and_take_over_those_of_one_that_leaves(
    connection: Connection, counter: Projector
) -> None:
    with running(Runner([counter], of=4)) as one:
        eventually(lambda: len(one.positions()) == 4)
        with running(Runner([counter], of=4)) as two, running(Runner([counter], of=4)) as three:
            several = (one, two, three)
            eventually(lambda: sorted(len(each.positions()) for each in several) == [1, 1, 2])
            labels = [label for each in several for label in each.positions()]
            assert sorted(labels) == [f"counter {number}/4" for number in (1, 2, 3, 4)]
            users = (ALICE, BOB, CHARLIE)
            head = record(*(played(user, position=n) for n in range(9) for user in users))
            eventually(lambda: position_of("counter") == head)
        eventually(lambda: len(one.positions()) == 4)
        head = record(played(ALICE, position=10))
        eventually(lambda: position_of("counter") == head)
    assert sorted(counted(connection)) == list(range(1, head + 1))


@pytest.mark.usefixtures("_brisk")
def test_a_changed_number_is_taken_up_by_those_that_run_already(
    connection: Connection, counter: Projector
) -> None:
    """A rolling restart: for a while the machines are told different numbers."""
    stop = threading.Event()
    recorded = 0

    def write() -> None:
        nonlocal recorded
        try:
            while not stop.is_set():
                recorded = record(played(ALICE, position=recorded), played(BOB), played(CHARLIE))
        finally:
            connections.close_all()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with running(Runner([counter], of=1)):
            for of in (4, 3, 1, 2):
                with running(Runner([counter], of=of)):
                    seen = recorded
                    eventually(lambda: layouts.layouts(connection) == {"counter": of})  # noqa: B023
                    eventually(lambda: position_of("counter") > seen + 3)  # noqa: B023
            stop.set()
            writer.join(20)
            eventually(lambda: position_of("counter") == log.head())
    finally:
        stop.set()
        writer.join(20)
    assert sorted(counted(connection)) == list(range(1, log.head() + 1))


@pytest.mark.usefixtures("_brisk")
def test_one_that_is_idle_takes_up_a_new_division_too(connection: Connection, counter: Projector) -> None:
    with running(Runner([counter], of=1)) as idle:
        eventually(lambda: idle.positions() == {"counter": 0})
        lay_out(connection, counter, 2)
        eventually(lambda: idle.positions() == {"counter 1/2": 0, "counter 2/2": 0})


@pytest.mark.usefixtures("_brisk")
def test_wiped_read_models_come_back_in_shards(connection: Connection) -> None:
    with running(Runner(of=2)):
        head = record(subscribed(ALICE), played(BOB))
        eventually(lambda: min(position_of(name) for name in PROJECTORS) >= head)
        before = dump(connection)
        connection.execute("TRUNCATE users.subscriptions, users.play_statuses, users.projector_positions")
        head = record(played(BOB, at=-1))
        eventually(lambda: min(position_of(name) for name in PROJECTORS) >= head)
        assert layouts.layouts(connection) == dict.fromkeys(PROJECTORS, 2)
    assert dump(connection) == before


@pytest.mark.usefixtures("_brisk")
def test_what_is_acknowledged_is_what_every_shard_has_passed(connection: Connection) -> None:
    with running(Runner(of=2)), running(Runner(of=2)):
        for n in range(5):
            head = record(played(ALICE, position=n), played(BOB, position=n))
            assert wait_for_all(head, seconds=10)
            assert retention.acknowledged_by_all(PROJECTORS) == head


@pytest.mark.usefixtures("_brisk")
def test_a_rebuild_beside_shards_sets_all_of_them(connection: Connection, counter: Projector) -> None:
    stop = threading.Event()
    versions = dict.fromkeys((ALICE, BOB, CHARLIE), 0)

    def write() -> None:
        try:
            while not stop.is_set():
                for user, version in versions.items():
                    log.append(log.stream_of(user), version, [played(user, position=version)], Origin())
                    versions[user] += 1
        finally:
            connections.close_all()

    with running(Runner([counter], of=3)), running(Runner([counter], of=3)):
        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(4):
                rebuild.rebuild([counter])
        finally:
            stop.set()
            writer.join(20)
        eventually(lambda: position_of("counter") == log.head())
    assert sorted(counted(connection)) == list(range(1, log.head() + 1))
    assert layouts.layouts(connection) == {"counter": 3}


def test_a_division_and_a_rebuild_at_once_do_each_other_no_harm(
    connection: Connection, counter: Projector
) -> None:
    head = record(*(played(user, position=n) for n in range(9) for user in (ALICE, BOB, CHARLIE)))

    def divide() -> None:
        try:
            with connect("projections") as own:
                for of in (2, 3, 1, 4):
                    lay_out(own, counter, of)
        finally:
            connections.close_all()

    thread = threading.Thread(target=divide)
    thread.start()
    for _ in range(3):
        rebuild.rebuild([counter])
    thread.join(20)
    for worker in layouts.workers(counter, connection):
        catch_up([worker], head)
    assert len(layouts.workers(counter, connection)) == 4
    assert sorted(counted(connection)) == list(range(1, head + 1))


@pytest.mark.parametrize("hides", [PublicHistoryTrimmed(before=minutes(5)), marked()], ids=["trim", "mark"])
def test_what_hides_rows_of_others_and_a_change_of_privacy_at_once_leave_no_public_row(
    connection: Connection, project: Project, hides: InstanceEvent
) -> None:
    """Of a row that no shard owns yet, since it was made before the projector was divided."""
    record(subscribed(ALICE))
    project()
    tables = {table: identifier(table) for table in public_events.projector.tables}
    recorded = Recorded(9, 9, 1, str(ALICE), "", 1, "", "", minutes(9))
    hidden = Fact(recorded, hides)
    shown = Fact(recorded, PrivacyChanged(user_id=ALICE, level="public", changed_at=minutes(1)))

    def show() -> None:
        with connect("projections") as other, other.transaction(), other.cursor() as cursor:
            public_events.apply([shown], cursor, tables, Shard(1, 2))

    with connect("projections") as hiding, connect("projections") as eye:
        with hiding.transaction(), hiding.cursor() as cursor:
            public_events.apply([hidden], cursor, tables, Shard(0, 2))
            showing = threading.Thread(target=show)
            showing.start()
            while not eye.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchall()[0][0]:
                assert showing.is_alive()
        showing.join(10)
    assert connection.execute("SELECT * FROM public.public_events").fetchall() == []
