"""The supervisor, run as a separate process on small programs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import chain

import psutil
import pytest

DRIVER = """
import math, subprocess, sys
from balados.supervisor import Program, StartFailed, StopRequested, Supervisor

def program(name, code, **options):
    def spawn():
        return subprocess.Popen([sys.executable, "-u", "-c", code], stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, start_new_session=True)
    return Program(name, spawn, **options)

STAY = "import os, time; print('pid', os.getpid()); time.sleep(60)"
PATIENT = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(print('bye')));" + STAY
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + STAY
MOTHER = "import subprocess; print('child', subprocess.Popen(['sleep', '60']).pid);" + STAY

with Supervisor(sys.stdout) as supervisor:
    try:
        BODY
    except (StopRequested, StartFailed) as why:
        supervisor.say(f"{type(why).__name__}: {why}")
    supervisor.stop(["first", "second"])
supervisor.say("end")
"""

KEEP_TWO = """
        supervisor.start(program("first", PATIENT))
        supervisor.start(program("second", PATIENT))
        supervisor.run_until(lambda: False, math.inf)
"""


class Driven:
    """A running supervisor, and the lines that it has printed so far."""

    def __init__(self, body: str) -> None:
        code = DRIVER.replace("        BODY\n", body)
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.lines: list[str] = []
        self.unasked: list[str] = []

    def line(self, *words: str) -> str:
        """Return the first line, not returned before, that has all these words; fails if the output ends
        first.

        Programs that run in parallel print in no fixed order.
        """
        assert self.process.stdout is not None
        for line in chain(tuple(self.unasked), self.process.stdout):
            if line not in self.unasked:
                self.lines.append(line)
                self.unasked.append(line)
            if all(word in line for word in words):
                self.unasked.remove(line)
                return line
        raise AssertionError(f"no line with {words} in:\n{''.join(self.lines)}")

    def pid(self, name: str) -> int:
        return int(self.line(name, "pid").split()[-1])


@pytest.fixture
def drive() -> Iterator[Callable[[str], Driven]]:
    started: list[Driven] = []

    def start(body: str) -> Driven:
        started.append(Driven(body))
        return started[-1]

    yield start
    for driven in started:
        driven.process.terminate()
        driven.process.communicate(timeout=30)


def lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def gone(pid: int, seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while lives(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not lives(pid)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_stops_its_programs_in_order_on(number: signal.Signals, drive: Callable[[str], Driven]) -> None:
    driven = drive(KEEP_TWO)
    pids = [driven.pid("first"), driven.pid("second")]
    driven.process.send_signal(number)
    driven.line("StopRequested", number.name)
    driven.line("end")
    byes = [line.split()[1] for line in driven.lines if "bye" in line]
    assert byes == ["first", "second"]
    assert driven.process.wait(timeout=60) == 0
    assert not any(lives(pid) for pid in pids)


def test_it_stops_when_its_terminal_goes_away() -> None:
    master, terminal = os.openpty()
    code = DRIVER.replace("        BODY\n", KEEP_TWO)
    printed = b""
    with subprocess.Popen([sys.executable, "-c", code], stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        while printed.count(b"\n") < 2:
            printed += os.read(master, 4096)
        os.close(master)
        assert process.wait(timeout=20) == 0
    pids = [int(line.split()[-1]) for line in printed.splitlines()]
    assert not any(lives(pid) for pid in pids)


def test_it_starts_again_what_was_killed_and_leaves_the_others_alone(drive: Callable[[str], Driven]) -> None:
    driven = drive(KEEP_TWO)
    first, second = driven.pid("first"), driven.pid("second")
    os.kill(first, signal.SIGKILL)
    driven.line("first was terminated by SIGKILL; restarting it")
    assert driven.pid("first") != first
    assert lives(second)


def test_it_kills_the_children_of_a_program_that_was_killed(drive: Callable[[str], Driven]) -> None:
    driven = drive("""
        supervisor.start(program("first", MOTHER))
        supervisor.run_until(lambda: False, math.inf)
""")
    child = int(driven.line("first", "child").split()[-1])
    os.kill(driven.pid("first"), signal.SIGKILL)
    driven.line("restarting it")
    assert gone(child)


def test_it_kills_what_does_not_stop_in_time(drive: Callable[[str], Driven]) -> None:
    driven = drive("""
        supervisor.start(program("first", STUBBORN, grace=0.2))
        supervisor.run_until(lambda: False, math.inf)
""")
    pid = driven.pid("first")
    driven.process.terminate()
    driven.line("first did not stop")
    driven.line("end")
    assert not lives(pid)


def test_it_gives_up_on_a_program_that_keeps_ending_at_the_start(drive: Callable[[str], Driven]) -> None:
    driven = drive("""
        supervisor.start(program("first", "print('no database'); raise SystemExit(3)"))
        supervisor.run_until(lambda: False, 30)
""")
    driven.line("first", "no database")
    driven.line("StartFailed: first keeps exiting")
    assert driven.process.wait(timeout=60) == 0


def test_it_fails_when_what_it_runs_once_fails(drive: Callable[[str], Driven]) -> None:
    driven = drive("""
        supervisor.run_once(program("once", "print('half', end=''); raise SystemExit(3)"), 30)
""")
    driven.line("once", "half")
    driven.line("StartFailed: once exited with code 3")


def test_a_stop_that_comes_while_something_runs_once_ends_that_too(drive: Callable[[str], Driven]) -> None:
    driven = drive("""
        supervisor.run_once(program("once", PATIENT), 30)
""")
    pid = driven.pid("once")
    driven.process.terminate()
    driven.line("end")
    assert not lives(pid)
