"""The web process, ``python -m balados.serve``. No other module depends on which HTTP server it uses."""

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

# connections that wait in the kernel, and those that a worker holds at once, idle and slow ones included
BACKLOG, CONNECTIONS = 512, 4096
# Limits of a request line and headers. They leave room for balados/buffering.py to refuse large ones with a
# message, since the server's own refusal has no body. Bodies are limited in balados/buffering.py as well.
HEADERS = HTTP1Settings(max_buffer_size=192 * 1024, header_read_timeout=10_000)


def server() -> MPServer:
    """Return the HTTP server. It keeps no access log, because addresses contain tokens (/authorize?token=,
    /setup?token=)."""
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
    server().serve()


if __name__ == "__main__":
    main()
