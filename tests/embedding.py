"""Embedded servers for tests, each in a directory of its own."""

import signal
import subprocess
from pathlib import Path

from balados import embedded, home

SIGNALS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}
_started: dict[Path, "subprocess.Popen[bytes]"] = {}


def start_postgres(place: Path, database: str = "balados", **parameters: str) -> str:
    """Start the PostgreSQL of ``place`` and wait until it answers; returns the URL of ``database``."""
    _started[place] = embedded.postgres(place, **parameters).start_and_wait()
    return home.postgres_url(place, database)


def stop_postgres(place: Path, mode: str = "fast") -> None:
    """Stop the PostgreSQL of ``place`` if it was started here, and wait until it has ended."""
    if place in _started:
        process = _started.pop(place)
        process.send_signal(SIGNALS[mode])
        process.wait()
        embedded.remove_sockets(place)


def start_redis(place: Path) -> tuple[str, "subprocess.Popen[bytes]"]:
    """Start the Redis of ``place`` and wait until it answers; returns its URL and the process."""
    return home.redis_url(place), embedded.redis_server(place).start_and_wait()
