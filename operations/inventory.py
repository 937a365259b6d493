"""Where a store is, and what is in it: places, tables with their rows and sizes, and sums over all rows."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
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
# How rows read as text must not depend on the server's settings, nor on who asks.
TEXT = (
    "-c timezone=UTC -c datestyle=ISO -c intervalstyle=postgres -c extra_float_digits=1 -c bytea_output=hex"
    " -c idle_in_transaction_session_timeout=0 -c idle_session_timeout=0 -c statement_timeout=0"
)
# A sum of a hash of each row: the order of the rows counts for nothing, and it needs no memory.
SUM = """
SELECT count(*), coalesce(sum(('x' || left(md5(kept::text), 16))::bit(64)::bigint::numeric), 0)::text
  FROM {table} AS kept
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
        """Whether both are one database, whatever their URLs."""
        return (self.system, self.database) == (other.system, other.database)


class Table(NamedTuple):
    """``name`` is "schema.table"; ``size`` in bytes, indexes and TOAST included."""

    name: str
    rows: int
    size: int


class TableSum(msgspec.Struct, frozen=True):
    """Equal for two tables that hold the same rows, in whatever order."""

    rows: int
    sum: str


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


def tables(connection: psycopg.Connection[Any], alias: str) -> list[Table]:
    """Every table of a store with its exact number of rows; none where the store was not initialised."""
    found = connection.execute(TABLES, [list(SCHEMAS[alias])]).fetchall()
    return [Table(f"{schema}.{name}", _rows(connection, schema, name), size) for schema, name, size in found]


def table_sums(
    connection: psycopg.Connection[Any], alias: str, without: tuple[str, ...] = ()
) -> dict[str, TableSum]:
    """The sum of each table ("schema.table") of a store; ``connection`` has the options ``TEXT``."""
    found = connection.execute(TABLES, [list(SCHEMAS[alias])]).fetchall()
    names = [(schema, name) for schema, name, _ in found if f"{schema}.{name}" not in without]
    return {f"{schema}.{name}": table_sum(connection, schema, name) for schema, name in names}


def table_sum(connection: psycopg.Connection[Any], schema: str, name: str) -> TableSum:
    """The sum of one table; ``connection`` has the options ``TEXT``."""
    statement = sql.SQL(SUM).format(table=sql.Identifier(schema, name))
    return TableSum(*connection.execute(statement).fetchall()[0])


def _rows(connection: psycopg.Connection[Any], schema: str, name: str) -> int:
    row = connection.execute(
        sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, name))
    ).fetchone()
    assert row is not None
    return int(row[0])
