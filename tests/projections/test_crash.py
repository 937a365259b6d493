"""The process is killed at any moment; nevertheless each event is applied exactly once."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial

import pytest
from django.db import connections

from eventstore import log
from eventstore.domain.identifiers import item_of
from eventstore.domain.messages import Origin
from projections import catch_up, connect, locks, rebuild, runner
from projections.batches import Batch
from projections.connect import Connection
from projections.projectors import PROJECTORS
from projections.projectors.shape import Projector
from projections.runner import Runner
from tests.projections.conftest import InACopy, Project
from tests.projections.histories import (
    ALICE,
    BOB,
    catalogue,
    counted,
    counting,
    dump,
    played,
    record,
    saved,
    subscribed,
)
from tests.projections.running import eventually, run_until, running

pytestmark = pytest.mark.usefixtures("stores")


def project_for_ever(projectors: list[Projector] | None = None) -> None:
    """Run the projectors for ever, as their process does."""
    Runner(projectors).run(lambda: False, lambda: None)


def freezable() -> None:
    """Project in a session that the server ends after it was idle for half a second."""
    connect.LIVE_SESSION["idle_session_timeout"] = "500ms"
    runner.HOUSEKEEPING_EVERY = 0.1
    project_for_ever([counting()])


def suicidal(where: str) -> None:
    """Kill this process in its third batch: before it writes rows, between rows and commit, or after both."""
    batches = 0

    def die(at: str) -> None:
        nonlocal batches
        batches += at == "before"
        if at == where and batches == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    class Dying(Runner):
        def _apply_all(self, batch: Batch) -> None:
            super()._apply_all(batch)
            die("after")

    projector = counting(before=lambda facts: die("before"), after=lambda facts: die("between"))
    Dying([projector]).run(lambda: False, lambda: None)


def rebuild_half() -> None:
    """Start a rebuild that kills this process halfway."""
    catch_up.AT_ONCE = 10

    def halfway(position: int, head: int) -> None:
        if position >= head / 2:
            os.kill(os.getpid(), signal.SIGKILL)

    rebuild.rebuild(list(PROJECTORS.values()), halfway)


@pytest.mark.parametrize(("where", "survives"), [("before", 2), ("between", 2), ("after", 3)])
def test_killed_between_rows_and_position_it_applies_each_event_once(
    connection: Connection, counter: Projector, copy: InACopy, where: str, survives: int
) -> None:
    process = copy(partial(suicidal, where))
    for n in range(1, 4):
        record(played(ALICE, position=n))
        if n < 3:
            eventually(partial(reached, connection, n))
    assert process.wait(20) == -signal.SIGKILL
    assert saved(connection, "counter") == survives
    assert counted(connection) == list(range(1, survives + 1))
    head = record(played(ALICE, position=4))
    successor = Runner([counter])
    run_until(successor, head)
    successor.close()
    assert counted(connection) == [1, 2, 3, 4]


def test_a_frozen_process_is_replaced_and_writes_nothing_when_it_wakes(
    connection: Connection, counter: Projector, copy: InACopy
) -> None:
    process = copy(freezable)
    record(played(ALICE, position=1))
    eventually(partial(reached, connection, 1))
    process.send_signal(signal.SIGSTOP)
    head = record(played(ALICE, position=2))
    successor = Runner([counter])
    run_until(successor, head)
    process.send_signal(signal.SIGCONT)
    head = record(*(played(ALICE, position=n) for n in range(3, 9)))
    run_until(successor, head)
    successor.close()
    head = record(played(ALICE, position=9))
    # the resumed process is on standby until the heir has gone
    eventually(partial(reached, connection, head))
    assert counted(connection) == list(range(1, head + 1))


def reached(connection: Connection, position: int) -> bool:
    return saved(connection, "counter") == position


def test_killed_again_and_again_under_load_it_loses_and_doubles_nothing(
    connection: Connection, copy: InACopy
) -> None:
    choose = random.Random(2)
    streams = {user: log.stream_of(user) for user in (ALICE, BOB)}
    versions = dict.fromkeys(streams, 0)
    for _ in range(3):
        process = copy(project_for_ever)
        until = time.monotonic() + choose.uniform(0.2, 0.6)
        while time.monotonic() < until:
            user = choose.choice([ALICE, BOB])
            at = choose.randrange(1_000)
            event = (
                subscribed(user, f"feed{choose.randrange(5)}", at)
                if choose.random() < 0.2
                else played(user, item_of(f"item{choose.randrange(20)}", ""), position=at, at=at)
            )
            assert log.append(streams[user], versions[user], [event], Origin())
            versions[user] += 1
        process.kill()
    with running(Runner()):
        head = log.head()
        eventually(lambda: min(saved(connection, name) for name in PROJECTORS) == head)
    live = dump(connection)
    rebuild.rebuild(list(PROJECTORS.values()))
    assert dump(connection) == live


def test_sigterm_ends_it_with_everything_acknowledged_and_its_locks_free(
    connection: Connection, projector: Callable[[], "subprocess.Popen[bytes]"]
) -> None:
    process = projector()
    head = record(played(ALICE))
    eventually(lambda: saved(connection, "plays") == head)
    successor = Runner()
    assert not successor.step()
    assert successor.positions() == {}
    successor.close()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    with connections["events"].cursor() as cursor:
        cursor.execute("SELECT projector, position FROM events.projection_versions")
        assert dict(cursor.fetchall()) == dict.fromkeys(PROJECTORS, head)
    run_until(successor, head, seconds=5)
    successor.close()


def test_killed_halfway_it_changes_nothing_and_starts_anew(
    connection: Connection, project: Project, copy: InACopy
) -> None:
    record(*(played(ALICE, item_of(f"item{n}", "")) for n in range(40)))
    project()
    before, tables = dump(connection), catalogue(connection)
    assert copy(rebuild_half).wait() == -signal.SIGKILL
    assert dump(connection) == before
    assert catalogue(connection) != tables
    # the server ends its session, and thus releases its lock, a moment later
    eventually(lambda: not locked(connection, "plays__rebuild"))
    rebuild.rebuild(list(PROJECTORS.values()))
    assert dump(connection) == before
    assert catalogue(connection) == tables
    rows = connection.execute("SELECT projector FROM users.projector_positions ORDER BY 1").fetchall()
    assert [name for (name,) in rows] == sorted(PROJECTORS)


def locked(connection: Connection, name: str) -> bool:
    if not locks.try_lock(connection, name):
        return True
    connection.execute("SELECT pg_advisory_unlock_all()")
    return False
