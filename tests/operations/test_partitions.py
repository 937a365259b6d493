"""The scripts of docs/sql: a partitioned log records, refuses and reads like a log in one table."""

import json
import os
import subprocess
import threading
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connections
from psycopg.errors import UniqueViolation

from accounts.models import User
from balados import embedded
from eventstore import administration, database, log
from eventstore.appending import APPEND_EVENTS, VERSION_TAKEN
from eventstore.columns import columns_of
from eventstore.domain.messages import Origin
from tests.api.devices import Device, play
from tests.apps import App
from tests.eventstore.writers import plays
from tests.factories import UserFactory
from tests.operations.living import here, life
from tests.operations.operating import Operator

__all__ = ["here", "life"]  # fixtures

SCRIPTS = Path(__file__).resolve().parents[2] / "docs" / "sql"
# the code of a program that runs both before and after the change
PROGRAM = """
import json, sys
from uuid import UUID
from eventstore import administration, database, log
from eventstore.domain.messages import Origin
from tests.eventstore.writers import play, plays
from tests.factories import UserFactory
stream = log.stream_of(UUID(int=1))
def append(expected, *numbers):
    return log.append(stream, expected, plays(*numbers), Origin())
for line in sys.stdin:
    print(json.dumps(append(*json.loads(line))), flush=True)
"""


class Program:
    """A process that appends to one stream and reports the positions."""

    def __init__(self, operator: Operator) -> None:
        self.process = subprocess.Popen(
            [*operator.command("shell", "--verbosity=0", "-c", PROGRAM)],
            cwd=SCRIPTS.parents[1],
            env=operator.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def append(self, expected: int, *numbers: int) -> int | None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps([expected, *numbers]) + "\n")
        self.process.stdin.flush()
        answer: int | None = json.loads(self.process.stdout.readline())
        return answer

    def end(self) -> None:
        self.process.communicate()
        assert self.process.returncode == 0


def psql(operator: Operator, script: str, **variables: int) -> None:
    done = run_script(operator, script, **variables)
    assert done.returncode == 0, done.stderr


def run_script(operator: Operator, script: str, **variables: int) -> subprocess.CompletedProcess[str]:
    command = [str(embedded.POSTGRES_BIN / "psql"), "--no-psqlrc", "--quiet", operator.urls["events"]]
    settings = [f"--set={name}={value}" for name, value in variables.items()]
    return subprocess.run(
        [*command, *settings, f"--file={SCRIPTS / script}"], env=os.environ, capture_output=True, text=True
    )


def indexes_of_the_log(connection: psycopg.Connection[Any]) -> set[str]:
    found = connection.execute("SELECT indexname FROM pg_indexes WHERE tablename = 'events'").fetchall()
    return {name for (name,) in found}


def rows_of(connection: psycopg.Connection[Any]) -> list[tuple[int, int, int]]:
    rows = connection.execute(log.READ_BY_POSITION, (0, log.LAST_POSITION, 1_000)).fetchall()
    return [(row[0], row[1], row[2]) for row in rows]


@pytest.mark.parametrize("topology", ["three"], indirect=True)
def test_a_log_in_partitions_is_the_same_log_to_a_program_that_was_running(operator: Operator) -> None:
    program = Program(operator)
    assert [program.append(0, 7), program.append(1, 8, 9)] == [1, 3]
    with operator.connect("events") as connection:
        before, indexes = rows_of(connection), indexes_of_the_log(connection)
        psql(operator, "partition_events.sql", bound=100)
        assert rows_of(connection) == before
        # all indexes remain, except for the one key that no partitioned table can have
        assert indexes - indexes_of_the_log(connection) == {"events_stream_version"}
        assert program.append(3, 10) == 4
        assert program.append(3, 11) is None
        assert program.append(3, 11, 12) is None
        with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
            connection.execute("DELETE FROM events.events")
        psql(operator, "next_partition.sql", number=1, **{"from": 100, "to": 200})
        assert program.append(4, 12) == 100
        assert program.append(4, 13) is None
        assert program.append(5, 13, 14) == 102
        assert [(position, version) for position, _, version in rows_of(connection)[3:]] == [
            (4, 4),
            (100, 5),
            (101, 6),
            (102, 7),
        ]
    program.end()


