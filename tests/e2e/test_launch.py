"""``make run`` end to end, on a data directory and a port of its own."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import psycopg
import pytest
import requests

from balados import embedded, home, launch
from tests.e2e.instances import OURS, PASSWORD, SETUP_TOKEN, Instance, eventually, free_port
from tests.launch.test_supervisor import gone

PROGRAMS = {"web": "balados.serve", "projector": "run_projectors", "worker": " worker "}
ADMINISTRATOR = (
    "createsuperuser",
    "--database=system",
    "--no-input",
    "--username=second",
    "--email=second@example.org",
)


def refused(place: Path, **environment: str) -> str:
    """Return why ``make run`` does not start; fails unless that is one line and nothing is left behind."""
    run = subprocess.run(
        [sys.executable, "-m", "balados.launch"],
        cwd=launch.ROOT,
        env={**outside(), "BALADOS_HOME": str(place), **environment},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    assert run.stdout == ""
    assert not (place / "postgres").exists()
    assert not (place / "redis").exists()
    assert len(run.stderr.splitlines()) == 1
    return run.stderr


def test_a_taken_port_is_one_clear_line_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert f"cannot listen on 127.0.0.1:{port} (Address already in use)" in refused(tmp_path, PORT=port)


def test_a_port_that_is_none_is_one_clear_line(tmp_path: Path) -> None:
    for port in ("http", "0", "65536", "-1", "８０００"):
        assert "PORT must be a number from 1 to 65535" in refused(tmp_path, PORT=port)


def test_a_home_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with home.locked(tmp_path):
        assert "already running on" in refused(tmp_path, PORT=str(free_port()))


def outside() -> dict[str, str]:
    """Return the environment without the servers of this test run."""
    return {name: value for name, value in os.environ.items() if name not in OURS}


def test_a_home_that_cannot_be_written_to_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "supervisor.lock").mkdir()
    assert "Is a directory" in refused(tmp_path)


@pytest.mark.parametrize("before", [{}, {"DATABASE_URL": "postgresql://h/one"}])
@pytest.mark.parametrize("name", home.URLS)
def test_other_servers_than_those_of_the_last_start_are_refused_in_one_line(
    tmp_path: Path, before: dict[str, str], name: str
) -> None:
    home.remember(tmp_path, {"SECRET_KEY": "k" * 50, **before})
    other = "redis://h/1" if name == "REDIS_URL" else "postgresql://h/two"
    assert f"{name} differs from the last start" in refused(tmp_path, **{name: other})


def test_without_a_url_and_an_instance_no_database_of_the_machine_is_touched(tmp_path: Path) -> None:
    for command in ("db_init", "setup_link", "store_status", "run_projectors", "dbshell"):
        run = subprocess.run(
            [sys.executable, "manage.py", command],
            cwd=launch.ROOT,
            env={**outside(), "BALADOS_HOME": str(tmp_path), "SECRET_KEY": "k" * 50},
            capture_output=True,
            text=True,
        )
        assert run.returncode != 0
        assert "Set DATABASE_URL, or start an instance with `make run`" in run.stderr
        assert "Traceback" not in run.stderr


def test_it_says_at_last_how_to_begin(newcomer: Instance) -> None:
    assert requests.get(f"{newcomer.url}/health/live", timeout=30).text == "live\n"
    last = next(number for number, line in enumerate(newcomer.lines) if "connect an app: " in line)
    ready, administrator, app = (line.partition("| ")[2] for line in newcomer.lines[last - 2 : last + 1])
    assert ready == f"ready at {newcomer.url}"
    link = f"{newcomer.url}/setup?token={SETUP_TOKEN}"
    assert administrator.startswith(f"make yourself its administrator: {link}")
    assert app.startswith(f"connect an app: {newcomer.url}/api/docs/ and docs/apps.md")


def test_management_commands_beside_it_work_on_its_data(instance: Instance) -> None:
    instance.manage(*ADMINISTRATOR, DJANGO_SUPERUSER_PASSWORD=PASSWORD)
    with instance.store() as store:
        found = store.execute("SELECT is_superuser FROM system.users WHERE username = 'second'")
        assert found.fetchall() == [(True,)]


def test_a_run_goes_on_at_once_where_the_last_one_was_killed(victim: Instance) -> None:
    victim.restart_killed()
    assert any(line.endswith(f"| ready at {victim.url}") for line in victim.lines)
    assert "administrator" not in victim.output


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_that_is_killed_comes_back_by_itself(victim: Instance, program: str) -> None:
    ready = victim.home / "ready" / program
    ready.unlink()
    killed = victim.processes(PROGRAMS[program])[0]
    killed.kill()
    assert gone(killed.pid)
    eventually(ready.exists)


def test_what_all_programs_are_forks_of_comes_back_with_them(victim: Instance) -> None:
    before = {program: victim.processes(part)[0].pid for program, part in PROGRAMS.items()}
    for program in PROGRAMS:
        (victim.home / "ready" / program).unlink()
    victim.processes("balados.preloaded")[0].kill()
    eventually(lambda: all((victim.home / "ready" / program).exists() for program in PROGRAMS))
    after = {program: victim.processes(part)[0].pid for program, part in PROGRAMS.items()}
    assert [program for program in PROGRAMS if before[program] == after[program]] == []
    assert len(victim.processes("balados.preloaded")) == 1


def test_programs_share_the_memory_of_what_they_are_forks_of(victim: Instance) -> None:
    """Proportional memory is about 240 MiB at rest. Each program by itself would take 60 to 90 MiB."""
    held = {process.pid: process.memory_full_info().pss / 2**20 for process in victim.everything()}
    assert sum(held.values()) < 400
    (forking,) = victim.processes("balados.preloaded")
    assert held[forking.pid] < 50
    assert held[victim.process.pid] < 25


def test_a_projector_that_works_says_so_again_and_again(victim: Instance) -> None:
    ready = victim.home / "ready" / "projector"
    os.utime(ready, (0, 0))
    eventually(lambda: ready.stat().st_mtime > 0)


def test_the_web_answers_again_after_it_was_killed(victim: Instance) -> None:
    victim.processes("balados.serve")[0].kill()

    def answers() -> bool:
        try:
            return requests.get(f"{victim.url}/health/live", timeout=1).ok
        except requests.RequestException:
            return False

    eventually(lambda: not answers())
    eventually(answers)


def test_embedded_servers_that_are_killed_come_back_by_themselves(victim: Instance) -> None:
    for server in ("redis-server", "/postgres -D"):
        victim.processes(server)[0].kill()
    eventually(lambda: victim.processes("redis-server") and victim.processes("/postgres -D"))
    eventually(embedded.postgres(victim.home).answers)
    eventually(embedded.redis_server(victim.home).answers)


def test_the_web_goes_on_whenever_postgres_comes_back(victim: Instance) -> None:
    def ready() -> bool:
        return requests.get(f"{victim.url}/health/ready", timeout=60).ok

    def numbers() -> list[int]:
        return [victim.processes(program)[0].pid for program in ("balados.serve", "run_projectors")]

    eventually(ready)
    running = numbers()
    for strike in ("kill -9", "immediate", "kill -9", "immediate"):
        before = postmaster(victim.home)
        if strike == "immediate":
            psutil.Process(int(before.split()[0])).send_signal(signal.SIGQUIT)
        else:
            psutil.Process(int(before.split()[0])).kill()
        eventually(partial(is_another, victim.home, before))
        eventually(ready)
    assert numbers() == running  # none has ended, to be started again


def postmaster(place: Path) -> str:
    """Return what PostgreSQL's pid file says while the server runs, or an empty string."""
    file = place / "postgres" / "postmaster.pid"
    return file.read_text() if file.exists() else ""


