"""One operator at a time: whoever changes a store's schemas, or seeds it, holds an advisory lock there."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, cast

import psycopg
from django.db import connections

from operations.errors import OperatorError
from projections.connect import connect

LOCK: Final = 0x62616C61  # "bala"; the second key of the lock says which store
KEYS: Final = {"system": 1, "projections": 2, "events": 3}
SECONDS_BETWEEN_TRIES = 0.2
# objsubid 2: advisory locks with two keys
HOLDER = """
SELECT pid FROM pg_locks
 WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND classid = %s AND objid = %s
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

Say = Callable[[str], object]


class Busy(OperatorError):
    """Another process is working on the store; the text says on which."""


def raw_connection(alias: str) -> "psycopg.Connection[Any]":
    """Return the psycopg connection underneath Django's connection to a store. Raises
    ``psycopg.OperationalError``."""
    # a plain connection first: Django's pool tries for 5 s, and does not say why it failed
    connect(alias).close()
    connections[alias].ensure_connection()
    return cast("psycopg.Connection[Any]", connections[alias].connection)


@contextmanager
def exclusive(
    connection: psycopg.Connection[Any], alias: str, say: Say, *, wait: bool = True
) -> Iterator[None]:
    """Hold the lock on changes of the store ``alias`` in the block, after waiting until it is free.

    ``connection`` is to the store's own database, in autocommit, and must be the one that makes the changes,
    so that the lock lasts as long as they can. Always lock two stores in the same order. ``say`` gets a line
    about what is waited for. Raises ``psycopg.OperationalError`` when the server goes away, and ``Busy``
    instead of waiting if ``wait`` is false.
    """
    keys = [LOCK, KEYS[alias]]
    waiting = ""
    # polled, because a session that waits inside a statement holds a snapshot, for which a CREATE INDEX
    # CONCURRENTLY of the lock's holder would wait
    while not _try(connection, keys):
        if not wait:
            raise Busy(f"A command that changes the {alias} store is at work: wait for it, or end it, first.")
        if not waiting:
            pids = "".join(f" (server process {pid})" for (pid,) in connection.execute(HOLDER, keys))
            waiting = f"{alias}: waiting for another migrator or seeder of this store to finish{pids}"
            say(waiting)
        time.sleep(SECONDS_BETWEEN_TRIES)
    if waiting:
        say(f"{alias}: the other one has finished, going on")
    try:
        yield
    finally:
        with suppress(psycopg.OperationalError):  # the lock has ended with its session
            connection.execute("SELECT pg_advisory_unlock(%s, %s)", keys)


def _try(connection: psycopg.Connection[Any], keys: list[int]) -> bool:
    return connection.execute("SELECT pg_try_advisory_lock(%s::int, %s::int)", keys).fetchone() == (True,)
