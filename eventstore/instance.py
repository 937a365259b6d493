"""Which instance a store belongs to: an id that all three stores of an instance share.

A mistyped or forgotten URL leads to another instance's store: what is written there is lost, and what is read
there is wrong. Therefore every new connection is asked once for the id, and refused where it differs from
that of the other stores that this process has opened.
"""

import logging
from typing import Any, Final, TypeAlias
from uuid import UUID
from weakref import WeakSet

import psycopg
from psycopg import sql

Connection: TypeAlias = psycopg.Connection[Any]
# the schema that holds the table, for each store
SCHEMAS: Final = {"system": "system", "projections": "users", "events": "events"}
READ = sql.SQL("SELECT id FROM {}.instance")
WRITE = sql.SQL("""
CREATE TABLE IF NOT EXISTS {schema}.instance (id uuid NOT NULL);
DELETE FROM {schema}.instance;
INSERT INTO {schema}.instance VALUES ({id})
""")
logger = logging.getLogger(__name__)


class WrongStore(psycopg.OperationalError):
    """A store that must not be used; the message says why. Code that handles an outage handles this too."""


_ids: dict[str, UUID | None] = {}
_checked: WeakSet[Connection] = WeakSet()
_reported: set[str] = set()


def check(connection: Connection, alias: str) -> None:
    """Check the instance id over a new connection to the store ``alias`` or a replica of it, in autocommit or
    not.

    Raises ``WrongStore`` where the store belongs to another instance than those this process has opened
    before.
    """
    store = "projections" if alias.startswith("projections") else alias
    if connection in _checked or store not in SCHEMAS:
        return
    found = read(connection, store)
    if not connection.autocommit:
        connection.rollback()
    if any(found != known for known in _ids.values()):
        error = WrongStore(
            f"The {store} store at this URL is "
            + ("of another instance" if found else "empty, and others are not")
            + ": look at DATABASE_URL, PROJECTIONS_URL and EVENT_STORE_URL."
        )
        if store not in _reported:
            _reported.add(store)
            logger.critical("%s", error)
        raise error
    _ids[store] = found
    _checked.add(connection)


def read(connection: Connection, store: str) -> UUID | None:
    """Return the id of a store, or None where it has none yet."""
    schema = SCHEMAS[store]
    if connection.execute("SELECT to_regclass(%s)", [f"{schema}.instance"]).fetchone() == (None,):
        return None
    row = connection.execute(READ.format(sql.Identifier(schema))).fetchone()
    return row[0] if row else None


def write(connection: Connection, store: str, id_: UUID) -> None:
    """Write the id of a store whose schemas exist."""
    schema = sql.Identifier(SCHEMAS[store])
    connection.execute(WRITE.format(schema=schema, id=sql.Literal(id_)))


def clear_cache() -> None:
    """Let this process open stores of another instance, after a restore has put them in place."""
    _ids.clear()
    _reported.clear()
