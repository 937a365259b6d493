"""A process that ends as by kill -9, without the seconds that it takes to start one."""

import os
import signal
import time
import traceback
import warnings
from collections.abc import Callable

from django.db import connections


class Copy:
    """A copy of this process that does ``work`` and ends: with 0, or with 1 where that raises.

    Connections to the stores are closed first: nobody shares them.
    """

    def __init__(self, work: Callable[[], object]) -> None:
        for connection in connections.all():
            connection.close()
            getattr(connection, "close_pool", connection.close)()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads, whose locks nothing here needs
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
        """The exit code, negative for a signal; None while it runs."""
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
        """End it, whatever it does."""
        if self.poll() is None:
            self.send_signal(signal.SIGKILL)
            self.wait()


def killed_at(point: str, work: Callable[[], object]) -> None:
    """Do ``work`` in a copy of this process, which is killed when it reaches the failpoint ``point``.

    Fails where it ends in any other way.
    """

    def work_until_killed() -> None:
        os.environ["BALADOS_FAILPOINT"] = point
        work()

    assert Copy(work_until_killed).wait(600) == -signal.SIGKILL, f"{point} was not reached"
