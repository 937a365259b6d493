"""F-02: the process is killed, wherever it stands; each event is applied exactly once all the same."""

import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from django.db import connections

from eventstore import store
from eventstore.store import Origin
from projections import rebuild
from projections.connect import Connection
from projections.projectors import PROJECTORS
from projections.projectors.shape import Projector
from projections.runner import Runner
from tests.projections.histories import ALICE, BOB, counted, dump, played, record, saved, subscribed
from tests.projections.running import eventually

pytestmark = [pytest.mark.topology, pytest.mark.usefixtures("stores")]

ENVIRONMENT = {**os.environ, "DJANGO_SETTINGS_MODULE": "balados.settings"}
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
runner = Runner([projector], applied=lambda name, position: die("after"))
print("ready", flush=True)
runner.run(lambda: False, lambda: None)
"""


@pytest.mark.parametrize(("where", "survives"), [("before", 2), ("between", 2), ("after", 3)])
def test_killed_between_rows_and_position_it_applies_each_event_once(
    connection: Connection, counter: Projector, where: str, survives: int
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SUICIDE, where], env=ENVIRONMENT, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    for n in range(1, 4):
        record(played(ALICE, position=n))
        if n < 3:
            eventually(partial(reached, connection, n))
    assert process.wait(20) == -signal.SIGKILL
    process.stdout.close()
    assert saved(connection, "counter") == survives
    assert counted(connection) == list(range(1, survives + 1))
    head = record(played(ALICE, position=4))
    runner = Runner([counter])
    runner.run_until(head)
    runner.close()
    assert counted(connection) == [1, 2, 3, 4]


def reached(connection: Connection, position: int) -> bool:
    return saved(connection, "counter") == position


def start(ready: Path) -> "subprocess.Popen[bytes]":
    ready.mkdir(exist_ok=True)
    (ready / "projector").unlink(missing_ok=True)
    process = subprocess.Popen(
        [sys.executable, "manage.py", "run_projectors"], env={**ENVIRONMENT, "BALADOS_READY": str(ready)}
    )
    eventually((ready / "projector").exists, seconds=30)
    return process


def test_killed_again_and_again_under_load_it_loses_and_doubles_nothing(
    connection: Connection, tmp_path: Path
) -> None:
    choose = random.Random(2)
    streams = {user: store.stream_of(user) for user in (ALICE, BOB)}
    versions = dict.fromkeys(streams, 0)
    for _ in range(3):
        process = start(tmp_path)
        until = time.monotonic() + choose.uniform(0.1, 0.4)
        while time.monotonic() < until:
            user = choose.choice([ALICE, BOB])
            at = choose.randrange(1_000)
            event = (
                subscribed(user, f"feed{choose.randrange(5)}", at)
                if choose.random() < 0.2
                else played(user, f"item{choose.randrange(20)}", position=at, at=at)
            )
            assert store.append(streams[user], versions[user], [event], Origin())
            versions[user] += 1
        process.kill()
        process.wait(10)
    process = start(tmp_path)
    head = store.head()
    eventually(lambda: min(saved(connection, name) for name in PROJECTORS) == head)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    live = dump(connection)
    rebuild.rebuild(list(PROJECTORS.values()))
    assert dump(connection) == live


def test_sigterm_ends_it_with_everything_acknowledged_and_its_locks_free(
    connection: Connection, tmp_path: Path
) -> None:
    process = start(tmp_path)
    head = record(played(ALICE))
    eventually(lambda: saved(connection, "play_statuses") == head)
    heir = Runner()
    assert not heir.step()
    assert heir.positions() == {}
    heir.close()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    with connections["events"].cursor() as cursor:
        cursor.execute("SELECT projector, position FROM events.projection_versions")
        assert dict(cursor.fetchall()) == dict.fromkeys(PROJECTORS, head)
    heir.run_until(head, seconds=5)
    heir.close()
