"""Two places of one store, while it moves: reaching them, comparing what they hold, and emptying one."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import psycopg
from django.db import connections
from django.db.utils import load_backend
from psycopg import sql

from operations import maintenance, recreate, stores
from operations.errors import OperatorError
from operations.inventory import TEXT, Place, TableSum, owned, place_of, table_sum
from operations.maintenance import Connection, Note
from operations.stores import SCHEMAS, parameters
from projections.shadows import USES, shadow_of

Server = dict[str, Any]  # as stores.parameters gives it
Settings = Mapping[str, Any]  # as balados.databases.store gives them

# What is in a database besides the tables "ours" and their sequences.
RELATIONS = """
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
SESSIONS = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name ~ %s
"""
# what the processes that use a store call themselves there (balados/databases.py, projections/connect.py)
NAMES: Final = {
    "system": "^balados-system$",
    "events": "^balados-(events|listener)$",
    "projections": "^balados-(projections|projector.*|catch-up-.*|rebuild.*)$",
}


class Differs(OperatorError):
    """The two places do not hold the same; the text says in what."""


@contextmanager
def override_connection(alias: str, settings: Settings) -> Iterator[None]:
    """In this thread ``alias`` is the store at ``settings`` (``balados.databases.store``), without a pool."""
    usual = connections[alias]
    options = {key: value for key, value in settings["OPTIONS"].items() if key != "pool"}
    wanted = {**usual.settings_dict, **settings, "OPTIONS": options}
    connections[alias] = load_backend(wanted["ENGINE"]).DatabaseWrapper(wanted, alias)
    try:
        yield
    finally:
        connections[alias].close()
        connections[alias] = usual


def compare(alias: str, old: Connection, new: Connection) -> dict[str, TableSum]:
    """Count and sum up every table in both places; both are closed. Raises ``Differs``."""
    sequences = (dict(each.execute(SEQUENCES, [list(SCHEMAS[alias])]).fetchall()) for each in (old, new))
    here, there = sequences
    if moved := [name for name, last in there.items() if here.get(name) != last]:
        raise Differs(f"{', '.join(moved)}: not at the same number.")
    sums = {}
    with ThreadPoolExecutor(2) as both:
        for table in tables(old, alias):
            name = ".".join(table)
            first, second = both.map(partial(_sum, table), (old, new))
            if first != second:
                counted = f"{first.rows:,} rows at the old place, {second.rows:,} at the new"
                also = "" if first.rows != second.rows else ", and not the same"
                raise Differs(f"{name}: {counted}{also}.")
            sums[name] = first
    return sums


def _sum(table: tuple[str, str], connection: Connection) -> TableSum:
    return table_sum(connection, *table)


def tables(connection: Connection, alias: str) -> list[tuple[str, str]]:
    """Schema and name of each table, but for what a killed rebuild or verification left beside them."""
    tables = owned(connection, alias)
    beside = {shadow_of(".".join(table), use) for table in tables for use in USES}
    return [table for table in tables if ".".join(table) not in beside]


def not_ours(connection: Connection, alias: str) -> list[str]:
    """The quoted names of what is in a store's schemas and does not move."""
    ours = tables(connection, alias)
    quoted = [sql.Identifier(*table).as_string(connection) for table in ours]
    shared = [found for found in relations(connection, quoted) if found[0] == recreate.SHARED]
    beside = set(owned(connection, alias)) - set(ours)
    return [f'"{schema}"."{name}"' for schema, name in sorted({*shared, *beside})]


def relations(connection: Connection, ours: list[str]) -> list[tuple[str, str]]:
    """Schema and name of every relation in a database that does not belong to the tables ``ours``."""
    return connection.execute(RELATIONS, {"ours": ours}).fetchall()


def sessions(connection: Connection, alias: str) -> int:
    """How many processes of Balados use the store at this place."""
    return int(connection.execute(SESSIONS, [NAMES[alias]]).fetchall()[0][0])


def place(alias: str, target: Settings) -> tuple[Place, Server]:
    """Where ``target`` is, whose database need not exist yet."""
    with override_connection(alias, target):
        server = parameters(alias)
    return place_at(server), server


def place_at(server: Server) -> Place:
    if exists(server):
        return place_of(server)
    return place_of({**server, "dbname": "postgres"})._replace(database=str(server["dbname"]))


def exists(server: Server) -> bool:
    try:
        psycopg.connect(**server).close()
    except psycopg.OperationalError:
        if not stores.is_missing(server):
            raise
        return False
    return True


def is_empty(server: Server, alias: str) -> bool:
    with connected(server) as connection:
        return not owned(connection, alias)


@contextmanager
def connected(server: Server) -> Iterator[Connection]:
    name = {"application_name": "store_split"}
    with psycopg.connect(**{**name, **server}, options=TEXT, autocommit=True) as connection:
        yield connection


def note(server: Server, alias: str) -> Note | None:
    if not exists(server):
        return None
    with connected(server) as connection:
        return maintenance.read(connection, alias)


def drop_store(connection: Connection, alias: str) -> None:
    """Drop what is ours of a store, and its schemas; ``public`` stays, which is not ours alone."""
    with connection.cursor() as cursor:
        recreate.drop(cursor, alias)
        for schema in SCHEMAS[alias]:
            if schema != recreate.SHARED:
                cursor.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))
