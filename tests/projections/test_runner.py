"""The process that runs the projectors, alone and beside others."""

import threading
from collections.abc import Iterator, Sequence
from functools import partial

import msgspec
import psycopg
import pytest
from django.db import connections

from eventstore import log
from eventstore.domain.identifiers import feed_of_url, item_of
from projections import catch_up, deadletters, queries, runner
from projections.batches import Batch
from projections.catch_up import NEAR
from projections.connect import Connection, connect
from projections.listener import Listener
from projections.projectors import PROJECTORS
from projections.projectors.shape import Fact, Projector
from projections.runner import Runner
from projections.worker import Worker
from tests.projecting import bring_up_to_date
from tests.projections.histories import (
    ALICE,
    BOB,
    FEED,
    ITEM,
    counted,
    counting,
    dump,
    played,
    record,
    record_raw,
    saved,
    subscribed,
)
from tests.projections.running import end_sessions, eventually, run_until, running

pytestmark = [pytest.mark.topology, pytest.mark.usefixtures("stores")]


@pytest.fixture
def _brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check the locks all the time, and go to sleep soon."""
    monkeypatch.setattr(runner, "HOUSEKEEPING_EVERY", 0.0)
    monkeypatch.setattr(runner, "ACKNOWLEDGE_EVERY", 0.0)
    monkeypatch.setattr(runner, "AWAKE", 0.05)
    monkeypatch.setattr(runner, "LONGEST_BACKOFF", 0.1)
    monkeypatch.setattr(catch_up, "PAUSES", (0, 0, 0))


@pytest.fixture
def alone() -> Iterator[Runner]:
    one = Runner()
    yield one
    one.close()


def acknowledged() -> dict[str, int]:
    with connections["events"].cursor() as cursor:
        cursor.execute("SELECT projector, position FROM events.projection_versions")
        return dict(cursor.fetchall())


def reached(connection: Connection, name: str, position: int) -> bool:
    return saved(connection, name) >= position


def test_it_brings_every_projector_to_the_head(connection: Connection, alone: Runner) -> None:
    head = record(subscribed(ALICE), played(ALICE), played(BOB))
    run_until(alone, head)
    assert alone.positions() == dict.fromkeys(PROJECTORS, head)
    rows = dump(connection)
    assert (len(rows["subscriptions"]), len(rows["play_statuses"])) == (1, 2)


def test_it_acknowledges_what_is_applied(alone: Runner) -> None:
    head = record(played(ALICE), subscribed(ALICE))
    run_until(alone, head)
    alone.close()
    assert acknowledged() == dict.fromkeys(PROJECTORS, head)


@pytest.mark.usefixtures("_brisk")
def test_it_acknowledges_nothing_beyond_an_event_that_waits(
    connection: Connection, counter: Projector
) -> None:
    def fail(facts: Sequence[Fact]) -> None:
        if any(event.user_id == BOB for _, event in facts):
            raise ValueError("not Bob's")

    record(played(ALICE), played(BOB))
    head = record(played(ALICE, position=1))
    with running(Runner([counting(before=fail)])):
        eventually(lambda: reached(connection, "counter", head) and bool(acknowledged().get("counter")))
    assert counted(connection) == [1, 3]
    assert acknowledged() == {"counter": 1}


@pytest.mark.usefixtures("_brisk")
def test_a_poison_event_holds_up_neither_its_projector_nor_the_others(
    connection: Connection, counter: Projector
) -> None:
    def fail(facts: Sequence[Fact]) -> None:
        if any(recorded.position == 2 for recorded, _ in facts):
            raise ValueError("poison")

    with running(Runner([counting(before=fail), *PROJECTORS.values()])):
        head = record(*(played(user, position=n) for n in range(3) for user in (ALICE, BOB)))
        eventually(lambda: reached(connection, "counter", head))
        eventually(lambda: reached(connection, "plays", head))
    assert sorted(counted(connection)) == [1, 3, 5]
    assert [letter.position for letter in deadletters.letters(connection)] == [2, 4, 6]


@pytest.mark.usefixtures("_brisk")
def test_a_fresh_process_tries_the_dead_letters_again(connection: Connection, counter: Projector) -> None:
    head = record(played(ALICE))
    worker = Worker(counter, connection)
    worker.park(Batch(log.read_all(0, 1), head), ValueError("before the fix"), attempts=4)
    with running(Runner([counter])):
        eventually(lambda: counted(connection) == [1])
    assert deadletters.letters(connection) == []


@pytest.mark.usefixtures("_brisk")
def test_a_late_projector_does_not_hold_back_the_others(connection: Connection, counter: Projector) -> None:
    record(*(played(ALICE, position=n) for n in range(NEAR + 1)))
    bring_up_to_date()
    go_on = threading.Event()

    def wait(facts: Sequence[Fact]) -> None:
        assert go_on.wait(60)

    with running(Runner([counting(before=wait), *PROJECTORS.values()])) as several:
        head = record(played(BOB))
        eventually(lambda: reached(connection, "plays", head))
        assert saved(connection, "counter") == 0
        go_on.set()
        eventually(lambda: reached(connection, "counter", head))
        head = record(played(BOB, position=1))
        eventually(lambda: several.positions().get("counter") == head)
    assert sorted(counted(connection)) == list(range(1, head + 1))


@pytest.mark.usefixtures("_brisk")
def test_a_projector_whose_tables_are_not_migrated_waits_and_parks_nothing(
    connection: Connection, counter: Projector
) -> None:
    connection.execute("ALTER TABLE users.counts RENAME COLUMN positions TO elsewhere")
    with running(Runner([counter, *PROJECTORS.values()])):
        head = record(played(ALICE))
        eventually(lambda: reached(connection, "plays", head))
        connection.execute("ALTER TABLE users.counts RENAME COLUMN elsewhere TO positions")
        eventually(lambda: reached(connection, "counter", head))
    assert counted(connection) == [1]
    assert deadletters.letters(connection) == []


def test_of_two_processes_one_applies_and_the_other_stands_by(
    connection: Connection, counter: Projector
) -> None:
    first, second = Runner([counter]), Runner([counter])
    head = record(played(ALICE))
    run_until(first, head)
    second.step()
    assert second.positions() == {}
    record(played(ALICE, position=1))
    assert not second.step()
    assert first.step()
    first.close()
    second.close()
    assert counted(connection) == [1, 2]


def test_it_takes_over_within_five_seconds_when_the_holders_session_ends(
    connection: Connection, counter: Projector
) -> None:
    with running(Runner([counter])) as first:
        record(played(ALICE))
        eventually(lambda: reached(connection, "counter", 1))
        with running(Runner([counter])) as second:
            # as if its machine were gone: both the session with the lock and the one that works end
            assert end_sessions(connection, "balados-projector") == 2
            taken = eventually(lambda: bool(second.positions() or first.positions()))
            assert taken < 5
            head = record(played(ALICE, position=1))
            assert eventually(lambda: reached(connection, "counter", head)) < 5
    assert counted(connection) == [1, 2]


def test_a_zombie_that_lost_its_lock_writes_nothing(connection: Connection, counter: Projector) -> None:
    zombie, successor = Runner([counter]), Runner([counter])
    record(played(ALICE))
    run_until(zombie, 1)
    end_sessions(connection, "balados-projector")
    record(played(ALICE, position=1))
    run_until(successor, 2)
    # it does not know yet that it has lost its lock
    assert zombie.positions() == {"counter": 1}
    with pytest.raises(psycopg.OperationalError):
        zombie.step()
    assert counted(connection) == [1, 2]
    successor.close()
    zombie.close()


@pytest.mark.usefixtures("_brisk")
def test_a_cut_listen_connection_costs_no_event(connection: Connection) -> None:
    with running(Runner()), connect("events") as events:
        record(played(ALICE))
        eventually(lambda: reached(connection, "plays", 1))
        eventually(partial(listening, events))
        end_sessions(events, "balados-listener")
        # nobody sends a hint here
        head = record(played(ALICE, position=1))
        assert eventually(lambda: reached(connection, "plays", head)) < 2
        eventually(partial(listening, events))


def listening(events: Connection) -> bool:
    row = events.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'balados-listener'"
        " AND datname = current_database()"
    ).fetchone()
    return row == (1,)


def test_a_hint_ends_the_sleep() -> None:
    listener = Listener()
    try:
        assert not listener.wait(0)
        with connect("events") as writer:
            timer = threading.Timer(0.05, partial(writer.execute, f"NOTIFY {log.NOTIFICATION_CHANNEL}"))
            timer.start()
            assert listener.wait(60)
            timer.join()
            writer.execute(f"NOTIFY {log.NOTIFICATION_CHANNEL}")
        eventually(lambda: listener.wait(0))
        assert not listener.wait(0)
    finally:
        listener.close()


@pytest.mark.usefixtures("_brisk")
def test_it_goes_on_after_its_session_was_ended(connection: Connection, counter: Projector) -> None:
    with running(Runner([counter])):
        for n in range(5):
            head = record(played(ALICE, position=n))
            eventually(partial(reached, connection, "counter", head))
            eventually(lambda: end_sessions(connection, "balados-projector") > 0)
        head = record(played(ALICE, position=9))
        eventually(lambda: reached(connection, "counter", head))
    assert counted(connection) == list(range(1, head + 1))


@pytest.mark.usefixtures("_brisk")
def test_what_an_app_uploads_at_once_is_applied_for_all_at_once(
    connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    one = played(ALICE, position=60)
    plays = [
        msgspec.structs.replace(
            one,
            rss_source_feed=feed_of_url(f"https://shows.example/{number % 100}.xml"),
            rss_source_item=item_of(f"{number}", f"https://shows.example/{number}.mp3"),
        )
        for number in range(500)
    ]
    with caplog.at_level("INFO"), running(Runner()):
        head = record(subscribed(ALICE))
        eventually(lambda: reached(connection, "listening", head))
        head = record(*plays)
        eventually(lambda: reached(connection, "listening", head))
    assert "One by one" not in caplog.text


@pytest.mark.usefixtures("_brisk")
def test_wiped_read_models_come_back_by_themselves(connection: Connection) -> None:
    head = record(subscribed(ALICE), played(ALICE))
    with running(Runner()):
        eventually(lambda: reached(connection, "plays", head))
        before = dump(connection)
        connection.execute("TRUNCATE users.subscriptions, users.play_statuses, users.projector_positions")
        head = record(played(ALICE))  # the same event again, which changes nothing
        eventually(lambda: min(saved(connection, name) for name in PROJECTORS) >= head)
    assert dump(connection) == before


@pytest.mark.usefixtures("_brisk")
def test_what_a_listener_follows_is_not_in_the_log(
    connection: Connection, alone: Runner, caplog: pytest.LogCaptureFixture
) -> None:
    fields = f'"user_id": "{ALICE}", "rss_source_feed": "{FEED}", "rss_source_item": "{ITEM}", "played": true'
    bad = record_raw(
        ALICE, "PlayRecorded", 1, f'{{{fields}, "position": -1, "played_at": "2026-01-01T00:00:00Z"}}'
    )
    with caplog.at_level("INFO"):
        run_until(alone, bad)
    letters = {letter.projector: letter.error for letter in deadletters.letters(connection)}
    assert letters["plays"].startswith("CheckViolation: ")
    assert "stumbled" in caplog.text
    assert FEED not in caplog.text


class Clock:
    """The runner's clock, which advances when the test says so; the waits are recorded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.waits: list[float] = []
        monkeypatch.setattr("projections.runner.time.monotonic", lambda: self.now)
        monkeypatch.setattr(Listener, "wait", lambda _, seconds: self.waits.append(seconds))

    def steps(self, one: Runner, *, events_per_second: int) -> list[float]:
        """The waits during a second in which this many events arrive, each in its own step."""
        self.waits.clear()
        for _ in range(events_per_second):
            self.now += 1 / events_per_second
            one._gather(1)
        return self.waits


def test_under_load_events_gather_and_otherwise_none_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    one = Runner()
    for events_per_second in (1, 20, 200):
        assert clock.steps(one, events_per_second=events_per_second) == []
    assert clock.steps(one, events_per_second=900)[-1] == pytest.approx(runner.GATHERED / 900, rel=0.1)
    assert max(clock.steps(one, events_per_second=400)) <= runner.LONGEST_GATHERING
    clock.now += 10
    assert clock.steps(one, events_per_second=20) == []


def test_who_waits_for_an_event_does_not_wait_for_others_to_gather(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "GATHER_ABOVE", -1.0)
    monkeypatch.setattr(runner, "GATHERED", 1e9)
    monkeypatch.setattr(runner, "LONGEST_GATHERING", 20.0)
    with running(Runner()):
        for minute in range(3):
            position = record(played(ALICE, position=minute))
            assert queries.wait_for("plays", position, 5.0) >= position
        # it gathers events again, and would do so for all of the 20 s
        monkeypatch.setattr(runner, "GATHERED", 0.0)
        log.notify(is_awaited=True)
