"""A process that ends as by kill -9, without the seconds that it takes to start one."""

import os
import signal
import traceback
import warnings
from collections.abc import Callable

from django.db import connections


def killed_at(point: str, work: Callable[[], object]) -> None:
    """Do ``work`` in a copy of this process, which is killed when it reaches the failpoint ``point``.

    Fails where it ends in any other way. Connections to the stores are closed first: nobody shares them.
    """
    for connection in connections.all():
        connection.close()
        getattr(connection, "close_pool", connection.close)()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, whose locks nothing here needs
        process = os.fork()
    if process == 0:
        try:
            os.environ["BALADOS_FAILPOINT"] = point
            work()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    ended = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert ended == -signal.SIGKILL, f"{point} was not reached"
