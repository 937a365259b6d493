"""Fresh tables beside the live ones: filled by a rebuild and swapped in, or filled to compare (``verify``).

A shadow ends as exactly what the migrations made, names of indexes and constraints included.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

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
# What a shadow is for: each has names of its own, so that a verification runs beside a rebuild.
Use: TypeAlias = Literal["rebuild", "verify"]
USES: Final[tuple[Use, ...]] = ("rebuild", "verify")
# The swap waits at most so long for the readers at work, and lets those pass who queued behind it.
LOCK_TIMEOUT = "200ms"


class TableChanged(Exception):
    """The live table is not what the shadow was made from: a migration ran in the meantime."""


class Index(NamedTuple):
    name: str
    primary: bool
    unique: bool
    definition: str


def shadow_of(table: str, use: Use = "rebuild") -> str:
    return f"{table}__{use}"


def shadows(tables: Iterable[str], use: Use = "rebuild") -> Tables:
    """Live names -> the shadow tables, as a worker takes them."""
    return {table: identifier(shadow_of(table, use)) for table in tables}


def drop(connection: Connection, tables: Sequence[str], use: Use = "rebuild") -> None:
    """Drop what a killed rebuild left, the last first: who finds one finds those that were made before it."""
    for table in reversed(tables):
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(identifier(shadow_of(table, use))))


def create(connection: Connection, table: str, use: Use = "rebuild") -> None:
    """An empty shadow with the unique indexes of the live table; the others come with ``finish``."""
    connection.execute(
        sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL EXCLUDING INDEXES)").format(
            identifier(shadow_of(table, use)), identifier(table)
        )
    )
    for index in _indexes(connection, table):
        if index.unique:
            _build(connection, table, index, use)


def finish(connection: Connection, table: str) -> None:
    """Build the other indexes of a filled shadow (faster than filling them along), and its statistics."""
    for index in _indexes(connection, table):
        if not index.unique:
            _build(connection, table, index)
    connection.execute(sql.SQL("ANALYZE {}").format(identifier(shadow_of(table))))


def swap(connection: Connection, tables: Sequence[str]) -> None:
    """Put the shadows in the place of the live tables, inside the caller's transaction.

    Raises ``TableChanged``, and ``psycopg.errors.LockNotAvailable`` when readers are at work for long.
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


def _build(connection: Connection, table: str, index: Index, use: Use = "rebuild") -> None:
    shadow, name = identifier(shadow_of(table, use)), sql.Identifier(_shadow_index(index.name, use))
    create = sql.SQL("CREATE UNIQUE INDEX {} ON {}" if index.unique else "CREATE INDEX {} ON {}")
    # PostgreSQL's own words about its own catalogue
    connection.execute(create.format(name, shadow) + sql.SQL(index.definition))
    if index.primary:
        connection.execute(sql.SQL("ALTER TABLE {} ADD PRIMARY KEY USING INDEX {}").format(shadow, name))


def _rename(connection: Connection, table: str, index: str) -> None:
    # a constraint takes the new name of its index along
    schema, _ = table.split(".")
    connection.execute(
        sql.SQL("ALTER INDEX {} RENAME TO {}").format(
            sql.Identifier(schema, _shadow_index(index)), sql.Identifier(index)
        )
    )


def _shadow_index(index: str, use: Use = "rebuild") -> str:
    # PostgreSQL cuts names at 63 bytes
    return f"{use[0]}__{index}"[:63]


def _indexes(connection: Connection, table: str) -> list[Index]:
    return [Index(*row) for row in connection.execute(INDEXES, [table])]


def _shape(connection: Connection, table: str) -> tuple[object, ...]:
    columns = connection.execute(COLUMNS, [table]).fetchall()
    indexes = {index.definition for index in _indexes(connection, table)}
    return columns, indexes
