"""The content of a store: its relations, row counts and checksums over all rows; dropping what is ours."""

from collections.abc import Collection
from typing import Final, NamedTuple

import msgspec
from django.apps import apps
from django.db.models import Model
from psycopg import sql

from operations.stores import SCHEMAS, SHARED, Connection
from projections.shadows import shadow_of

# What belongs to an extension (pg_stat_statements, say) is left out.
RELATIONS = """
SELECT n.nspname, c.relname, c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
   AND c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S') AND NOT c.relispartition
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                      AND d.deptype = 'e')
 ORDER BY 1, 2
"""
FUNCTIONS = """
SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE n.nspname = ANY(%s)
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                      AND d.deptype = 'e')
"""
# in the order of dropping; sequences are dropped with their tables
KINDS = {"v": "VIEW", "m": "MATERIALIZED VIEW", "f": "FOREIGN TABLE", "r": "TABLE", "p": "TABLE"}
# The text form of a row must not depend on the server's settings or on the session.
TEXT: Final = (
    "-c timezone=UTC -c datestyle=ISO -c intervalstyle=postgres -c extra_float_digits=1 -c bytea_output=hex"
    " -c idle_in_transaction_session_timeout=0 -c idle_session_timeout=0 -c statement_timeout=0"
)
# The sum of a hash of each row: it does not depend on the order of the rows, and needs no memory.
SUM = """
SELECT count(*), coalesce(sum(('x' || left(md5(kept::text), 16))::bit(64)::bigint::numeric), 0)::text
  FROM {table} AS kept
"""


class Relation(NamedTuple):
    """A table, view or sequence. ``kind`` is as in ``pg_class``."""

    schema: str
    name: str
    kind: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def is_table(self) -> bool:
        return self.kind in "rp"

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)


class TableSum(msgspec.Struct, frozen=True):
    """A row count and a checksum: equal for two tables with the same rows, in whatever order."""

    rows: int
    sum: str


def table_of(model: type[Model]) -> str:
    """Return the name of a model's table as statements write it: schema, dot, table."""
    return model._meta.db_table.replace('"', "")


def relations(connection: Connection) -> list[Relation]:
    """Return all tables, views and sequences of a database, whoever owns them; partitions are not listed."""
    return [Relation(*row) for row in connection.execute(RELATIONS)]


def owned(connection: Connection, alias: str) -> list[Relation]:
    """Return the tables and views of a store: all in its schemas, but in ``public`` only our own.

    Not included is the table ``instance`` with the id of the instance: it belongs to the schema, exists
    before the other tables, and stays.
    """
    made = [table_of(model) for app in apps.get_app_configs() for model in app.get_models()]
    made += [shadow_of(table) for table in made]
    return [
        each
        for each in relations(connection)
        if each.kind in KINDS
        and each.name != "instance"
        and each.schema in SCHEMAS[alias]
        and (each.schema != SHARED or str(each) in made)
    ]


def owned_tables(connection: Connection, alias: str) -> list[Relation]:
    return [each for each in owned(connection, alias) if each.is_table]


def row_counts(connection: Connection, alias: str) -> dict[str, int]:
    """Return the number of rows of each of a store's tables, by "schema.table"."""
    count = sql.SQL("SELECT count(*) FROM {}")
    return {
        str(table): connection.execute(count.format(table.identifier)).fetchall()[0][0]
        for table in owned_tables(connection, alias)
    }


def table_sums(connection: Connection, alias: str, without: Collection[str] = ()) -> dict[str, TableSum]:
    """Return the sum of each table of a store, by "schema.table"; ``connection`` must have the options
    ``TEXT``."""
    return {
        str(table): TableSum(*connection.execute(sql.SQL(SUM).format(table=table.identifier)).fetchall()[0])
        for table in owned_tables(connection, alias)
        if str(table) not in without
    }


def drop(connection: Connection, alias: str) -> None:
    """Drop all that is ours in a store, inside the caller's transaction; its schemas stay.

    Raises ``psycopg.errors.DependentObjectsStillExist`` if somebody else's view depends on a table of ours.
    """
    going = owned(connection, alias)
    for kind in dict.fromkeys(KINDS.values()):
        if names := [each.identifier for each in going if KINDS[each.kind] == kind]:
            connection.execute(sql.SQL("DROP {} {}").format(sql.SQL(kind), sql.SQL(", ").join(names)))
    for (function,) in connection.execute(FUNCTIONS, [own_schemas(alias)]).fetchall():
        connection.execute(sql.SQL("DROP FUNCTION {}").format(sql.SQL(function)))


def own_schemas(alias: str) -> list[str]:
    return [schema for schema in SCHEMAS[alias] if schema != SHARED]
