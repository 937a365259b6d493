"""The web process as a program: its workers, its port, its end."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.e2e.instances import free_port

ROOT = Path(__file__).resolve().parents[2]
# a WSGI application whose answers name the worker; /slow takes a second
PROGRAM = r"""
import os, time
from balados import serve, workers
from balados.buffering import Buffered

def application(environment, start_response):
    if environment["PATH_INFO"] == "/slow":
        os.write(1, b"slow\n")  # in one piece, unlike print
        time.sleep(1)
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]

def start():
    os.write(1, b"started\n")
    if os.environ.get("FAILS"):
        raise SystemExit(3)
    return Buffered(application)

workers.SHORT_LIFE = float(os.environ.get("SHORT_LIFE", "0"))
serve.run(start)
"""


class Program:
    def __init__(self, port: int, **settings: str) -> None:
        self.port = port
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            cwd=ROOT,
            env={**os.environ, "PORT": str(port), "WEB_CONCURRENCY": "2", **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def read_until(self, line: str) -> None:
        assert self.process.stdout is not None
        assert f"{line}\n" in iter(self.process.stdout.readline, "")

    def workers(self) -> set[int]:
        return {child.pid for child in psutil.Process(self.process.pid).children()}

    def ask(self, path: str = "/") -> int:
        """Return the number of the process that answered. Raises ``OSError``."""
        with self.begin(path) as connection:
            return answer_of(connection)

    def begin(self, path: str) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return connection


def answer_of(connection: socket.socket) -> int:
    received = b""
    while part := connection.recv(65_536):
        received += part
    assert received.startswith(b"HTTP/1.1 200 "), received
    return int(received.partition(b"\r\n\r\n")[2])


@contextmanager
def running(port: int = 0, **settings: str) -> Iterator[Program]:
    program = Program(port or free_port(), **settings)
    try:
        yield program
    finally:
        program.process.kill()
        program.process.communicate()


def eventually(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture
def program() -> Iterator[Program]:
    with running() as program:
        for _ in range(2):
            program.read_until("started")
        yield program


def test_a_worker_that_is_killed_is_replaced(program: Program) -> None:
    before = program.workers()
    answered = {program.ask() for _ in range(64)}
    assert answered == before
    assert len(answered) == 2
    os.kill(min(before), signal.SIGKILL)
    eventually(lambda: len(program.workers()) == 2 and min(before) not in program.workers())
    answered = {program.ask() for _ in range(64)}
    assert answered == program.workers()


def test_connections_of_a_dead_worker_are_answered_by_its_successor(program: Program) -> None:
    victim = min(program.workers())
    os.kill(victim, signal.SIGSTOP)
    waiting = [program.begin("/") for _ in range(32)]
    os.kill(victim, signal.SIGKILL)
    try:
        assert all(answer_of(connection) != victim for connection in waiting)
    finally:
        for connection in waiting:
            connection.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_in_order(program: Program, number: signal.Signals) -> None:
    workers = program.workers()
    with program.begin("/slow") as connection:
        program.read_until("slow")
        program.process.send_signal(number)
        assert answer_of(connection) in workers
    assert program.process.wait(5) == 0
    assert not any(map(psutil.pid_exists, workers))
    with pytest.raises(ConnectionRefusedError):
        program.ask()
    _, errors = program.process.communicate()
    assert errors == ""


def test_workers_end_with_it(program: Program) -> None:
    workers = program.workers()
    program.process.kill()
    program.process.wait()
    eventually(lambda: not any(map(psutil.pid_exists, workers)))


def test_it_ends_if_its_workers_end_at_once() -> None:
    with running(FAILS="1", SHORT_LIFE="60") as program:
        _, errors = program.process.communicate(timeout=30)
        assert program.process.returncode == 1
        assert "a process that answers requests ended (exit code 3)" in errors


def test_a_port_in_use_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as other:
        port = other.getsockname()[1]
        with running(port) as program:
            _, errors = program.process.communicate(timeout=30)
    assert program.process.returncode == 1
    reason = "Address already in use"
    assert errors == f"balados: cannot listen on 127.0.0.1:{port} ({reason}); choose another with PORT=...\n"


def test_it_listens_on_ipv6() -> None:
    with running(LISTEN_HOST="::1") as program:
        program.read_until("started")
        with socket.create_connection(("::1", program.port), timeout=30) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert answer_of(connection) in program.workers()
