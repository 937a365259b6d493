"""Who may run a projector: session advisory locks in the projections store, one per projector.

They only keep two machines from doing the same work. The rows stay right because of the position, which each
transaction checks.
"""

from collections.abc import Collection
from typing import Final
from zlib import crc32

from projections.connect import Connection

SPACE: Final = 0x62616C70  # "balp": the first key of every lock of ours
TAKE = """
SELECT name FROM unnest(%s::text[], %s::integer[]) AS wanted (name, key)
 WHERE pg_try_advisory_lock(%s, key)
"""

# pg_locks shows the second key of a lock as an unsigned number
HELD = """
SELECT name FROM unnest(%s::text[], %s::integer[]) AS wanted (name, key)
 WHERE EXISTS (SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = database
                WHERE locktype = 'advisory' AND datname = current_database() AND granted
                  AND classid::bigint = %s AND objid::bigint = key::bigint & 4294967295 AND objsubid = 2)
"""


def take(connection: Connection, names: Collection[str]) -> set[str]:
    """Try to take locks that this connection does not hold yet; return those that were free.

    They last as long as the connection. Raises ``psycopg.OperationalError`` when it is gone.
    """
    wanted = list(names)
    rows = connection.execute(TAKE, [wanted, [_key(name) for name in wanted], SPACE])
    return {str(name) for (name,) in rows}


def held(connection: Connection, names: Collection[str]) -> set[str]:
    """Return those of these locks that somebody holds now: their projectors are running."""
    wanted = list(names)
    rows = connection.execute(HELD, [wanted, [_key(name) for name in wanted], SPACE])
    return {str(name) for (name,) in rows}


def try_lock(connection: Connection, name: str) -> bool:
    """Try to take a lock; return whether that succeeded. It lasts as long as the connection."""
    return bool(take(connection, [name]))


def unlock(connection: Connection, name: str) -> None:
    """Release a lock that is held."""
    connection.execute("SELECT pg_advisory_unlock(%s, %s)", [SPACE, _key(name)])


def _key(name: str) -> int:
    # PostgreSQL's second key is a signed 32-bit integer
    return crc32(name.encode()) - 2**31
