"""Keeps programs running until it is told to stop, their output behind one prefix each.

honcho reads the Procfile and prints; its Manager is not used, because it stops everything when one program
ends. The reasons are in docs/decisions/0001-supervisor.md.
"""

import contextlib
import datetime
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import IO

from honcho.colour import get_colours
from honcho.printer import Message, Printer

OURSELVES = "balados"  # our own lines' prefix
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
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
    # takes its lines in place of the log
    on_line: Callable[[bytes], None] | None = None
    process: "subprocess.Popen[bytes] | None" = None
    colour: str = ""
    started_at: float = 0.0
    start_at: float | None = None
    short_lives: int = 0
    rest: bytes = field(default=b"", repr=False)


class Supervisor:
    """One thread, one ``select``: output, signals and ended children wake it. Use as a context manager."""

    def __init__(self, output: IO[str]) -> None:
        self._printer = Printer(output, width=len(OURSELVES))
        self._output, self._on_terminal = output, output.isatty()
        self._colours = get_colours()
        self._programs: dict[str, Program] = {}
        self._selector = selectors.DefaultSelector()
        self._stop_signal: int | None = None
        self._stopping = False
        self._wake, self._woken = socket.socketpair()
        for end in (self._wake, self._woken):
            end.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)

    def __enter__(self) -> "Supervisor":
        signal.set_wakeup_fd(self._wake.fileno())
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_stop_signal)
        # the handler does nothing, but without one SIGCHLD would not wake the select
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop whatever still runs, the last started first."""
        self.stop(reversed(self._programs))

    def start(self, program: Program) -> None:
        """Start a program, and start it again whenever it ends, until ``stop``."""
        self._programs[program.name] = program
        self._printer.width = max(self._printer.width, len(program.name))
        program.colour = next(self._colours)
        self._spawn(program)

    def run_until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Work until ``condition`` holds. Raises ``StopRequested``, or ``StartFailed`` after ``seconds`` or
        when a program ended three times."""
        deadline = time.monotonic() + seconds
        while not condition():
            self._turn(0.05)
            for program in self._programs.values():
                if program.short_lives >= 3:
                    raise StartFailed(f"{program.name} keeps ending; see its lines above")
            if time.monotonic() > deadline:
                raise StartFailed(f"not ready after {seconds:.0f} seconds")

    def run_once(self, program: Program, seconds: float) -> None:
        """Run a program to its end. Raises ``StartFailed`` when it fails, ``StopRequested`` as above."""
        self._programs[program.name] = program
        self._printer.width = max(self._printer.width, len(program.name))
        process = program.process = self._watched(program)
        deadline = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < deadline:
            self._turn(0.05, restart=False)
        self._end(program)
        del self._programs[program.name]
        if process.returncode != 0:
            raise StartFailed(f"{program.name} {_how_it_ended(process.returncode)}")

    def run(self) -> None:
        """Work until a signal asks to stop, which raises ``StopRequested``."""
        while True:
            self._turn(1.0)

    def stop(self, names: Iterable[str]) -> None:
        """Stop the named programs one after the other, each with its own signal, then by force."""
        self._stopping = True
        for name in list(names):
            program = self._programs.get(name)
            if program is None or program.process is None:
                continue
            process = program.process
            _signal(process, program.stop_signal)
            deadline = time.monotonic() + program.grace
            while process.poll() is None and time.monotonic() < deadline:
                self._turn(0.05, restart=False)
            if process.poll() is None:
                self.say(f"{name} did not stop within {program.grace:.0f} seconds: killing it")
            self._end(program)

    def say(self, text: str) -> None:
        self._print(OURSELVES, text.encode(), None)

    def _turn(self, timeout: float, *, restart: bool = True) -> None:
        for key, _ in self._selector.select(timeout):
            if isinstance(key.data, Program):
                self._read(key.data, key.fd)
            else:
                with contextlib.suppress(BlockingIOError):
                    self._woken.recv(4096)
        # a terminal that has gone tells its session leader alone, and make would wait for us for ever
        if self._on_terminal and not self._output.isatty():
            self._stop_signal = signal.SIGHUP
        if self._stop_signal is not None and not self._stopping:
            raise StopRequested(signal.Signals(self._stop_signal).name)
        if restart:
            self._restart()

    def _restart(self) -> None:
        now = time.monotonic()
        for program in self._programs.values():
            if program.process is not None and program.process.poll() is not None:
                how = _how_it_ended(program.process.returncode)
                self._end(program)
                self._start_later(program, how, now)
            elif program.start_at is not None and now >= program.start_at:
                try:
                    self._spawn(program)
                except OSError as error:  # no memory, no process slot: try again later
                    self._start_later(program, f"does not start ({error})", now)

    def _start_later(self, program: Program, why: str, now: float) -> None:
        short_lived = now - program.started_at < SHORT_LIFE
        program.short_lives = program.short_lives + 1 if short_lived else 1
        # the exponent is capped lest the power overflow
        program.start_at = now + min(FIRST_PAUSE * 2 ** min(program.short_lives - 1, 10), LONGEST_PAUSE)
        self.say(f"{program.name} {why}; starting it again")

    def _spawn(self, program: Program) -> None:
        program.start_at, program.started_at = None, time.monotonic()
        program.process = self._watched(program)

    def _watched(self, program: Program) -> "subprocess.Popen[bytes]":
        process = program.spawn()
        if process.stdout is not None:
            os.set_blocking(process.stdout.fileno(), False)
            self._selector.register(process.stdout, selectors.EVENT_READ, program)
        return process

    def _end(self, program: Program) -> None:
        """Kill what is left of it (children of a leader that was killed), print its last words, forget it."""
        process, program.process = program.process, None
        assert process is not None
        _signal_group(process, signal.SIGKILL)
        process.wait()
        if process.stdout is None:
            return
        with contextlib.suppress(KeyError):
            self._selector.get_key(process.stdout)
            self._read(program, process.stdout.fileno())
        with contextlib.suppress(KeyError):
            self._selector.unregister(process.stdout)
        process.stdout.close()
        if program.rest:
            self._line(program, program.rest)
            program.rest = b""

    def _read(self, program: Program, descriptor: int) -> None:
        try:
            data = os.read(descriptor, 1 << 16)
        except BlockingIOError:
            return
        if not data:
            self._selector.unregister(descriptor)
            return
        *lines, program.rest = (program.rest + data).split(b"\n")
        for line in lines:
            self._line(program, line)

    def _line(self, program: Program, line: bytes) -> None:
        if program.on_line:
            program.on_line(line)
        else:
            self._print(program.name, line, program.colour)

    def _print(self, name: str, data: bytes, colour: str | None) -> None:
        # the terminal may be gone (SIGHUP): that must not keep us from stopping in order
        with contextlib.suppress(OSError, ValueError):
            now = datetime.datetime.now()  # noqa: DTZ005  for the eye of whoever sits before it
            self._printer.write(Message(type="line", data=data, time=now, name=name, colour=colour))

    def _on_stop_signal(self, number: int, frame: object) -> None:
        self._stop_signal = number


def _signal(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


def _signal_group(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _how_it_ended(returncode: int) -> str:
    if returncode < 0:
        return f"was ended by {signal.Signals(-returncode).name}"
    return f"ended with code {returncode}"
