"""Servers for the benchmarks alone, in a temporary directory, with PostgreSQL's default durability."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

ALIASES = ("system", "projections", "events")


@contextmanager
def servers() -> Iterator[Path]:
    """Start PostgreSQL and Redis, create the stores, and set Django up; yields the home directory.

    PostgreSQL has its default settings, so fsync, synchronous_commit and full_page_writes are on.
    """
    home = Path(tempfile.mkdtemp(prefix="balados-bench-"))
    # so that the clean-up also runs after a SIGTERM
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    os.environ.update(
        BALADOS_HOME=str(home),
        SECRET_KEY="only-for-benchmarks-" + "x" * 40,
        DJANGO_SETTINGS_MODULE="balados.settings",
        DEBUG="0",
        LOG_LEVEL="WARNING",
    )
    for variable in ("PROJECTIONS_URL", "EVENT_STORE_URL"):
        os.environ.pop(variable, None)
    from balados import embedded
    from balados.home import postgres_url, redis_url

    os.environ.update(DATABASE_URL=postgres_url(home), REDIS_URL=redis_url(home))
    started = []
    try:
        started.append(embedded.postgres(home).start_and_wait())
        started.append(embedded.redis_server(home).start_and_wait())
        _set_up()
        yield home
    finally:
        for process in started:
            process.kill()
            process.wait()
        embedded.remove_sockets(home)
        shutil.rmtree(home, ignore_errors=True)


def connect() -> "psycopg.Connection[tuple[object, ...]]":
    """Return a plain psycopg connection in autocommit, without Django's settings, as the raw limits use
    it."""
    return psycopg.connect(os.environ["DATABASE_URL"], autocommit=True, prepare_threshold=1)


def let_go() -> None:
    """Close this process's connections and pools, to be called before a fork, which must not share them."""
    from django.db import connections

    for alias in ALIASES:
        connections[alias].close()
        connections[alias].close_pool()  # type: ignore[attr-defined]


def empty() -> None:
    """Delete all events and read models, and the caches of this process."""
    from eventstore import dispatcher, log

    with connect() as connection:
        rows = connection.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
            " WHERE schemaname IN ('events', 'users', 'public')"
            " AND tablename NOT IN ('django_migrations', 'instance')"
        )
        tables = ", ".join(str(name) for (name,) in rows)
        connection.execute(f"TRUNCATE {tables} RESTART IDENTITY CASCADE")
    dispatcher.clear_cache()
    log.clear_caches()


def settle() -> None:
    """Write out what earlier measurements left behind, so that it is not added to the cost of the next
    ones."""
    with connect() as connection:
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def machine() -> list[str]:
    """Return what the figures depend on: processor, cores, versions."""
    from importlib.metadata import version

    model = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        "unknown processor",
    )
    with connect() as connection:
        (postgres,) = connection.execute("SHOW server_version").fetchone() or ("?",)
        settings = ("fsync", "synchronous_commit", "full_page_writes", "shared_buffers")
        shown = [f"{name} {connection.execute(f'SHOW {name}').fetchone()[0]}" for name in settings]  # type: ignore[index]
    packages = ("Django", "psycopg", "msgspec", "uvicorn", "eventsourcing")
    return [
        f"{os.cpu_count()} × {model}, Linux {os.uname().release}",
        f"Python {sys.version.split()[0]}, PostgreSQL {postgres} on a unix socket ({', '.join(shown)})",
        ", ".join(f"{name} {version(name)}" for name in packages if _installed(name)),
    ]


def _installed(package: str) -> bool:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _set_up() -> None:
    import django

    django.setup()
    from operations import stores

    stores.create()
    stores.migrate(verbosity=0)
    let_go()
