"""Which instance a store belongs to: an id that its three stores have in common.

A URL that is mistyped or forgotten leads to another store. What is written there nobody finds again, and what
is read there is not so. Therefore every connection is asked once for the id, and refused where it is not that
of the other stores that the process has opened.
"""

import logging
from typing import Any, Final, TypeAlias
from uuid import UUID
from weakref import WeakSet

import psycopg
from psycopg import sql

Connection: TypeAlias = psycopg.Connection[Any]
# the schema of each store that has the table
SCHEMAS: Final = {"system": "system", "projections": "users", "events": "events"}
READ = sql.SQL("SELECT id FROM {}.instance")
WRITE = sql.SQL("""
CREATE TABLE IF NOT EXISTS {schema}.instance (id uuid NOT NULL);
DELETE FROM {schema}.instance;
INSERT INTO {schema}.instance VALUES ({id})
""")
logger = logging.getLogger(__name__)


class WrongStore(psycopg.OperationalError):
    """A store that must not be used; the text says why. Whoever bears an outage bears this."""


_ids: dict[str, UUID | None] = {}
_checked: WeakSet[Connection] = WeakSet()
_told: set[str] = set()


def check(connection: Connection, alias: str) -> None:
    """Ask a fresh connection, in autocommit or not, to the store ``alias`` or a replica of it.

    Raises ``WrongStore`` where it is of another instance than what this process has opened before.
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
        if store not in _told:
            _told.add(store)
            logger.critical("%s", error)
        raise error
    _ids[store] = found
    _checked.add(connection)


def read(connection: Connection, store: str) -> UUID | None:
    """The id in a store; None where it has none yet."""
    schema = SCHEMAS[store]
    if connection.execute("SELECT to_regclass(%s)", [f"{schema}.instance"]).fetchone() == (None,):
        return None
    row = connection.execute(READ.format(sql.Identifier(schema))).fetchone()
    return row[0] if row else None


def write(connection: Connection, store: str, id_: UUID) -> None:
    """Give a store, whose schemas are there, an id."""
    schema = sql.Identifier(SCHEMAS[store])
    connection.execute(WRITE.format(schema=schema, id=sql.Literal(id_)))


def forget() -> None:
    """Let this process open other stores than before: what a restore has put in their place."""
    _ids.clear()
    _told.clear()
