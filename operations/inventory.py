"""What is in a store, and where it is: what commands tell before they do something to it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from operations.stores import SCHEMAS, parameters

TABLES = """
SELECT n.nspname, c.relname, pg_total_relation_size(c.oid)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'p')
 ORDER BY 1, 2
"""
PLACE = """
SELECT current_database(), (SELECT system_identifier FROM pg_control_system()),
       current_setting('server_version'), current_setting('server_version_num')::integer / 10000
"""


class Place(NamedTuple):
    """Where a store is. ``server``: host and port, or the socket's directory; ``system``: of the cluster."""

    server: str
    database: str
    system: int
    version: str
    major: int

    def __str__(self) -> str:
        return f"database {self.database} on {self.server}"

    def same_database(self, other: "Place") -> bool:
        """Also where two URLs spell it differently."""
        return (self.system, self.database) == (other.system, other.database)


class Table(NamedTuple):
    """``name`` is "schema.table"; ``size`` in bytes, indexes and TOAST included."""

    name: str
    rows: int
    size: int


def place_of(parameters: Mapping[str, Any]) -> Place:
    """Where a connection with these parameters (``stores.parameters``) goes. Raises ``psycopg.Error``."""
    with psycopg.connect(**parameters, autocommit=True) as connection:
        row = connection.execute(PLACE).fetchone()
        assert row is not None
        host, port = connection.info.host, connection.info.port
    server = host if host.startswith("/") else f"{host}:{port}"
    return Place(server, *row)


def place(alias: str) -> Place:
    """Where a store is. Raises ``psycopg.Error``."""
    return place_of(parameters(alias))


def neighbours(alias: str) -> list[str]:
    """The other stores in the same database."""
    here = place(alias)
    return [other for other in SCHEMAS if other != alias and place(other).same_database(here)]


def tables(connection: psycopg.Connection[Any], alias: str) -> list[Table]:
    """Every table of a store with its exact number of rows; none where the store was not initialised."""
    found = connection.execute(TABLES, [list(SCHEMAS[alias])]).fetchall()
    return [Table(f"{schema}.{name}", _rows(connection, schema, name), size) for schema, name, size in found]


def _rows(connection: psycopg.Connection[Any], schema: str, name: str) -> int:
    row = connection.execute(
        sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, name))
    ).fetchone()
    assert row is not None
    return int(row[0])