def is_another(place: Path, before: str) -> bool:
    return postmaster(place) not in ("", before)


def test_the_servers_alone_are_there_for_a_restore_also_beside_another_instance(tmp_path: Path) -> None:
    other = socket.create_server(("127.0.0.1", 0))
    home.remember(tmp_path, {"PUBLIC_URL": "https://balados.example"})
    instance = Instance(tmp_path, "servers", PORT=str(other.getsockname()[1]))
    try:
        servers_up(instance)
        assert not [part for part in ("balados.serve", "manage.py", "celery") if instance.processes(part)]
        assert "created: balados" in instance.manage("db_create")
        assert home.variables(tmp_path)["PUBLIC_URL"] == "https://balados.example"
    finally:
        instance.stop()
        other.close()
    assert instance.process.returncode == 0


def servers_up(instance: Instance) -> None:
    eventually(lambda: "only the servers are running" in instance.output, 60)


@pytest.fixture(params=["sockets inside", "sockets beside"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A directory whose path is short enough for sockets, or one whose path is too long."""
    if request.param == "sockets beside":
        (tmp_path / ("long" * 20)).mkdir()
        yield tmp_path / ("long" * 20)
    else:
        with tempfile.TemporaryDirectory(dir="/tmp") as short:
            yield Path(short)


def test_a_copy_of_a_home_never_reaches_the_servers_of_the_original(place: Path) -> None:
    original = Instance(place / "original", "servers")
    copy = None
    try:
        servers_up(original)
        before = postmaster(original.home)
        # copied while its servers run, so their process ids and sockets are copied as well
        subprocess.run(["cp", "--archive", original.home, place / "copy"], check=True)
        beside = {**original.environment, "BALADOS_HOME": str(place / "copy")}
        command = [sys.executable, "manage.py", "db_create"]
        away = subprocess.run(command, cwd=launch.ROOT, env=beside, capture_output=True, text=True)
        assert str(home.sockets(place / "copy")) in away.stderr
        assert away.returncode == 1
        copy = Instance(place / "copy", "servers")
        servers_up(copy)
        assert "created: balados" in copy.manage("db_create")
        assert "created: balados" in original.manage("db_create")
        copy.stop()
        assert postmaster(original.home) == before
        with original.store() as store:
            assert store.execute("SELECT 1").fetchone() == (1,)
    finally:
        for instance in (copy, original):
            if instance is not None:
                instance.stop()


def test_a_home_that_is_moved_while_it_runs_stops_and_leaves_alone_what_is_at_its_old_path() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        place = Path(short) / "home"
        moved = Instance(place, "servers")
        servers_up(moved)
        place.rename(place.with_name("moved"))
        successor = Instance(place, "servers")
        try:
            servers_up(successor)
            assert moved.process.wait(60) == 1
            assert f"BALADOS_HOME {place} was moved or deleted" in moved.output
            assert "created: balados" in successor.manage("db_create")
        finally:
            moved.stop()
            successor.stop()


def test_a_directory_with_a_path_too_long_for_sockets_keeps_its_own_when_it_moves(tmp_path: Path) -> None:
    long = tmp_path / ("long" * 30)
    long.mkdir()
    before = home.sockets(long)
    long.rename(long.with_name("moved" * 30))
    long.mkdir()
    assert home.sockets(long) != before
    assert home.sockets(long.with_name("moved" * 30)) == before


def test_servers_that_are_named_are_used_and_not_started(newcomer: Instance) -> None:
    assert newcomer.processes("redis-server") == newcomer.processes("/postgres -D") == []
    for variable in ("DATABASE_URL", "PROJECTIONS_URL", "EVENT_STORE_URL"):
        with psycopg.connect(newcomer.environment[variable]) as connection:
            tables = connection.execute("SELECT schemaname FROM pg_tables WHERE tablename ~ 'migr'")
            assert tables.fetchall()
    assert not (newcomer.home / "postgres").exists()
