"""The process is killed, wherever it stands; each event is applied exactly once all the same."""

import random
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial

import pytest
from django.db import connections

from eventstore import log
from eventstore.log import Origin
from projections import locks, rebuild
from projections.connect import Connection
from projections.projectors import PROJECTORS
from projections.projectors.shape import Projector
from projections.runner import Runner
from tests.projections.conftest import Launch, Project
from tests.projections.histories import (
    ALICE,
    BOB,
    catalogue,
    counted,
    dump,
    played,
    record,
    saved,
    subscribed,
)
from tests.projections.running import eventually, run_until

pytestmark = [pytest.mark.topology, pytest.mark.usefixtures("stores")]

# a projector process whose session the server ends after half a second without a word
FREEZABLE = """
import django
django.setup()
from projections import connect, runner
from tests.projections.histories import counting
connect.LIVE_SESSION["idle_session_timeout"] = "500ms"
runner.HOUSEKEEPING_EVERY = 0.1
runner.Runner([counting()]).run(lambda: False, lambda: print("ready", flush=True))
"""
# a projector process that kills itself at its third batch: before it writes rows, between the rows and the
# commit, or right after the commit
SUICIDE = """
import os, signal, sys, django
django.setup()
from projections.runner import Runner
from tests.projections.histories import counting
where, batches = sys.argv[1], 0
def die(at):
    global batches
    batches += at == "before"
    if at == where and batches == 3:
        os.kill(os.getpid(), signal.SIGKILL)
projector = counting(before=lambda facts: die("before"), after=lambda facts: die("between"))
class Dying(Runner):
    def _apply_all(self, batch):
        super()._apply_all(batch)
        die("after")
print("ready", flush=True)
Dying([projector]).run(lambda: False, lambda: None)
"""

# a rebuild that ends so at half of it
KILLED_HALFWAY = """
import os, signal, django
django.setup()
from projections import catch_up
from projections.projectors import PROJECTORS
from projections.rebuild import rebuild
catch_up.AT_ONCE = 10
def halfway(position, head):
    if position >= head / 2:
        os.kill(os.getpid(), signal.SIGKILL)
rebuild(list(PROJECTORS.values()), halfway)
"""


def ready(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"


@pytest.mark.parametrize(("where", "survives"), [("before", 2), ("between", 2), ("after", 3)])
def test_killed_between_rows_and_position_it_applies_each_event_once(
    connection: Connection, counter: Projector, launch: Launch, where: str, survives: int
) -> None:
    process = launch("-c", SUICIDE, where)
    ready(process)
    for n in range(1, 4):
        record(played(ALICE, position=n))
        if n < 3:
            eventually(partial(reached, connection, n))
    assert process.wait(20) == -signal.SIGKILL
    assert saved(connection, "counter") == survives
    assert counted(connection) == list(range(1, survives + 1))
    head = record(played(ALICE, position=4))
    runner = Runner([counter])
    run_until(runner, head)
    runner.close()
    assert counted(connection) == [1, 2, 3, 4]


def test_a_frozen_process_is_replaced_and_writes_nothing_when_it_wakes(
    connection: Connection, counter: Projector, launch: Launch
) -> None:
    process = launch("-c", FREEZABLE)
    ready(process)
    record(played(ALICE, position=1))
    eventually(partial(reached, connection, 1))
    process.send_signal(signal.SIGSTOP)
    head = record(played(ALICE, position=2))
    heir = Runner([counter])
    run_until(heir, head)
    process.send_signal(signal.SIGCONT)
    head = record(*(played(ALICE, position=n) for n in range(3, 9)))
    run_until(heir, head)
    heir.close()
    head = record(played(ALICE, position=9))
    # it is the one that stands by, until the heir has gone
    eventually(partial(reached, connection, head))
    assert counted(connection) == list(range(1, head + 1))


def reached(connection: Connection, position: int) -> bool:
    return saved(connection, "counter") == position


def test_killed_again_and_again_under_load_it_loses_and_doubles_nothing(
    connection: Connection, projector: Callable[[], "subprocess.Popen[bytes]"]
) -> None:
    choose = random.Random(2)
    streams = {user: log.stream_of(user) for user in (ALICE, BOB)}
    versions = dict.fromkeys(streams, 0)
    for _ in range(3):
        process = projector()
        until = time.monotonic() + choose.uniform(0.1, 0.4)
        while time.monotonic() < until:
            user = choose.choice([ALICE, BOB])
            at = choose.randrange(1_000)
            event = (
                subscribed(user, f"feed{choose.randrange(5)}", at)
                if choose.random() < 0.2
                else played(user, f"item{choose.randrange(20)}", position=at, at=at)
            )
            assert log.append(streams[user], versions[user], [event], Origin())
            versions[user] += 1
        process.kill()
        process.wait(10)
    process = projector()
    head = log.head()
    eventually(lambda: min(saved(connection, name) for name in PROJECTORS) == head)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    live = dump(connection)
    rebuild.rebuild(list(PROJECTORS.values()))
    assert dump(connection) == live


def test_sigterm_ends_it_with_everything_acknowledged_and_its_locks_free(
    connection: Connection, projector: Callable[[], "subprocess.Popen[bytes]"]
) -> None:
    process = projector()
    head = record(played(ALICE))
    eventually(lambda: saved(connection, "plays") == head)
    heir = Runner()
    assert not heir.step()
    assert heir.positions() == {}
    heir.close()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    with connections["events"].cursor() as cursor:
        cursor.execute("SELECT projector, position FROM events.projection_versions")
        assert dict(cursor.fetchall()) == dict.fromkeys(PROJECTORS, head)
    run_until(heir, head, seconds=5)
    heir.close()


def test_killed_halfway_it_changes_nothing_and_starts_anew(
    connection: Connection, project: Project, launch: Launch
) -> None:
    record(*(played(ALICE, f"item{n}") for n in range(40)))
    project()
    before, tables = dump(connection), catalogue(connection)
    assert launch("-c", KILLED_HALFWAY).wait(30) == -signal.SIGKILL
    assert dump(connection) == before
    assert catalogue(connection) != tables
    # its session ends a moment later, and with it its lock
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
