"""The web process: ``python -m balados.serve``. The only place that knows which HTTP server it is."""

import sys

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from balados import environment, settings

# One blocking thread holds at most one connection per store; 2 workers x 8 threads x 3 stores stay well below
# PostgreSQL's default of 100 connections.
THREADS = 8
# Connections that wait in the kernel, and requests that wait in a worker, before others are turned away.
BACKLOG, BACKPRESSURE = 512, 64
# One request's line and headers: a token is 8 KB at most. Bodies are limited by Django's settings.
HEADERS = HTTP1Settings(max_buffer_size=64 * 1024, header_read_timeout=10_000)


def server() -> MPServer:
    """No access log: addresses carry tokens (/authorize?token=, /setup?token=)."""
    return MPServer(
        "balados.wsgi:application",
        address=settings.LISTEN_HOST,
        port=settings.PORT,
        interface=Interfaces.WSGI,
        workers=settings.WEB_CONCURRENCY,
        blocking_threads=THREADS,
        backlog=BACKLOG,
        backpressure=BACKPRESSURE,
        http=HTTPModes.http1,
        http1_settings=HEADERS,
        websockets=False,
        log_level=LogLevels.error,
        log_access=False,
        respawn_failed_workers=True,
        respawn_interval=0.5,
        workers_kill_timeout=5,
    )


def main() -> None:
    if not settings.DATABASE_URL:
        sys.exit(f"balados: {environment.NO_STORE}")
    if not settings.SECRET_KEY:
        sys.exit("balados: SECRET_KEY is not set (docs/settings.md)")
    server().serve()


if __name__ == "__main__":
    main()
