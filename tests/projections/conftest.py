"""Histories to project, and a projector that counts events, so that repeated and missing ones are noticed."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from projections.connect import Connection, connect
from projections.projectors.shape import Projector
from tests.killing import Copy
from tests.projecting import bring_up_to_date
from tests.projections.histories import COUNTS, counting
from tests.projections.running import eventually

Project: TypeAlias = Callable[[], int]
Launch: TypeAlias = Callable[..., "subprocess.Popen[bytes]"]
InACopy: TypeAlias = Callable[[Callable[[], object]], Copy]


@pytest.fixture
def project(stores: None) -> Project:
    """A function that lets every projector catch up to the head, in this process."""
    return bring_up_to_date


@pytest.fixture
def connection(stores: None) -> Iterator[Connection]:
    """A connection to the projections store."""
    with connect("projections") as connection:
        yield connection


@pytest.fixture
def counter(connection: Connection) -> Iterator[Projector]:
    """A projector that collects positions per stream; unlike the real projectors, it is not idempotent."""
    connection.execute(f"CREATE TABLE {COUNTS} (stream bigint PRIMARY KEY, positions bigint[] NOT NULL)")
    yield counting()
    connection.execute(f"DROP TABLE {COUNTS}")


@pytest.fixture
def launch() -> Iterator[Launch]:
    """A function that starts a Python program; programs still running at the end of the test are killed."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str, **variables: str) -> "subprocess.Popen[bytes]":
        environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "balados.settings", **variables}
        process = subprocess.Popen([sys.executable, *arguments], env=environment, stdout=subprocess.PIPE)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def copy() -> Iterator[InACopy]:
    """A function that runs work in a fork of this process, which is killed at the end of the test."""
    copies: list[Copy] = []

    def start(work: Callable[[], object]) -> Copy:
        copies.append(Copy(work))
        return copies[-1]

    yield start
    for each in copies:
        each.kill()


@pytest.fixture
def projector(launch: Launch, tmp_path: Path) -> Callable[..., "subprocess.Popen[bytes]"]:
    """A function that starts the projector process as the supervisor does, and waits until it is ready."""

    def start(**variables: str) -> "subprocess.Popen[bytes]":
        (tmp_path / "projector").unlink(missing_ok=True)
        process = launch("manage.py", "run_projectors", BALADOS_READY=str(tmp_path), **variables)
        eventually(lambda: (tmp_path / "projector").exists() or process.poll() is not None, seconds=30)
        assert process.poll() is None
        return process

    return start
