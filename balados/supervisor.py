"""Keeps programs running until it is told to stop, and prints their output, each line with the program's
name.

honcho reads the Procfile and prints; its Manager is not used, because it stops everything when one program
ends. The reasons are in docs/decisions/0001-supervisor.md.
"""

import contextlib
import datetime
import math
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import IO, Protocol

from honcho.colour import get_colours
from honcho.printer import Message, Printer

OWN_PREFIX = "balados"
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# seconds between two checks of the programs and the terminal: during start-up, and afterwards
INTERVAL, AT_REST = 0.1, 2.0
# Seconds: a program that ended sooner than this after its start waits before its next start, longer each
# time.
SHORT_LIFE = 10.0
PAUSES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0)


class StopRequested(Exception):
    """A signal has asked us to stop."""


class StartFailed(Exception):
    """A program does not start; the text says which and why."""


class Process(Protocol):
    """A running process, with the interface of ``subprocess.Popen``."""

    pid: int

    @property
    def stdout(self) -> IO[bytes] | None: ...

    def wait(self) -> int: ...

    def send_signal(self, sig: int, /) -> None: ...


@dataclass
class Program:
    """A program to keep running. ``spawn`` starts it in a session of its own, with or without a pipe for its
    output."""

    name: str
    spawn: Callable[[], Process]
    stop_signal: signal.Signals = signal.SIGTERM
    # seconds between the stop signal and kill -9
    grace: float = 10.0
    colour: str = ""
    # Lines for which this is true are not printed: the function's owner prints them later.
    keeps: Callable[[bytes], bool] = lambda line: False
    process: Process | None = None
    keeper: Thread = field(default_factory=Thread)
    # Once ``stopping`` is set, the program is not started again. ``starting`` is held during a start and
    # while the stop signal is sent, so that the signal does not miss a process that is just being started.
    stopping: Event = field(default_factory=Event)
    starting: Lock = field(default_factory=Lock)
    # how many times in a row it ended soon after its start
    short_lives: int = 0


class Supervisor:
    """Starts programs, each kept running by its own thread, and stops them.

    To be used as a context manager in the main thread, which receives the signals. What still runs at the end
    is stopped, the last started first.
    """

    def __init__(self, output: IO[str]) -> None:
        self._printer, self._printing = Printer(output, width=len(OWN_PREFIX)), Lock()
        self._output, self._on_terminal = output, output.isatty()
        self._colours = get_colours()
        self._programs: dict[str, Program] = {}
        self._signal: int | None = None
        # the interpreter writes to it when a signal arrives, which wakes up the reader
        self._asked, self._asking = socket.socketpair()

    def __enter__(self) -> "Supervisor":
        self._asking.setblocking(False)
        signal.set_wakeup_fd(self._asking.fileno(), warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(tuple(reversed(self._programs)))
        signal.set_wakeup_fd(-1)
        self._asked.close()
        self._asking.close()

    def start(self, program: Program) -> None:
        """Start a program, and restart it whenever it ends, until ``stop``."""
        self._run_in_thread(program, self._keep)

    def run_once(self, program: Program, seconds: float) -> None:
        """Run a program to its end. Raises ``StartFailed`` if it fails, and ``StopRequested`` on a signal."""
        endings: list[str] = []
        self._run_in_thread(program, lambda program: endings.append(self._run(program)))
        self.run_until(lambda: bool(endings), seconds)
        del self._programs[program.name]
        if endings != ["exited with code 0"]:
            raise StartFailed(f"{program.name} {endings[0]}")

    def run_until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Keep everything running until ``condition`` holds. Raises ``StopRequested`` on a signal, and
        ``StartFailed`` after ``seconds`` or when a program has ended three times in a row."""
        deadline = time.monotonic() + seconds
        while not condition():
            select.select([self._asked], [], [], INTERVAL if deadline < math.inf else AT_REST)
            # When a terminal closes, only its session leader is notified; without this check, make would wait
            # for us for ever.
            if self._on_terminal and not self._output.isatty():
                self._signal = signal.SIGHUP
            if self._signal is not None:
                raise StopRequested(signal.Signals(self._signal).name)
            failing = [program.name for program in self._programs.values() if program.short_lives >= 3]
            if failing and deadline < math.inf:
                raise StartFailed(f"{failing[0]} keeps exiting; see its output above")
            if time.monotonic() > deadline:
                raise StartFailed(f"not ready after {seconds:.0f} seconds")

    def stop(self, names: Iterable[str]) -> None:
        """Stop the named programs one after the other, each by its own signal, and by kill -9 if it takes
        longer than its ``grace``."""
        for program in [self._programs.pop(name) for name in names if name in self._programs]:
            with program.starting:
                program.stopping.set()
                if program.process is not None:
                    program.process.send_signal(program.stop_signal)
            program.keeper.join(program.grace)
            if program.keeper.is_alive() and program.process is not None:
                self.say(f"{program.name} did not stop within {program.grace:.0f} seconds: killing it")
                kill_group(program.process)
            program.keeper.join()

    def say(self, text: str) -> None:
        """Print a line of the supervisor's own."""
        self._print(OWN_PREFIX, text.encode(), None)

    def _run_in_thread(self, program: Program, run: Callable[[Program], None]) -> None:
        self._programs[program.name] = program
        self._printer.width = max(self._printer.width, len(program.name))
        program.colour = next(self._colours)
        program.keeper = Thread(target=run, args=(program,), daemon=True)
        program.keeper.start()

    def _keep(self, program: Program) -> None:
        while not program.stopping.is_set():
            started = time.monotonic()
            ending = self._run(program)
            if program.stopping.is_set():
                return
            short_lived = time.monotonic() - started < SHORT_LIFE
            program.short_lives = program.short_lives + 1 if short_lived else 1
            self.say(f"{program.name} {ending}; restarting it")
            program.stopping.wait(PAUSES[min(program.short_lives, len(PAUSES)) - 1])

    def _run(self, program: Program) -> str:
        """Run the program once and kill the children that it leaves behind; returns how it ended."""
        with program.starting:
            if program.stopping.is_set():
                return "was not started"
            try:
                program.process = process = program.spawn()
            except OSError as error:  # out of memory or process slots
                return f"could not be started ({error})"
        reader = Thread(target=self._print_lines, args=(program, process.stdout), daemon=True)
        reader.start()
        code = process.wait()
        kill_group(process)
        reader.join(timeout=1)
        return f"was terminated by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"

    def _print_lines(self, program: Program, lines: IO[bytes] | None) -> None:
        for line in lines or ():
            if not program.keeps(line):
                self._print(program.name, line, program.colour)

    def _print(self, name: str, data: bytes, colour: str | None) -> None:
        now = datetime.datetime.now()  # noqa: DTZ005  local time, for whoever reads the terminal
        # the terminal may be gone (SIGHUP), which must not keep us from stopping in order
        with self._printing, contextlib.suppress(OSError, ValueError):
            self._printer.write(Message(type="line", data=data, time=now, name=name, colour=colour))

    def _on_signal(self, number: int, frame: object) -> None:
        self._signal = number


def kill_group(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
