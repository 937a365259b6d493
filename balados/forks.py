"""Programs that are forks of one process, which has loaded what they need (``preloaded.py``)."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from threading import Event, Lock
from typing import Final, TypeAlias

import msgspec

LARGEST_ANSWER: Final = 4_096
Popen: TypeAlias = Callable[[Sequence[str], int], "subprocess.Popen[bytes]"]


class Forked:
    """A running program, with the part of the interface of ``subprocess.Popen`` that the supervisor needs."""

    def __init__(self, pid: int, descriptor: int, output: int, status: int) -> None:
        self.pid = pid
        self.stdout = os.fdopen(output, "rb")
        # a pidfd: unlike the process number, it can never refer to another process
        self._descriptor, self._status = descriptor, status

    def send_signal(self, number: int) -> None:
        """Send a signal; do nothing if the program has ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, number)

    def wait(self) -> int:
        """Wait until the program has ended. Returns its exit code, or the negative number of the signal that
        ended it; -SIGKILL if the process that would report the exit code has ended too."""
        ended = select.poll()
        ended.register(self._descriptor, select.POLLIN)
        ended.poll()
        with os.fdopen(self._status, "rb") as status:
            return int(status.read() or -signal.SIGKILL)

    def __del__(self) -> None:
        os.close(self._descriptor)


class Loader:
    """The process that forks, and the means to order programs from it. It is safe to use from several
    threads."""

    def __init__(self) -> None:
        self._lock, self._started = Lock(), Event()
        self._orders = socket.socket()

    def start(self, popen: Popen) -> "subprocess.Popen[bytes]":
        """Start the process, replacing one that has ended. ``popen`` starts a command that inherits one more
        descriptor.

        Orders may be given before: they are carried out when everything is loaded.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            number = theirs.fileno()
            process = popen([sys.executable, "-m", "balados.preloaded", str(number)], number)
        with self._lock:
            self._orders.close()
            self._orders = ours
        self._started.set()
        return process

    def fork(self, command: Sequence[str]) -> Forked:
        """Run ``command``, which is ``python`` and its arguments, in a fork. Raises ``OSError`` if that
        fails."""
        self._started.wait()
        output, output_of_program = os.pipe()
        status, status_of_program = os.pipe()
        try:
            with self._lock:
                pid, descriptor = self._order(command, [output_of_program, status_of_program])
        except BaseException:
            os.close(output)
            os.close(status)
            raise
        finally:
            os.close(output_of_program)
            os.close(status_of_program)
        return Forked(pid, descriptor, output, status)

    def close(self) -> None:
        """Close the channel for orders, upon which the process ends."""
        self._orders.close()

    def _order(self, command: Sequence[str], descriptors: list[int]) -> tuple[int, int]:
        socket.send_fds(self._orders, [msgspec.json.encode(command)], descriptors)
        answer, received, _, _ = socket.recv_fds(self._orders, LARGEST_ANSWER, 1)
        if not received:
            raise OSError(answer.decode() or "what it is a fork of has ended")
        return int(answer), received[0]
