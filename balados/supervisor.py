"""Keeps programs running until it is told to stop, their output behind one prefix each.

honcho reads the Procfile and prints; its Manager is not used, because it stops everything when one program
ends. The reasons are in docs/decisions/0001-supervisor.md.
"""

import contextlib
import datetime
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Lock, Thread
from typing import IO

from honcho.colour import get_colours
from honcho.printer import Message, Printer

OWN_PREFIX = "balados"
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# seconds between two looks at the programs, the signals and the terminal
INTERVAL = 0.1
# A program that lived shorter than this before it ended waits before its next start, ever longer.
SHORT_LIFE = 10.0
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 10.0


class StopRequested(Exception):
    """A signal asked us to stop."""


class StartFailed(Exception):
    """A program does not come up; the text says which and why."""


@dataclass
class Program:
    """What to keep running: ``spawn`` starts it in a session of its own, its output on a pipe or not."""

    name: str
    spawn: Callable[[], "subprocess.Popen[bytes]"]
    stop_signal: signal.Signals = signal.SIGTERM
    # seconds from the stop signal to kill -9
    grace: float = 10.0
    colour: str = ""
    process: "subprocess.Popen[bytes] | None" = None
    reader: Thread | None = None
    started_at: float = 0.0
    # when to start it again, by the monotonic clock
    start_at: float | None = None
    short_lives: int = 0


class Supervisor:
    """Starts, watches and stops programs in the main thread; one thread per program prints its lines.

    Use it as a context manager: what still runs at the end is stopped, the last started first.
    """

    def __init__(self, output: IO[str]) -> None:
        self._printer, self._printing = Printer(output, width=len(OWN_PREFIX)), Lock()
        self._output, self._on_terminal = output, output.isatty()
        self._colours = get_colours()
        self._programs: dict[str, Program] = {}
        self._signal: int | None = None

    def __enter__(self) -> "Supervisor":
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(reversed(self._programs))

    def start(self, program: Program) -> None:
        """Start a program, and start it again whenever it ends, until ``stop``."""
        self._add(program)
        self._spawn(program)

    def run_until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Keep everything running until ``condition`` holds. Raises ``StopRequested``, or ``StartFailed``
        after ``seconds`` or when a program ended three times in a row."""
        deadline = time.monotonic() + seconds
        while not condition():
            self._turn()
            for program in self._programs.values():
                if program.short_lives >= 3:
                    raise StartFailed(f"{program.name} keeps ending; see its lines above")
            if time.monotonic() > deadline:
                raise StartFailed(f"not ready after {seconds:.0f} seconds")

    def run_once(self, program: Program, seconds: float) -> None:
        """Run a program to its end. Raises ``StartFailed`` when it fails, ``StopRequested`` as above."""
        self._add(program)
        self._spawn(program)
        deadline = time.monotonic() + seconds
        while _runs(program) and time.monotonic() < deadline:
            self._pause()
        code = self._end(program)
        del self._programs[program.name]
        if code != 0:
            raise StartFailed(f"{program.name} {_how_it_ended(code)}")

    def run(self) -> None:
        """Keep everything running until a signal asks to stop, which raises ``StopRequested``."""
        while True:
            self._turn()

    def stop(self, names: Iterable[str]) -> None:
        """Stop the named programs one after the other, each by its own signal, and by kill -9 after its
        grace."""
        for program in [self._programs[name] for name in names if name in self._programs]:
            if program.process is not None:
                with contextlib.suppress(ProcessLookupError):
                    program.process.send_signal(program.stop_signal)
                deadline = time.monotonic() + program.grace
                while _runs(program) and time.monotonic() < deadline:
                    time.sleep(INTERVAL / 2)
                if _runs(program):
                    self.say(f"{program.name} did not stop within {program.grace:.0f} seconds: killing it")
                self._end(program)
            del self._programs[program.name]

    def say(self, text: str) -> None:
        """Print a line of the supervisor's own."""
        self._print(OWN_PREFIX, text.encode(), None)

    def _pause(self) -> None:
        time.sleep(INTERVAL)
        # a terminal that has gone tells its session leader alone, and make would wait for us for ever
        if self._on_terminal and not self._output.isatty():
            self._signal = signal.SIGHUP
        if self._signal is not None:
            raise StopRequested(signal.Signals(self._signal).name)

    def _turn(self) -> None:
        """Wait a moment, then start again what has ended."""
        self._pause()
        now = time.monotonic()
        for program in self._programs.values():
            if program.process is not None and not _runs(program):
                self._start_later(program, _how_it_ended(self._end(program)), now)
            elif program.start_at is not None and now >= program.start_at:
                try:
                    self._spawn(program)
                except OSError as error:  # no memory, no process slot: try again later
                    self._start_later(program, f"does not start ({error})", now)

    def _start_later(self, program: Program, why: str, now: float) -> None:
        short_lived = now - program.started_at < SHORT_LIFE
        program.short_lives = program.short_lives + 1 if short_lived else 1
        # the exponent is limited lest the power overflow
        program.start_at = now + min(FIRST_PAUSE * 2 ** min(program.short_lives - 1, 10), LONGEST_PAUSE)
        self.say(f"{program.name} {why}; starting it again")

    def _add(self, program: Program) -> None:
        self._programs[program.name] = program
        self._printer.width = max(self._printer.width, len(program.name))
        program.colour = next(self._colours)

    def _spawn(self, program: Program) -> None:
        program.start_at, program.started_at = None, time.monotonic()
        program.process = program.spawn()
        if program.process.stdout is not None:
            program.reader = Thread(target=self._read, args=(program, program.process.stdout), daemon=True)
            program.reader.start()

    def _end(self, program: Program) -> int:
        """Kill what is left of it (children of a leader that was killed) and print its last lines. Returns
        its exit code."""
        process, program.process = program.process, None
        assert process is not None
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
        if program.reader is not None:
            program.reader.join(timeout=1)
        return code

    def _read(self, program: Program, lines: IO[bytes]) -> None:
        with lines:
            for line in lines:
                self._print(program.name, line, program.colour)

    def _print(self, name: str, data: bytes, colour: str | None) -> None:
        now = datetime.datetime.now()  # noqa: DTZ005  local time, for whoever reads the terminal
        # the terminal may be gone (SIGHUP): that must not keep us from stopping in order
        with self._printing, contextlib.suppress(OSError, ValueError):
            self._printer.write(Message(type="line", data=data, time=now, name=name, colour=colour))

    def _on_signal(self, number: int, frame: object) -> None:
        self._signal = number


def _runs(program: Program) -> bool:
    return program.process is not None and program.process.poll() is None


def _how_it_ended(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
