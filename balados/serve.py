"""The web process: ``python -m balados.serve``. The only place that knows which HTTP server it is."""

import os
import resource
import sys

import django.db
import psycopg
from django.db import connections
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from balados import environment, settings
from eventstore.instance import WrongStore
from projections import lag
from projections.connect import connect

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "balados.settings")

# Connections that wait in the kernel, and that a worker has at once, idle and slow ones included.
BACKLOG, CONNECTIONS = 512, 4096
# One request's line and headers: room for balados/buffering.py to refuse them in words, since the server
# refuses what is larger without a body. Bodies are limited there as well.
HEADERS = HTTP1Settings(max_buffer_size=192 * 1024, header_read_timeout=10_000)


def server() -> MPServer:
    """No access log: addresses carry tokens (/authorize?token=, /setup?token=)."""
    return MPServer(
        "balados.buffering:start",
        factory=True,
        address=settings.LISTEN_HOST,
        port=settings.PORT,
        interface=Interfaces.ASGINL,
        workers=settings.WEB_CONCURRENCY,
        backlog=BACKLOG,
        backpressure=CONNECTIONS,
        http=HTTPModes.http1,
        http1_settings=HEADERS,
        websockets=False,
        log_level=LogLevels.error,
        log_access=False,
        respawn_failed_workers=True,
        respawn_interval=0.5,
        workers_kill_timeout=5,
        process_name="python -m balados.serve",
    )


def refuse_wrong_stores() -> None:
    """End this process where a store is another instance's, or the log older than the read models. A store
    that is away is asked again by whoever needs it."""
    aliases = ("projections", "events")
    try:
        for alias in aliases:
            connect(alias).close()  # which says at once that it is away
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
    server().serve()


if __name__ == "__main__":
    main()
