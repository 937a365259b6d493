"""Where a store is, and what is in it: places, tables with their rows and sizes, and sums over all rows."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import msgspec
import psycopg
from psycopg import sql

from operations.recreate import owned_tables
from operations.stores import SCHEMAS, parameters

Connection = psycopg.Connection[Any]
Server = dict[str, Any]  # as stores.parameters gives it

TABLES = """
SELECT n.nspname, c.relname, pg_total_relation_size(c.oid)
       + coalesce((SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = c.oid), 0)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
 ORDER BY 1, 2
"""
PLACE = """
SELECT current_database(), (SELECT system_identifier FROM pg_control_system()),
       current_setting('server_version'), current_setting('server_version_num')::integer / 10000
"""
# What is in a database besides the tables "ours" and their sequences.
OTHERS = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
   AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
   AND c.oid <> ALL(%(ours)s::regclass[])
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                      AND (d.deptype = 'e'
                           OR d.deptype IN ('a', 'i') AND d.refobjid = ANY(%(ours)s::regclass[])))
 ORDER BY 1, 2
"""
SEQUENCES = """
SELECT schemaname || '.' || sequencename, last_value FROM pg_sequences WHERE schemaname = ANY(%s)
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


def owned(connection: Connection, alias: str) -> list[tuple[str, str]]:
    """Schema and name of every table of a store, in order; one in partitions is one table."""
    with connection.cursor() as cursor:
        found = [name.partition(".") for name, kind in owned_tables(cursor, alias).items() if kind in "rp"]
    return [(schema, name) for schema, _, name in found]


def others(connection: Connection, alias: str | None = None) -> list[tuple[str, str]]:
    """Schema and name of every relation in a database that is not of the store ``alias``."""
    ours = [] if alias is None else owned(connection, alias)
    quoted = [sql.Identifier(*table).as_string(connection) for table in ours]
    return connection.execute(OTHERS, {"ours": quoted}).fetchall()


def tables(connection: Connection, alias: str) -> list[Table]:
    """Every table in a store's schemas, whosever it is, with its exact number of rows."""
    found = connection.execute(TABLES, [list(SCHEMAS[alias])]).fetchall()
    return [
        Table(f"{schema}.{name}", _rows(connection, schema, name), int(size)) for schema, name, size in found
    ]


def sequences(connection: Connection, alias: str) -> dict[str, int | None]:
    """The last number that each sequence in a store's schemas gave out."""
    return dict(connection.execute(SEQUENCES, [list(SCHEMAS[alias])]).fetchall())


def table_sums(connection: Connection, alias: str, without: Collection[str] = ()) -> dict[str, TableSum]:
    """The sum of each table ("schema.table") of a store; ``connection`` has the options ``TEXT``."""
    names = [table for table in owned(connection, alias) if ".".join(table) not in without]
    return {".".join(table): _table_sum(connection, *table) for table in names}


def _table_sum(connection: Connection, schema: str, name: str) -> TableSum:
    statement = sql.SQL(SUM).format(table=sql.Identifier(schema, name))
    return TableSum(*connection.execute(statement).fetchall()[0])


def _rows(connection: Connection, schema: str, name: str) -> int:
    count = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, name))
    return int(connection.execute(count).fetchall()[0][0])
