"""Copying the tables of one store to another place, and proving that they are the same there.

Rows stream from server to server through this process (COPY, binary), table by table, in one transaction on
either side: what is read is one moment, and what is written is all there or not at all.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from psycopg import sql

from eventstore.failpoints import failpoint
from operations.fence import Connection, tables_of
from operations.inventory import TableSum, table_sum
from operations.recreate import SHARED, owned_tables
from operations.stores import SCHEMAS
from projections.shadows import USES, shadow_of

Reached = Callable[[int, int], None]

COLUMNS = """
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
 WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
"""
SEQUENCES = """
SELECT n.nspname, c.relname, m.nspname || '.' || o.relname
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
       AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
  LEFT JOIN pg_class o ON o.oid = d.refobjid LEFT JOIN pg_namespace m ON m.oid = o.relnamespace
 WHERE n.nspname = ANY(%s) AND c.relkind = 'S' ORDER BY 1, 2
"""


class Table(NamedTuple):
    schema: str
    name: str
    columns: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)

    @property
    def names(self) -> sql.Composed:
        return sql.SQL(", ").join(sql.Identifier(name) for name, _ in sorted(self.columns))


class Differs(Exception):
    """The two places are not alike; the text says in what."""


def copy_store(source: Connection, target: Connection, alias: str, reached: Reached) -> dict[str, TableSum]:
    """Make the tables of ``target`` hold exactly what those of ``source`` hold, and count on from there.

    Both connections have the options ``sums.TEXT`` and are inside a transaction, that of the source in
    REPEATABLE READ; nobody writes to either.
    ``reached`` is called with the rows copied and an estimate of all. Returns what each table holds. Raises
    ``Differs`` where the tables are not the same, or what arrived is not what was sent.
    """
    tables = tables_to_copy(source, target, alias)
    names = sql.SQL(", ").join(table.identifier for table in tables)
    target.execute(sql.SQL("TRUNCATE {}").format(names))
    expected = sum(_estimate(source, table) for table in tables)
    copied = 0
    for table in tables:
        for rows in _copy(source, target, table):
            reached(copied + rows, max(expected, copied + rows + 1))
        copied += rows
        failpoint("copying")
    reached(copied, copied)
    _set_sequences(source, target, alias)
    sums = compare(source, target, tables)
    for table in tables:
        target.execute(sql.SQL("ANALYZE {}").format(table.identifier))
    return sums


def compare(source: Connection, target: Connection, tables: Sequence[Table]) -> dict[str, TableSum]:
    """Count and sum up every table in both places. Raises ``Differs``."""
    sums = {}
    with ThreadPoolExecutor(2) as both:
        for table in tables:
            here, there = both.map(partial(_sum, table), (source, target))
            if here != there:
                also = "" if here.rows != there.rows else ", and not the same"
                raise Differs(
                    f"{table}: {here.rows:,} rows at the source, {there.rows:,} at the target{also}."
                )
            sums[str(table)] = here
    return sums


def same(source: Connection, target: Connection, alias: str) -> dict[str, TableSum]:
    """``compare`` for a whole store, its counters included. Raises ``Differs``."""
    for each in sequences(source, alias):
        here, there = (value(side, each)[0] for side in (source, target))
        if here != there:
            raise Differs(f"{'.'.join(each)}: at {here:,} at the source, at {there:,} at the target.")
    return compare(source, target, tables_to_copy(source, target, alias))


def _sum(table: Table, connection: Connection) -> TableSum:
    return table_sum(connection, table.schema, table.name)


def tables_to_copy(source: Connection, target: Connection, alias: str) -> list[Table]:
    """The tables of the source, but for what a rebuild or a verification made beside them.

    Raises ``Differs`` where the target has not the same.
    """
    here, there = _described(source, alias), _described(target, alias)
    for name, table in here.items():
        if name not in there:
            raise Differs(f"{name} is not made by migrations: move it away, or drop it, first.")
        if sorted(table.columns) != sorted(there[name].columns):
            raise Differs(f"{name} has other columns here than its migrations make.")
    return list(here.values())


def _described(connection: Connection, alias: str) -> dict[str, Table]:
    tables = {f"{schema}.{name}": (schema, name) for schema, name in tables_of(connection, alias)}
    beside = {shadow_of(table, use) for table in tables for use in USES}
    found = {}
    for table in sorted(tables.keys() - beside):
        schema, name = tables[table]
        quoted = sql.Identifier(schema, name).as_string(connection)
        columns = tuple((str(column), str(kind)) for column, kind in connection.execute(COLUMNS, [quoted]))
        found[table] = Table(schema, name, columns)
    return found


def _copy(source: Connection, target: Connection, table: Table) -> Iterator[int]:
    """Copy one table; yields how many rows have gone, now and then, and at the end."""
    out = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT (FORMAT binary)").format(table.names, table.identifier)
    into = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(table.identifier, table.names)
    rows = 0
    with source.cursor() as reader, target.cursor() as writer:
        with reader.copy(out) as rows_out, writer.copy(into) as rows_in:
            # a chunk is a row, but for the last, which is the trailer
            for rows, chunk in enumerate(rows_out):
                rows_in.write(chunk)
                if rows % 20_000 == 0:
                    yield rows
        yield writer.rowcount


def _set_sequences(source: Connection, target: Connection, alias: str) -> None:
    """Let every counter go on exactly where it is: a position is never given twice."""
    known = set(sequences(target, alias))
    for name in sequences(source, alias):
        if name not in known:
            raise Differs(f"{'.'.join(name)} is not made by migrations: drop it first.")
        quoted = sql.Identifier(*name).as_string(target)
        target.execute("SELECT setval(%s::regclass, %s, %s)", [quoted, *value(source, name)])


def sequences(connection: Connection, alias: str) -> list[tuple[str, str]]:
    """Schema and name of every sequence of a store, those of identities included."""
    with connection.cursor() as cursor:
        tables = owned_tables(cursor, alias)
        found = cursor.execute(SEQUENCES, [list(SCHEMAS[alias])]).fetchall()
    return [(schema, name) for schema, name, owner in found if schema != SHARED or owner in tables]


def value(connection: Connection, name: tuple[str, str]) -> tuple[int, bool]:
    """The last number that a sequence gave, and whether it gave that one already."""
    row = connection.execute(
        sql.SQL("SELECT last_value, is_called FROM {}").format(sql.Identifier(*name))
    ).fetchone()
    assert row is not None
    return int(row[0]), bool(row[1])


def _estimate(connection: Connection, table: Table) -> int:
    """What the statistics say; where there are none yet, a count."""
    quoted = table.identifier.as_string(connection)
    row = connection.execute(
        "SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass", [quoted]
    ).fetchone()
    if row is None or row[0] <= 0:
        row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(table.identifier)).fetchone()
    return int(row[0]) if row else 0
