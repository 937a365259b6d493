"""Fresh tables beside the live ones: a rebuild fills and swaps them in, ``verify`` fills and compares them.

A finished shadow is exactly what the migrations made, including the names of indexes and constraints.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from psycopg import sql

from projections.connect import Connection
from projections.projectors.shape import Tables, identifier

INDEXES = """
SELECT relname, indisprimary, indisunique, substring(pg_get_indexdef(indexrelid) FROM ' USING .*')
  FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
 WHERE indrelid = %s::regclass ORDER BY relname
"""
COLUMNS = """
SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute
 WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attname
"""
# The longest that the swap waits for readers at work; then it lets those pass who queued behind it.
LOCK_TIMEOUT = "200ms"


class TableChanged(Exception):
    """The live table differs from what the shadow was made from: a migration ran in the meantime."""


class Index(NamedTuple):
    name: str
    primary: bool
    unique: bool
    definition: str


def shadow_of(table: str) -> str:
    return f"{table}__rebuild"


def shadows(tables: Iterable[str]) -> Tables:
    """Map the live names to the shadow tables, as a worker takes them."""
    return {table: identifier(shadow_of(table)) for table in tables}


def drop(connection: Connection, tables: Sequence[str]) -> None:
    """Drop what a killed rebuild left, last table first: if a table exists, so do those created before it."""
    for table in reversed(tables):
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(identifier(shadow_of(table))))


def create(connection: Connection, table: str) -> None:
    """Create an empty shadow with the unique indexes of the live table; ``finish`` adds the others."""
    connection.execute(
        sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL EXCLUDING INDEXES)").format(
            identifier(shadow_of(table)), identifier(table)
        )
    )
    for index in _indexes(connection, table):
        if index.unique:
            _build(connection, table, index)


def finish(connection: Connection, table: str) -> None:
    """Build the other indexes of a filled shadow (faster than maintaining them while filling), and its
    statistics."""
    for index in _indexes(connection, table):
        if not index.unique:
            _build(connection, table, index)
    connection.execute(sql.SQL("ANALYZE {}").format(identifier(shadow_of(table))))


def swap(connection: Connection, tables: Sequence[str]) -> None:
    """Replace the live tables with the shadows, inside the caller's transaction.

    Raises ``TableChanged``, and ``psycopg.errors.LockNotAvailable`` when readers hold a table for too long.
    """
    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(LOCK_TIMEOUT))
    for table in tables:
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(identifier(table)))
        if _shape(connection, table) != _shape(connection, shadow_of(table)):
            raise TableChanged(table)
        _, name = table.split(".")
        names = [index.name for index in _indexes(connection, table)]
        connection.execute(sql.SQL("DROP TABLE {}").format(identifier(table)))
        connection.execute(
            sql.SQL("ALTER TABLE {} RENAME TO {}").format(identifier(shadow_of(table)), sql.Identifier(name))
        )
        for index in names:
            _rename(connection, table, index)


def _build(connection: Connection, table: str, index: Index) -> None:
    shadow, name = identifier(shadow_of(table)), sql.Identifier(_shadow_index(index.name))
    create = sql.SQL("CREATE UNIQUE INDEX {} ON {}" if index.unique else "CREATE INDEX {} ON {}")
    # the definition is PostgreSQL's own text, from its catalogue
    connection.execute(create.format(name, shadow) + sql.SQL(index.definition))
    if index.primary:
        connection.execute(sql.SQL("ALTER TABLE {} ADD PRIMARY KEY USING INDEX {}").format(shadow, name))


def _rename(connection: Connection, table: str, index: str) -> None:
    # a constraint is renamed with its index
    schema, _ = table.split(".")
    connection.execute(
        sql.SQL("ALTER INDEX {} RENAME TO {}").format(
            sql.Identifier(schema, _shadow_index(index)), sql.Identifier(index)
        )
    )


def _shadow_index(index: str) -> str:
    # PostgreSQL cuts names at 63 bytes
    return f"r__{index}"[:63]


def _indexes(connection: Connection, table: str) -> list[Index]:
    return [Index(*row) for row in connection.execute(INDEXES, [table])]


def _shape(connection: Connection, table: str) -> tuple[object, ...]:
    columns = connection.execute(COLUMNS, [table]).fetchall()
    indexes = {index.definition for index in _indexes(connection, table)}
    return columns, indexes
