"""Dropping what a store holds, and making it again by its migrations. Nobody else's tables are touched."""

from typing import Any

from django.apps import apps
from django.db import connections
from django.db.models import Model
from psycopg import Cursor, sql

from operations.exclusive import Say
from operations.migrations import migrate
from operations.stores import COMMENT, RESTORING, SCHEMAS
from projections.shadows import shadow_of

# In this schema everybody's tables are: of it only those that we made are ours.
SHARED = "public"
# What belongs to an extension (pg_stat_statements, say) is not ours wherever it is.
RELATIONS = """
SELECT n.nspname || '.' || c.relname, c.relkind::text
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE (n.nspname = ANY(%s) OR n.nspname || '.' || c.relname = ANY(%s))
   AND c.relkind IN ('r', 'p', 'f', 'v', 'm') AND NOT c.relispartition
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                      AND d.deptype = 'e')
 ORDER BY 1
"""
FUNCTIONS = """
SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE n.nspname = ANY(%s)
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                      AND d.deptype = 'e')
"""
# in the order of dropping
KINDS = {"v": "VIEW", "m": "MATERIALIZED VIEW", "f": "FOREIGN TABLE", "r": "TABLE", "p": "TABLE"}


def table_of(model: type[Model]) -> str:
    """The name as statements write it: schema, dot, table."""
    return model._meta.db_table.replace('"', "")


def owned_tables(cursor: Cursor[Any] | Any, alias: str) -> dict[str, str]:
    """Tables and views of a store, "schema.name" -> kind as in ``pg_class``; nobody else's in ``public``."""
    made = [table_of(model) for app in apps.get_app_configs() for model in app.get_models()]
    made += [shadow_of(table) for table in made]
    shared = [table for table in made if SHARED in SCHEMAS[alias] and table.startswith(f"{SHARED}.")]
    cursor.execute(RELATIONS, [_own_schemas(alias), shared])
    return dict(cursor.fetchall())


def drop(cursor: Cursor[Any] | Any, alias: str) -> None:
    """Drop all that is ours in a store, inside the caller's transaction; its schemas stay.

    Raises ``psycopg.errors.DependentObjectsStillExist`` where somebody else's view stands on a table of ours.
    """
    owned = owned_tables(cursor, alias)
    for kind in dict.fromkeys(KINDS.values()):
        names = [sql.Identifier(*name.split(".", 1)) for name, of in owned.items() if KINDS[of] == kind]
        if names:
            cursor.execute(sql.SQL("DROP {} {}").format(sql.SQL(kind), sql.SQL(", ").join(names)))
    cursor.execute(FUNCTIONS, [_own_schemas(alias)])
    for (function,) in cursor.fetchall():
        cursor.execute(sql.SQL("DROP FUNCTION {}").format(sql.SQL(function)))


def recreate(alias: str, say: Say) -> None:
    """``drop`` what is ours in a store and migrate it from nothing, inside the caller's transaction.

    Raises what ``drop`` raises, and ``migrations.NotMigrated``.
    """
    schema = SCHEMAS[alias][0]
    with connections[alias].cursor() as cursor:
        drop(cursor, alias)
        # a restore that was given up
        cursor.execute(COMMENT, [schema])
        if cursor.fetchone() == (RESTORING,):
            cursor.execute(sql.SQL("COMMENT ON SCHEMA {} IS NULL").format(sql.Identifier(schema)))
    migrate(alias, say, verbosity=0)


def _own_schemas(alias: str) -> list[str]:
    return [schema for schema in SCHEMAS[alias] if schema != SHARED]
