"""The web process: ``python -m balados.serve``. The only place that knows which HTTP server it is."""

import os
import sys

from balados import settings

# One blocking thread holds at most one connection per store; 2 workers x 8 threads x 3 stores stay well below
# PostgreSQL's default of 100 connections.
THREADS = 8
# Connections that wait in the kernel, and requests that wait in a worker, before others are turned away.
BACKLOG, BACKPRESSURE = 512, 64
# One request's line and headers: a token is 8 KB at most, and so is the longest address.
HEADERS = 64 * 1024
HEADER_SECONDS = 10


def command() -> list[str]:
    """Granian's command line. No access log: addresses carry tokens (/authorize?token=, /setup?token=)."""
    options = {
        "interface": "wsgi",
        "host": settings.LISTEN_HOST,
        "port": settings.PORT,
        "workers": settings.WEB_CONCURRENCY,
        "blocking-threads": THREADS,
        "backlog": BACKLOG,
        "backpressure": BACKPRESSURE,
        "http": 1,
        "http1-buffer-size": HEADERS,
        "http1-header-read-timeout": HEADER_SECONDS * 1000,
        "workers-kill-timeout": 8,
        "respawn-interval": 0.5,
        "log-level": "warning",
    }
    named = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    granian = [sys.executable, "-m", "granian", *named]
    return [*granian, "--no-ws", "--respawn-failed-workers", "balados.wsgi:application"]


def main() -> None:
    if not settings.SECRET_KEY:
        sys.exit("balados: SECRET_KEY is not set (docs/settings.md)")
    arguments = command()
    # no process of ours stays between the server and the supervisor's signals
    os.execv(arguments[0], arguments)  # noqa: S606


if __name__ == "__main__":
    main()
