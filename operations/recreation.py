"""Dropping what a store holds, and making it again by its migrations. Nobody else's tables are touched."""

from typing import Any

from django.apps import apps
from django.db import connections
from psycopg import Cursor, sql

from operations import mending
from operations.exclusive import Say
from operations.migrations import migrate
from operations.stores import COMMENT, RESTORING, SCHEMAS
from projections.shadows import USES, shadow_of

# In this schema everybody's tables are: of it only those that we made are ours.
SHARED = "public"
# what belongs to an extension (pg_stat_statements, say) is not ours wherever it is
RELATIONS = """
SELECT n.nspname, c.relname, c.relkind::text
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'p', 'f', 'v', 'm')
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
KINDS = {"v": sql.SQL("VIEW"), "m": sql.SQL("MATERIALIZED VIEW"), "f": sql.SQL("FOREIGN TABLE")}


def ours(cursor: Cursor[Any] | Any, alias: str) -> dict[str, str]:
    """The relations of a store, "schema.name" -> kind as in ``pg_class``; nothing of others in ``public``."""
    cursor.execute(RELATIONS, [list(SCHEMAS[alias])])
    made = _made_in_shared()
    return {
        f"{schema}.{name}": kind
        for schema, name, kind in cursor.fetchall()
        if schema != SHARED or f"{schema}.{name}" in made
    }


def drop(cursor: Cursor[Any] | Any, alias: str) -> None:
    """Drop all that is ours in a store, inside the caller's transaction; its schemas stay.

    Raises ``psycopg.errors.DependentObjectsStillExist`` where somebody else's view stands on a table of ours.
    """
    for kind in ("v", "m", "f", "rp"):
        names = [name for name, of in ours(cursor, alias).items() if of in kind]
        if names:
            listed = sql.SQL(", ").join(sql.Identifier(*name.split(".", 1)) for name in names)
            cursor.execute(sql.SQL("DROP {} {}").format(KINDS.get(kind, sql.SQL("TABLE")), listed))
    cursor.execute(FUNCTIONS, [[schema for schema in SCHEMAS[alias] if schema != SHARED]])
    for (function,) in cursor.fetchall():
        cursor.execute(sql.SQL("DROP FUNCTION {}").format(sql.SQL(function)))


def recreate(alias: str, say: Say) -> None:
    """``drop`` what is ours in a store and migrate it from nothing, inside the caller's transaction.

    Raises what ``drop`` raises, and ``migrations.NotMigrated``.
    """
    with connections[alias].cursor() as cursor:
        drop(cursor, alias)
        # a restore that was given up
        cursor.execute(COMMENT, [SCHEMAS[alias][0]])
        if cursor.fetchone() == (RESTORING,):
            cursor.execute(sql.SQL("COMMENT ON SCHEMA {} IS NULL").format(sql.Identifier(SCHEMAS[alias][0])))
    migrate(alias, say, verbosity=0)


def _made_in_shared() -> set[str]:
    models = (model for app in apps.get_app_configs() for model in app.get_models())
    tables = {mending.table_of(model) for model in models}
    return tables | {shadow_of(table, use) for table in tables for use in USES}
