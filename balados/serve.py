"""The web process, ``python -m balados.serve``: uvicorn, in processes that are forks of this one."""

import asyncio
import os
import resource
import socket
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

import django.db
import psycopg
import uvicorn
from django.db import connections

from balados import buffering, environment, settings, workers
from balados.protocol import CONNECTIONS, Protocol
from eventstore.instance import WrongStore
from projections import lag
from projections.connect import connect

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "balados.settings")

# connections that wait in the kernel
BACKLOG: Final = 512
# Seconds that a connection may be idle: longer than proxies keep theirs, so that none is closed just as
# a request is sent on it.
IDLE: Final = 130
CHECK_EVERY: Final = 1.0


class Server(uvicorn.Server):
    """Checks its connections every second, and otherwise does nothing while there are no requests."""

    async def main_loop(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        while not await self.on_tick(0):
            try:
                async with asyncio.timeout(CHECK_EVERY):
                    await self._stopping.wait()
            except TimeoutError:
                continue

    async def on_tick(self, counter: int) -> bool:
        now = self._loop.time()
        for connection in list(self.server_state.connections):
            if isinstance(connection, Protocol):
                connection.check(now)
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if self.started:
            self._loop.call_soon_threadsafe(self._stopping.set)


def configuration(application: Any) -> uvicorn.Config:
    """Return how an application is served. There is no access log, because addresses contain tokens
    (/authorize?token=, /setup?token=)."""
    return uvicorn.Config(
        application,
        http=Protocol,
        loop="uvloop",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=IDLE,
    )


def run(start: Callable[[], Any] = buffering.start) -> None:
    """Serve the application that ``start`` returns, called in each worker, until SIGTERM or Ctrl-C."""

    def work(own: socket.socket) -> None:
        Server(configuration(start())).run([own])

    host, port = settings.LISTEN_HOST, settings.PORT
    try:
        sockets = workers.listen(host, port, settings.WEB_CONCURRENCY, BACKLOG)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        sys.exit(f"balados: cannot listen on {host}:{port} ({reason}); choose another with PORT=...")
    workers.run(work, sockets)


def refuse_wrong_stores() -> None:
    """End this process if a store belongs to another instance, or if the log is older than the read models.
    An unavailable store is ignored here: it is checked again when it is used."""
    aliases = ("projections", "events")
    try:
        for alias in aliases:
            connect(alias).close()  # fails at once if the store is unavailable
        lag.check_log()
    except WrongStore as reason:
        sys.exit(f"balados: {reason}")
    except (psycopg.Error, django.db.Error):
        return
    finally:
        for alias in aliases:
            connections[alias].close()
            connections[alias].close_pool()  # type: ignore[attr-defined]


def main() -> None:
    if not settings.DATABASE_URL:
        sys.exit(f"balados: {environment.NO_STORE}")
    if not settings.SECRET_KEY:
        sys.exit("balados: SECRET_KEY is not set (docs/settings.md)")
    refuse_wrong_stores()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 2 * CONNECTIONS), most))
    run()


if __name__ == "__main__":
    main()
