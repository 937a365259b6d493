"""The processes that answer requests: forks of this one, which replaces those that end."""

import multiprocessing
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess
from typing import Final

from setproctitle import getproctitle, setproctitle

from balados import embedded

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
# seconds that workers have to end in order, before kill -9
GRACE: Final = 5.0
# A worker that ends sooner than this after its start, in seconds, would end again.
SHORT_LIFE: Final = 5.0

Work = Callable[[socket.socket], None]


def listen(host: str, port: int, count: int, backlog: int) -> list[socket.socket]:
    """Return a listening socket for each of ``count`` workers. Raises ``OSError`` if the port is in use."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # tried alone first: a shared port would be shared with any other program of this user
    alone = socket.create_server((host, port), family=family, backlog=backlog)
    if sys.platform != "linux":
        return [alone.dup() for _ in range(count)]
    address = alone.getsockname()[:2]
    alone.close()
    # the kernel distributes connections over the sockets
    return [
        socket.create_server(address, family=family, backlog=backlog, reuse_port=True) for _ in range(count)
    ]


def run(work: Work, sockets: Sequence[socket.socket]) -> None:
    """Run ``work`` with each of the sockets, in a process each, until SIGTERM or SIGINT.

    Connections that wait on the socket of a worker that ended are answered by the next. Raises ``SystemExit``
    if one ends soon after its start.
    """
    asked, asking = socket.socketpair()
    asking.setblocking(False)
    signal.set_wakeup_fd(asking.fileno())
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: None)  # the wake-up alone matters
    workers = {each: _start(work, each, sockets) for each in sockets}
    began = dict.fromkeys(sockets, time.monotonic())
    try:
        while asked not in (ended := wait([asked, *(worker.sentinel for worker in workers.values())])):
            for each, worker in workers.items():
                if worker.sentinel not in ended:
                    continue
                worker.join()
                problem = f"balados: a process that answers requests ended ({_ending(worker)})"
                if time.monotonic() - began[each] < SHORT_LIFE:
                    sys.exit(problem)
                print(f"{problem}; replacing it", file=sys.stderr, flush=True)
                workers[each], began[each] = _start(work, each, sockets), time.monotonic()
    finally:
        _stop(sockets, workers.values())


def _start(work: Work, own: socket.socket, sockets: Iterable[socket.socket]) -> ForkProcess:
    ask_to_end_with_parent = embedded.end_with_parent(signal.SIGTERM)

    def begin() -> None:
        signal.set_wakeup_fd(-1)
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        if ask_to_end_with_parent:
            ask_to_end_with_parent()
        setproctitle(f"{getproctitle()} worker")
        for other in sockets:
            if other is not own:
                other.close()
        work(own)

    worker = multiprocessing.get_context("fork").Process(target=begin)
    worker.start()
    return worker


def _stop(sockets: Iterable[socket.socket], workers: Iterable[ForkProcess]) -> None:
    for each in sockets:
        each.close()
    for worker in workers:
        worker.terminate()
    until = time.monotonic() + GRACE
    for worker in workers:
        worker.join(max(0.0, until - time.monotonic()))
        if worker.is_alive():
            worker.kill()
            worker.join()


def _ending(worker: ForkProcess) -> str:
    code = worker.exitcode or 0
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
