"""Work on whole stores while no program is running: one that ran would go on with what it remembers of
them."""

import contextlib
import time
from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

import django.db
import psycopg

from eventstore import dispatcher, instance, log
from operations.errors import OperatorError
from operations.stores import SCHEMAS, Connection, connect

Alias = TypeVar("Alias", bound=str)
LOCK: Final = 0x62616C73  # "bals": one restore or reset of a store at a time
# the application names of the programs' own connections
SESSIONS = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name LIKE 'balados-%' AND pid <> pg_backend_pid()
"""
POSITION = 'SELECT coalesce(max(position), 0) FROM "users"."projector_positions"'
# sessions that were just closed need a moment to disappear
SECONDS_TO_LEAVE = 3.0


class StillRunning(OperatorError):
    """A program, or another such command, uses the stores; nothing was touched."""


@contextlib.contextmanager
def without_programs(aliases: Iterable[Alias]) -> Iterator[dict[Alias, Connection]]:
    """Keep other restores and resets out of these stores in the block; yield a connection to each.

    Raises ``StillRunning`` if programs are connected, and ``psycopg.OperationalError``.
    """
    disconnect()
    with contextlib.ExitStack() as held:
        connections = {alias: held.enter_context(connect(alias)) for alias in aliases}
        for alias, connection in connections.items():
            locked = connection.execute("SELECT pg_try_advisory_lock(%s, hashtext(%s))", [LOCK, alias])
            if locked.fetchone() != (True,):
                raise StillRunning("Another restore or reset is running. Nothing was touched.")
            if sessions := _sessions(connection):
                raise StillRunning(
                    f"{sessions} sessions of a running Balados are connected to the {alias} store's database:"
                    " stop the web, live, projector and worker processes first. Nothing was touched."
                )
        yield connections


def disconnect() -> None:
    """Drop what this process remembers of the stores, and its connections: the tables may be replaced."""
    for alias in SCHEMAS:
        django.db.connections[alias].close()
        django.db.connections[alias].close_pool()  # type: ignore[attr-defined]
    dispatcher.clear_cache()
    log.clear_caches()
    instance.clear_cache()


def last_position_of_read_models() -> int:
    """Return the furthest position of any projector; 0 if the read models are lost."""
    missing = (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn)
    with contextlib.suppress(*missing), connect("projections") as connection:
        return int(connection.execute(POSITION).fetchall()[0][0])
    return 0


def _sessions(connection: Connection) -> int:
    deadline = time.monotonic() + SECONDS_TO_LEAVE
    while True:
        ((sessions,),) = connection.execute(SESSIONS).fetchall()
        if not sessions or time.monotonic() > deadline:
            return int(sessions)
        time.sleep(0.05)