@pytest.mark.parametrize("topology", ["three"], indirect=True)
def test_of_two_writers_at_once_one_is_refused_in_partitions_too(operator: Operator) -> None:
    psql(operator, "partition_events.sql", bound=100)
    event = columns_of(1, 0, plays(1), Origin())
    with (
        operator.connect("events") as slow,
        operator.connect("events") as rival,
        operator.connect("events") as eye,
    ):
        slow.execute("BEGIN")
        slow.execute(APPEND_EVENTS, event)
        refused: list[str | None] = []

        def append() -> None:
            with pytest.raises(UniqueViolation) as raised:
                rival.execute(APPEND_EVENTS, event)
            refused.append(raised.value.diag.constraint_name)

        waiting = threading.Thread(target=append)
        waiting.start()
        while not eye.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchall()[0][0]:
            assert waiting.is_alive()
        # whoever reads the log sees which writers may still fill the gap
        assert len(eye.execute(database.SQL["inflight_writers"]).fetchall()) == 2
        slow.execute("COMMIT")
        waiting.join(60)
        assert str(refused[0]).startswith(VERSION_TAKEN)
        assert [version for _, _, version in rows_of(eye)] == [1]


@pytest.mark.parametrize("topology", ["three"], indirect=True)
def test_the_next_partition_leads_no_position_back_below_a_leap(operator: Operator) -> None:
    psql(operator, "partition_events.sql", bound=100)
    with operator.connect("events") as connection:
        connection.execute("SELECT setval('events.events_position_seq', 150)")
        psql(operator, "next_partition.sql", number=1, **{"from": 100, "to": 200})
        assert connection.execute("SELECT nextval('events.events_position_seq')").fetchone() == (151,)


@pytest.mark.parametrize("topology", ["three"], indirect=True)
@pytest.mark.parametrize("to", [150, 200, 201])
def test_a_partition_in_which_the_next_event_would_not_be_is_refused(operator: Operator, to: int) -> None:
    psql(operator, "partition_events.sql", bound=100)
    with operator.connect("events") as connection:
        connection.execute("SELECT setval('events.events_position_seq', 200)")
        done = run_script(operator, "next_partition.sql", number=1, **{"from": 100, "to": to})
        assert done.returncode != 0
        assert f"to is {to}, and the next event gets position 201" in done.stderr
        assert "Nothing was changed" in done.stderr
        assert connection.execute("SELECT to_regclass('events.events_p1')").fetchone() == (None,)
        psql(operator, "next_partition.sql", number=1, **{"from": 100, "to": 202})
        assert connection.execute("SELECT nextval('events.events_position_seq')").fetchone() == (201,)


@pytest.mark.parametrize("topology", ["one"], indirect=True)
@pytest.mark.parametrize("by", ["a dump", "a copy"])
def test_a_log_in_partitions_is_restored_and_goes_on_beyond_the_leap(
    here: Operator, tmp_path: Path, by: str
) -> None:
    phone = Device(UserFactory.create(username="alice").pk)
    App().grant(User.objects.get())
    assert phone.post("plays", play(1)).status_code == 200
    psql(here, "partition_events.sql", bound=100)
    psql(here, "next_partition.sql", number=1, **{"from": 100, "to": 200})
    assert phone.post("plays", play(2))["Balados-Position"] == "100"
    if by == "a dump":
        call_command("store_backup", "--store", "events", "--to", str(tmp_path), stdout=StringIO())
        with connections["events"].cursor() as cursor:
            cursor.execute("DROP SCHEMA events CASCADE")
    given = ["--in-place"] if by == "a copy" else ["--from", str(tmp_path)]
    call_command("store_restore", "--store", "events", *given, stdout=StringIO())
    call_command("store_restore", "--store", "events", "--in-place", stdout=StringIO())  # as after a kill
    position = int(phone.post("plays", play(3))["Balados-Position"])
    assert position > administration.RESTORE_GAP
    # all in one stream, and no version is used twice
    stream = log.stream_of(phone.user_id)
    assert [row.version for row in log.read_stream(stream)] == [1, 2, 3]
    assert log.append(stream, 2, plays(4, 5), Origin()) is None
    with here.connect("events") as connection:
        ((bound,),) = connection.execute(database.SQL["partition_bound"]).fetchall()
        assert bound > position + 10_000_000
        following = position + 1_000_000
        psql(here, "next_partition.sql", number=9, **{"from": bound, "to": bound + following})
    assert int(phone.post("plays", play(4))["Balados-Position"]) == bound
