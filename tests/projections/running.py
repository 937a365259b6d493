"""A runner in a thread, run as the projector process would run it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
from django.db import connections

from projections.connect import Connection
from projections.runner import Runner


@contextmanager
def running(runner: Runner) -> Iterator[Runner]:
    """Run the runner in a thread until the end of the block; exceptions of the thread are raised there."""
    stop, ready = threading.Event(), threading.Event()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            runner.run(stop.is_set, ready.set)
        except BaseException as failure:
            failures.append(failure)
        finally:
            connections.close_all()

    thread = threading.Thread(target=work, name="runner")
    thread.start()
    try:
        assert ready.wait(60) or failures
        yield runner
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()
    if failures:
        raise failures[0]


def run_until(runner: Runner, position: int, seconds: float = 30.0) -> None:
    """Work in this thread until every projector of the runner has reached ``position``."""
    deadline = time.monotonic() + seconds
    while not all(runner.positions().get(name, -1) >= position for name in runner.projectors):
        assert time.monotonic() < deadline, f"not at {position}: {runner.positions()}"
        try:
            if not runner.step():
                time.sleep(0.0002)
        except psycopg.OperationalError:
            # the server has ended the session, because the test did something else for too long
            runner.disconnect()


def eventually(check: Callable[[], bool], seconds: float = 60.0) -> float:
    """Wait until ``check`` holds; return the seconds that it took."""
    started = time.monotonic()
    while not check():
        assert time.monotonic() - started < seconds, "it did not happen"
        time.sleep(0.002)
    return time.monotonic() - started


def end_sessions(connection: Connection, application: str) -> int:
    """Terminate the server's side of every session with this application name; return how many there were."""
    row = connection.execute(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE application_name = %s AND datname = current_database()",
        [application],
    ).fetchone()
    return int(row[0]) if row else 0
