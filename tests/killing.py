"""Processes that end as by kill -9, without the seconds that starting a new Python takes."""

import os
import signal
import time
import traceback
import warnings
from collections.abc import Callable

from django.db import connections


class Copy:
    """A fork of this process that does ``work`` and exits: with 0, or with 1 if that raises.

    Connections to the stores are closed first, so that they are not shared.
    """

    def __init__(self, work: Callable[[], object]) -> None:
        for connection in connections.all():
            connection.close()
            getattr(connection, "close_pool", connection.close)()
        with warnings.catch_warnings():
            # it warns of other threads, whose locks are not needed here
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = os.fork()
        if self.pid == 0:
            try:
                work()
                os._exit(0)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        self._ended: int | None = None

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while the process runs."""
        if self._ended is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._ended = os.waitstatus_to_exitcode(status) if pid else None
        return self._ended

    def wait(self, seconds: float = 30.0) -> int:
        deadline = time.monotonic() + seconds
        while (ended := self.poll()) is None:
            assert time.monotonic() < deadline, "it did not end"
            time.sleep(0.002)
        return ended

    def kill(self) -> None:
        """End the process by SIGKILL if it still runs."""
        if self.poll() is None:
            self.send_signal(signal.SIGKILL)
            self.wait()


def killed_at(point: str, work: Callable[[], object]) -> None:
    """Do ``work`` in a fork of this process, which is killed when it reaches the failpoint ``point``.

    Fails if the fork ends in any other way.
    """

    def work_until_killed() -> None:
        os.environ["BALADOS_FAILPOINT"] = point
        work()

    assert Copy(work_until_killed).wait(600) == -signal.SIGKILL, f"{point} was not reached"
