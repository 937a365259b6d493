"""The process that ``make run`` forks programs from (Linux): a Python that has loaded what all of them need.

Programs started this way are ready at once, and share the memory of what was loaded (decision 25). The
process has one thread and no connection, so that a fork inherits nothing in a half-finished state.

Run as ``python -m balados.preloaded NUMBER``: the number is the descriptor of the socket on which
``forks.py`` sends its orders.
"""

import gc
import importlib
import os
import runpy
import selectors
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Final, NamedTuple

import django
import msgspec
from setproctitle import setproctitle

from balados import embedded

# what programs import, besides Django's applications, only once they run
MODULES: Final = (
    "balados.urls",
    "balados.protocol",
    "balados.workers",
    "uvicorn.lifespan.off",
    "uvicorn.loops.uvloop",
    "projections.runner",
    "operations.command",
    "operations.rebuilding",
    "live.server",
    "live.requests",
    "balados.worker",
    "celery.bin.celery",
    "celery.apps.worker",
    "celery.concurrency.thread",
    "celery.worker.consumer",
    "celery.worker.worker",
    "kombu.transport.redis",
    "psycopg_pool",
)
LARGEST_ORDER: Final = 65_536


class Child(NamedTuple):
    pid: int
    # the descriptor to which its exit code is written
    status: int


class ForkServer:
    """Forks the programs that are ordered on a socket, and reports how each of them ended."""

    def __init__(self, orders: socket.socket) -> None:
        self._orders = orders
        self._children: dict[int, Child] = {}
        self._events = selectors.DefaultSelector()
        self._events.register(orders, selectors.EVENT_READ)

    def next_program(self) -> list[str]:
        """Return, in each fork, the command that this process is to run. In the original process it does not
        return; ``SystemExit`` is raised when the other end of the socket has closed."""
        while True:
            for key, _ in self._events.select():
                if key.fileobj is not self._orders:
                    self._reap(key.fd)
                elif command := self._carry_out():
                    return command

    def _carry_out(self) -> list[str] | None:
        """Carry out one order. Returns the command in the fork, None in the parent."""
        order, descriptors, _, _ = socket.recv_fds(self._orders, LARGEST_ORDER, 2)
        if not order:
            sys.exit()
        output, status = descriptors
        ask_to_end_with_parent = embedded.end_with_parent(signal.SIGTERM)
        try:
            pid = os.fork()
        except OSError as error:  # out of memory or process slots
            self._orders.send(str(error).encode())
            os.close(status)
        else:
            if not pid:
                self._detach(output, status)
                if ask_to_end_with_parent:
                    ask_to_end_with_parent()
                return msgspec.json.decode(order, type=list[str])
            self._watch(pid, status)
        os.close(output)
        return None

    def _watch(self, pid: int, status: int) -> None:
        descriptor = os.pidfd_open(pid)
        self._children[descriptor] = Child(pid, status)
        self._events.register(descriptor, selectors.EVENT_READ)
        socket.send_fds(self._orders, [str(pid).encode()], [descriptor])

    def _reap(self, descriptor: int) -> None:
        child = self._children.pop(descriptor)
        self._events.unregister(descriptor)
        os.close(descriptor)
        _, status = os.waitpid(child.pid, 0)
        os.write(child.status, str(os.waitstatus_to_exitcode(status)).encode())
        os.close(child.status)

    def _detach(self, output: int, status: int) -> None:
        """In the fork: start a session of its own, send its output to ``output``, and close the parent's
        descriptors."""
        os.setsid()
        os.dup2(output, sys.stdout.fileno())
        os.dup2(output, sys.stderr.fileno())
        self._events.close()
        self._orders.close()
        for descriptor in (
            output,
            status,
            *self._children,
            *(each.status for each in self._children.values()),
        ):
            os.close(descriptor)


def load() -> None:
    """Import what programs need."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "balados.settings")
    django.setup()
    for name in MODULES:
        importlib.import_module(name)
    from balados.celery import app

    app.loader.import_default_modules()


def run(command: Sequence[str]) -> None:
    """Run ``python -m module …`` or ``python script …`` in this process."""
    setproctitle(" ".join(command))
    _, *arguments = command
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")


def main(descriptor: str) -> None:
    load()
    # A garbage collection in a fork would write into each shared object, and so copy its memory page.
    # Freezing excludes the objects from it.
    gc.collect()
    gc.freeze()
    run(ForkServer(socket.socket(fileno=int(descriptor))).next_program())


if __name__ == "__main__":
    main(sys.argv[1])
