"""Indexes of tables in use, for migrations with ``atomic = False``: whoever writes goes on meanwhile."""

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.backends.utils import CursorWrapper
from psycopg import sql

STATE = """
SELECT indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
 WHERE relname = %s AND relnamespace = %s::regnamespace
"""
PARTITIONS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass ORDER BY 1"
PARTITIONED = "SELECT relkind = 'p' FROM pg_class WHERE oid = %s::regclass"


def build(editor: BaseDatabaseSchemaEditor, table: str, name: str, definition: str) -> None:
    """Create an index of "schema.table"; ``definition``: what follows the table's name. May be repeated.

    A table in partitions gets one partition's after the other. Inside a transaction (a store that is made
    anew) nobody is there to be waited for, and PostgreSQL builds none concurrently.
    """
    schema, _, _ = table.partition(".")
    with editor.connection.cursor() as cursor:
        if editor.connection.in_atomic_block:
            _create(cursor, "", table, name, definition)
            return
        if (valid := _state(cursor, schema, name)) is True:
            return
        cursor.execute(PARTITIONED, [table])
        if cursor.fetchone() == (True,):
            _build_in_partitions(cursor, table, name, definition)
            return
        if valid is False:  # a killed one left it
            drop(editor, schema, name)
        _create(cursor, "CONCURRENTLY", table, name, definition)


def drop(editor: BaseDatabaseSchemaEditor, schema: str, name: str) -> None:
    """Remove an index, where it is there."""
    with editor.connection.cursor() as cursor:
        # PostgreSQL drops none concurrently that stands on partitions, or inside a transaction
        cursor.execute("SELECT relkind = 'I' FROM pg_class WHERE oid = to_regclass(%s)", [f"{schema}.{name}"])
        alone = editor.connection.in_atomic_block or cursor.fetchone() == (True,)
        how = sql.SQL("" if alone else "CONCURRENTLY")
        statement = sql.SQL("DROP INDEX {} IF EXISTS {}").format(how, sql.Identifier(schema, name))
        cursor.execute(statement)


def _build_in_partitions(cursor: CursorWrapper, table: str, name: str, definition: str) -> None:
    schema, _, _ = table.partition(".")
    if _state(cursor, schema, name) is None:
        _create(cursor, "", f"ONLY {table}", name, definition)
    cursor.execute(PARTITIONS, [table])
    for (partition,) in cursor.fetchall():
        own = f"{partition.rpartition('.')[2]}_{name}"
        if _state(cursor, schema, own) is False:
            cursor.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(schema, own)))
        if _state(cursor, schema, own) is None:
            _create(cursor, "CONCURRENTLY", partition, own, definition)
        attach = sql.SQL("ALTER INDEX {} ATTACH PARTITION {}")
        cursor.execute(attach.format(sql.Identifier(schema, name), sql.Identifier(schema, own)))


def _create(cursor: CursorWrapper, how: str, table: str, name: str, definition: str) -> None:
    cursor.execute(
        sql.SQL("CREATE INDEX {} {} ON {} {}").format(
            sql.SQL(how), sql.Identifier(name), sql.SQL(table), sql.SQL(definition)
        )
    )


def _state(cursor: CursorWrapper, schema: str, name: str) -> bool | None:
    """Whether the index is whole; None where there is none."""
    cursor.execute(STATE, [name, schema])
    row = cursor.fetchone()
    return None if row is None else bool(row[0])
