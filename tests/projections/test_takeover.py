"""A process that dies, freezes or hangs loses its locks, and another continues; a busy one keeps them."""

import dataclasses
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from psycopg import Cursor

from eventstore import retention
from projections import connect, runner, worker
from projections.connect import Connection
from projections.projectors import PROJECTORS
from projections.projectors.shape import Fact, Projector, Tables
from projections.queries import position_of
from projections.runner import Runner
from tests.projections.conftest import InACopy, Launch
from tests.projections.histories import ALICE, BOB, CHARLIE, counted, counting, played, record, subscribed
from tests.projections.running import eventually, run_until, running

pytestmark = [pytest.mark.topology, pytest.mark.usefixtures("stores")]


def freeze_amid_the_second_transaction() -> None:
    """Freeze when part of a transaction's statements is sent and the server waits for the rest."""
    connect.LIVE_SESSION["idle_session_timeout"] = "500ms"
    worker.LONGEST_TRANSACTION = 0.5
    batches = 0

    def freeze(facts: Sequence[Fact]) -> None:
        nonlocal batches
        batches += 1
        if batches == 2:
            # as when the buffer is full: the server has received the claim of the position, and locks its row
            pgconn = live._session().pgconn
            pgconn.send_flush_request()
            pgconn.flush()
            os.kill(os.getpid(), signal.SIGSTOP)

    live = Runner([counting(after=freeze)])
    live.run(lambda: False, lambda: None)


def everything_at(position: int) -> bool:
    return min(position_of(name) for name in PROJECTORS) >= position


def test_one_that_is_killed_is_replaced_within_five_seconds(
    projector: Callable[..., "subprocess.Popen[bytes]"],
) -> None:
    users = (ALICE, BOB, CHARLIE)
    doomed, successor = (projector() for _ in range(2))
    head = record(*(played(user) for user in users))
    eventually(partial(everything_at, head))
    doomed.kill()
    head = record(*(played(user, position=1) for user in users))
    # 0.1 to 1 s: the kernel closes the connections, and the heir checks once a second
    assert eventually(partial(everything_at, head)) < 5
    successor.send_signal(signal.SIGTERM)
    assert successor.wait(60) == 0
    assert retention.acknowledged_by_all(PROJECTORS) == head


def test_different_processes_run_different_projectors(launch: Launch) -> None:
    launch("manage.py", "run_projectors", "plays")
    head = record(played(ALICE), subscribed(ALICE))
    with running(Runner([PROJECTORS["subscriptions"]])):
        eventually(lambda: min(position_of(name) for name in ("plays", "subscriptions")) == head, seconds=30)
    assert position_of("playlists") == 0


def skip_without_a_timeout_of_transactions(connection: Connection) -> None:
    if connection.info.server_version < 170_000:
        pytest.skip("PostgreSQL 17 and newer alone end a transaction that takes too long")


def test_one_that_freezes_amid_a_transaction_lets_go_of_its_rows(
    connection: Connection, counter: Projector, copy: InACopy
) -> None:
    skip_without_a_timeout_of_transactions(connection)
    process = copy(freeze_amid_the_second_transaction)
    head = record(played(ALICE))
    eventually(lambda: position_of("counter") == head)
    record(played(ALICE, position=1))
    eventually(lambda: frozen(process.pid))
    successor = Runner([counter])
    head = record(played(ALICE, position=2))
    run_until(successor, head)
    process.send_signal(signal.SIGCONT)
    head = record(played(ALICE, position=3))
    run_until(successor, head)
    successor.close()
    head = record(played(ALICE, position=4))
    eventually(lambda: position_of("counter") == head)
    assert counted(connection) == list(range(1, head + 1))


def frozen(pid: int) -> bool:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "T"


def test_one_that_waits_for_long_begins_again(
    connection: Connection, counter: Projector, monkeypatch: pytest.MonkeyPatch
) -> None:
    skip_without_a_timeout_of_transactions(connection)
    monkeypatch.setattr(worker, "LONGEST_TRANSACTION", 0.1)
    with running(Runner([counter])) as patient:
        eventually(lambda: bool(patient.positions()))
        with connect.connect("projections") as other, other.transaction():
            other.execute("SELECT 1 FROM users.projector_positions FOR UPDATE")
            head = record(played(ALICE))
            eventually(lambda: not patient.positions())
        eventually(lambda: position_of("counter") == head)
    assert counted(connection) == [head]


def test_a_batch_that_takes_longer_than_any_should_is_applied_in_the_end(
    connection: Connection, counter: Projector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint of many rows on a slow disk takes this long: endless retries would make no progress."""
    monkeypatch.setattr(worker, "LONGEST_TRANSACTION", 0.1)

    def apply(facts: Sequence[Fact], cursor: Cursor[Any], tables: Tables) -> None:
        counter.apply(facts, cursor, tables)
        cursor.execute("SELECT pg_sleep(0.3)")

    slow = dataclasses.replace(counter, apply=apply)
    with running(Runner([slow])) as patient:
        eventually(lambda: bool(patient.positions()))
        head = record(played(ALICE))
        eventually(lambda: position_of("counter") == head, seconds=20)
    assert counted(connection) == [head]


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server end a session that has been idle for half a second."""
    monkeypatch.setitem(connect.LIVE_SESSION, "idle_session_timeout", "500ms")
    monkeypatch.setattr(runner, "HOUSEKEEPING_EVERY", 0.1)


@pytest.mark.usefixtures("_impatient")
def test_one_that_is_busy_for_long_keeps_its_locks(
    connection: Connection, counter: Projector, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a machine that stands still for half a second would be taken for a process that hangs
    monkeypatch.setitem(connect.LIVE_SESSION, "idle_session_timeout", "1500ms")

    def take_long(facts: Sequence[Fact]) -> None:
        if len(facts) == 1:
            time.sleep(2.0)

    with running(Runner([counting(before=take_long)])) as busy, running(Runner([counter])) as other:
        eventually(lambda: bool(busy.positions()))
        head = record(played(ALICE))
        eventually(lambda: position_of("counter") == head)
        eventually(lambda: busy.positions() == {"counter": head})
        assert other.positions() == {}


@pytest.mark.usefixtures("_impatient")
def test_one_whose_work_does_not_move_any_more_loses_its_locks(counter: Projector) -> None:
    hanging, other = Runner([counter]), Runner([counter])
    hanging.step()
    assert hanging.positions() == {"counter": 0}

    def taken_over() -> bool:
        other.step()
        return bool(other.positions())

    eventually(taken_over)
    other.close()
    hanging.close()
