"""A sum over every row of every table: whether two copies of a store hold the same."""

from typing import Any

import msgspec
import psycopg
from psycopg import sql

from operations.inventory import TABLES
from operations.stores import SCHEMAS, parameters

# How rows read as text must not depend on the server's settings, nor on who asks.
TEXT = (
    "-c timezone=UTC -c datestyle=ISO -c intervalstyle=postgres -c extra_float_digits=1 -c bytea_output=hex"
    " -c idle_in_transaction_session_timeout=0 -c statement_timeout=0"
)
# A sum, so the order of the rows counts for nothing, and no memory is needed for it.
SUM = """
SELECT count(*), coalesce(sum(('x' || left(md5(kept::text), 16))::bit(64)::bigint::numeric), 0)::text
  FROM {table} AS kept
"""


class TableSum(msgspec.Struct, frozen=True):
    rows: int
    sum: str


def reading(alias: str) -> psycopg.Connection[Any]:
    """A connection to a store, of which every statement in a transaction sees the same moment."""
    connection = psycopg.connect(**parameters(alias), options=TEXT, application_name="store_backup")
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    return connection


def table_sums(
    connection: psycopg.Connection[Any], alias: str, besides: tuple[str, ...] = ()
) -> dict[str, TableSum]:
    """The rows and the sum of each table ("schema.table") of a store; ``connection`` is of ``reading``."""
    sums: dict[str, TableSum] = {}
    for schema, name, _ in connection.execute(TABLES, [list(SCHEMAS[alias])]).fetchall():
        if (table := f"{schema}.{name}") not in besides:
            sums[table] = table_sum(connection, schema, name)
    return sums


def table_sum(connection: psycopg.Connection[Any], schema: str, name: str) -> TableSum:
    """The rows and the sum of one table; ``connection`` has the options ``TEXT``."""
    statement = sql.SQL(SUM).format(table=sql.Identifier(schema, name))
    return TableSum(*connection.execute(statement).fetchall()[0])
