"""One at a time: whoever changes a store's schemas, or seeds it, holds an advisory lock in its database."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, cast

import psycopg
from django.db import connections

from projections.connect import connect

LOCK: Final = 0x62616C61  # "bala"; the second key is the store's
KEYS: Final = {"system": 1, "projections": 2, "events": 3}
SECONDS_BETWEEN_TRIES = 0.2
# one that the second key names as well (objsubid 2)
HOLDER = """
SELECT l.pid, to_char(a.backend_start AT TIME ZONE 'UTC', 'HH24:MI:SS')
  FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
 WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.classid = %s AND l.objid = %s
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

Say = Callable[[str], object]


def plain(alias: str) -> "psycopg.Connection[Any]":
    """The connection on which Django's queries to a store go. Raises ``psycopg.OperationalError``."""
    # by itself first: Django's pool tries for 5 s, and does not say why it got none
    connect(alias).close()
    connections[alias].ensure_connection()
    return cast("psycopg.Connection[Any]", connections[alias].connection)


@contextmanager
def alone(connection: psycopg.Connection[Any], alias: str, say: Say) -> Iterator[None]:
    """Wait until nobody else changes the store ``alias``, and keep everybody else waiting in the block.

    ``connection``: to the store's own database, in autocommit, and the one that makes the changes, so that
    the lock lasts as long as they can. Never two stores at once: then nobody waits in a circle. ``say`` is
    told what is waited for. Raises ``psycopg.OperationalError`` when the server goes.
    """
    keys = [LOCK, KEYS[alias]]
    waits = False
    # asked again and again: a session that waits inside a statement keeps the snapshot that a
    # CREATE INDEX CONCURRENTLY of the other one waits for
    while not _try(connection, keys):
        if not waits:
            waits = True
            say(_waiting(connection, alias, keys))
        time.sleep(SECONDS_BETWEEN_TRIES)
    if waits:
        say(f"{alias}: the other one has finished, going on")
    try:
        yield
    finally:
        with suppress(psycopg.OperationalError):  # gone with its session
            connection.execute("SELECT pg_advisory_unlock(%s, %s)", keys)


def _try(connection: psycopg.Connection[Any], keys: list[int]) -> bool:
    row = connection.execute("SELECT pg_try_advisory_lock(%s::int, %s::int)", keys).fetchone()
    return bool(row and row[0])


def _waiting(connection: psycopg.Connection[Any], alias: str, keys: list[int]) -> str:
    row = connection.execute(HOLDER, keys).fetchone()
    who = f" (server process {row[0]}, connected since {row[1]} UTC)" if row else ""
    return f"{alias}: waiting for another migrator or seeder of this store to finish{who}"
