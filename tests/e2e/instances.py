"""Whole instances as ``make run`` starts them, each with a data directory and a port of its own."""

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg

from balados.home import postgres_url
from examples.two_devices import Browser
from tests import leaks

ROOT = Path(__file__).resolve().parents[2]
# settings of the test run itself, which an instance must not inherit
STORES = ("DATABASE_URL", "PROJECTIONS_URL", "EVENT_STORE_URL", "REDIS_URL")
OURS = (*STORES, "BALADOS_HOME", "PUBLIC_URL", "SECRET_KEY")
PASSWORD = leaks.remember("correct horse battery staple")
SETUP_TOKEN = leaks.remember("chosen-by-the-operator")


class Instance:
    """A running instance; its output is kept so that it can be searched."""

    def __init__(self, home: Path, *arguments: str, **environment: str) -> None:
        self.home, self.arguments = home, arguments
        self.port = free_port()
        self.url = f"http://localhost:{self.port}"
        kept = {key: value for key, value in os.environ.items() if key not in OURS}
        # one web process starts faster than one for each processor
        ours = {"BALADOS_HOME": str(home), "PORT": str(self.port), "WEB_CONCURRENCY": "1"}
        # live connections would need one more process to start, and one more port
        ours |= {"LIVE": "off"}
        self.environment = {**kept, **ours, **environment}
        self.start()

    def start(self) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "balados.launch", *self.arguments],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=read, args=[self.process, self.lines], daemon=True)
        self._reader.start()

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def wait_until_ready(self) -> "Instance":
        # printed in the last of the lines that say what to do next
        eventually(lambda: "connect an app: " in self.output or self.process.poll() is not None, 120)
        assert self.process.poll() is None, self.output
        return self

    def set_up(self) -> None:
        """Create the first administrator with the link that the instance printed."""
        link = re.search(r"/setup\?token=(\S+)", self.output)
        assert link, self.output
        Browser(self.url).sign_up("alice", PASSWORD, link[1])

    def processes(self, part: str) -> list[psutil.Process]:
        """Return the instance's processes whose command line contains ``part``, parents first."""
        found = psutil.Process(self.process.pid).children(recursive=True)
        return [process for process in found if part in command_line(process)]

    def store(self) -> "psycopg.Connection[Any]":
        """Return a connection to the instance's database."""
        return psycopg.connect(postgres_url(self.home), autocommit=True)

    def manage(self, *arguments: str, **environment: str) -> str:
        """Return the output of a management command, run beside the instance as an operator would."""
        command = [sys.executable, "manage.py", *arguments]
        given = {**self.environment, **environment}
        run = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, timeout=120)
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    def everything(self) -> list[psutil.Process]:
        """Return the supervisor and all processes below it, including the children of PostgreSQL and of the
        web server."""
        supervisor = psutil.Process(self.process.pid)
        return [supervisor, *supervisor.children(recursive=True)]

    def restart(self) -> None:
        self.stop()
        self.start()
        self.wait_until_ready()

    def restart_killed(self) -> None:
        """Kill the supervisor, and at once start another on the same port while the programs of the first
        still run. Fails if any of those is left afterwards."""
        processes, killed, reader, lines = self.everything(), self.process, self._reader, self.lines
        killed.kill()
        killed.wait()
        self.start()
        self.wait_until_ready()
        assert left_of(processes) == []
        self._keep(killed, reader, lines)

    def interrupt(self) -> None:
        """Stop the instance with Ctrl-C at its terminal, which signals the whole process group."""
        self.stop(lambda: os.killpg(self.process.pid, signal.SIGINT))

    def stop(self, ask: Callable[[], None] | None = None) -> None:
        """Stop the instance in the orderly way, if it runs. Fails if its exit code is not 0 or one of its
        processes is left."""
        if self.process.poll() is None:
            processes = self.everything()
            (ask or self.process.terminate)()
            assert self.process.wait(60) == 0
            assert left_of(processes) == []
        self._keep(self.process, self._reader, self.lines)

    def _keep(self, process: "subprocess.Popen[str]", reader: threading.Thread, lines: list[str]) -> None:
        reader.join(10)
        leaks.keep(str(self.home), "\n".join(lines))
        assert process.stdout is not None
        process.stdout.close()


def read(process: "subprocess.Popen[str]", lines: list[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line.rstrip())  # noqa: PERF401  other threads read the list meanwhile


@contextmanager
def running(home: Path, **environment: str) -> Iterator[Instance]:
    """Run an instance from its ready line to its orderly stop."""
    if "DATABASE_URL" not in environment:
        with_stores(home)
    instance = Instance(home, **environment)
    try:
        yield instance.wait_until_ready()
    finally:
        instance.stop()


def with_stores(home: Path) -> None:
    """Copy the test run's cluster into a new home, if there is one to copy, so that the instance need not
    create a cluster and tables."""
    cluster = os.environ.get("TEST_CLUSTER")
    if cluster and not (home / "postgres").exists():
        home.mkdir(exist_ok=True)
        subprocess.run(["cp", "--archive", cluster, home / "postgres"], check=True)


def eventually(true: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until ``true()`` holds, for something that happens in other processes. Fails after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


def free_port() -> int:
    """Return a port that nobody listens on, below the range from which the kernel assigns ports: tests run in
    parallel, and the kernel may assign a port to a second test before the first has started to use it."""
    while True:
        port = random.randint(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def left_of(processes: list[psutil.Process]) -> list[str]:
    """Return the command lines of those processes that still run after a minute."""
    _, alive = psutil.wait_procs(processes, timeout=60)
    return [command_line(process) for process in alive]


def command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
