import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from balados import embedded, home
from tests import embedding
from tests.launch.test_supervisor import gone

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A directory for embedded servers, which are stopped after the test."""
    yield tmp_path
    embedding.stop_postgres(tmp_path, "immediate")


def value(url: str, statement: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(statement.encode()).fetchone()
    assert row
    return row[0]


def stop(process: "subprocess.Popen[bytes]") -> int:
    process.terminate()
    return process.wait(60)


def test_postgres_listens_on_its_socket_alone_and_keeps_what_it_was_told(place: Path) -> None:
    url = embedding.start_postgres(place, "postgres")
    assert value(url, "SHOW listen_addresses") == ""
    assert value(url, "SELECT current_setting('fsync') || current_setting('synchronous_commit')") == "onon"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (number int)")
    embedding.stop_postgres(place)
    assert value(embedding.start_postgres(place, "postgres"), "SELECT count(*) FROM kept") == 0


def test_a_path_too_long_or_too_odd_for_a_socket_does_not_matter(place: Path) -> None:
    odd = place / ("long, odd and ünusual " * 6)
    odd.mkdir()
    postgres_url = embedding.start_postgres(odd, "postgres")
    redis_url, process = embedding.start_redis(odd)
    try:
        assert value(postgres_url, "SELECT 1") == 1
        with redis.Redis.from_url(redis_url) as client:
            assert client.ping()
    finally:
        stop(process)
        embedding.stop_postgres(odd)
    assert not Path(postgres_url.partition("?host=")[2]).exists()
    assert not Path(redis_url.removeprefix("unix://")).parent.exists()


def test_a_socket_directory_that_others_can_reach_is_refused(place: Path) -> None:
    long = place / ("long" * 30)
    long.mkdir()
    home.sockets(long).mkdir(mode=0o777)
    home.sockets(long).chmod(0o777)
    try:
        with pytest.raises(RuntimeError, match="not ours alone"):
            embedded.redis_server(long)
    finally:
        home.sockets(long).rmdir()


def test_a_cluster_that_was_left_half_made_is_made_again(place: Path) -> None:
    (place / "postgres.new").mkdir()
    (place / "postgres.new" / "PG_VERSION").write_text("18\n")
    assert value(embedding.start_postgres(place, "postgres"), "SELECT 1") == 1


def test_a_log_that_has_grown_is_put_aside(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "LARGEST_LOG", 10)
    for _ in range(2):
        stop(embedding.start_redis(place)[1])
    assert (place / "redis.log").stat().st_size > 10
    assert (place / "redis.log.1").stat().st_size > 10


def test_redis_writes_its_file_before_it_stops(place: Path) -> None:
    url, process = embedding.start_redis(place)
    with redis.Redis.from_url(url) as client:
        client.set("kept", "yes")
    assert stop(process) == 0
    url, process = embedding.start_redis(place)
    with redis.Redis.from_url(url) as client:
        assert client.get("kept") == b"yes"
    stop(process)


def test_a_server_whose_home_was_moved_takes_only_its_own_socket_with_it() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as short:  # so short that the sockets are inside
        place = Path(short) / "home"
        first = embedding.start_redis(place)[1]
        place.rename(place.with_name("moved"))
        url, second = embedding.start_redis(place)
        stop(first)
        try:
            with redis.Redis.from_url(url) as client:
                assert client.ping()
        finally:
            stop(second)


def test_both_end_with_whoever_started_them_even_by_kill_9(place: Path) -> None:
    code = (
        "import pathlib, sys, time; from tests import embedding; home = pathlib.Path(sys.argv[1]);"
        "embedding.start_postgres(home); print(embedding.start_redis(home)[1].pid, flush=True);"
        "time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(place)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout
        redis_pid = int(starter.stdout.readline())
        postgres_pid = int((place / "postgres" / "postmaster.pid").read_text().split()[0])
        starter.send_signal(signal.SIGKILL)
    assert gone(redis_pid)
    assert gone(postgres_pid)


def test_a_server_that_would_lose_writes_is_refused(place: Path) -> None:
    url = embedding.start_postgres(place, "balados", fsync="off")
    environment = {**os.environ, "DATABASE_URL": url, "PROJECTIONS_URL": "", "EVENT_STORE_URL": ""}
    command = [sys.executable, "manage.py", "db_init"]
    refused = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert refused.returncode != 0
    assert "fsync is off on the server of the system store" in refused.stderr
