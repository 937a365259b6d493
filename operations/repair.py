"""Read tables that are missing, or were altered by hand: finding them, and making them again from the models.

A table is compared with an empty one that is made from its model, as the migrations make it. An index that
the operator added is left alone, unless it is unique: that may keep a projector from writing.
"""

from collections.abc import Iterable, Mapping, Sequence

from django.apps import apps
from django.db import connections, transaction
from django.db.models import Model
from psycopg import sql

from eventstore import retention
from operations.exclusive import Say, exclusive, raw_connection
from projections.models import DeadLetter, ProjectorPosition
from projections.projectors.shape import Projector, identifier

ALIAS = "projections"
# How long readers that are still at a table may keep it from being dropped.
LOCK_TIMEOUT = "10s"
# Names with definitions, without the schema: the table to compare with is in another. "Not null" is a
# constraint with a name from PostgreSQL 18 on.
SHAPE = """
SELECT 'column ' || attname, concat_ws(' ', format_type(atttypid, atttypmod), attnotnull, collname, atthasdef)
  FROM pg_attribute LEFT JOIN pg_collation ON pg_collation.oid = attcollation
 WHERE attrelid = %(table)s::regclass AND attnum > 0 AND NOT attisdropped
 UNION ALL
SELECT CASE WHEN indisprimary THEN 'primary key' WHEN indisunique THEN 'unique index ' || relname
            ELSE 'index ' || relname END, substring(pg_get_indexdef(indexrelid) FROM ' USING .*')
  FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
 WHERE indrelid = %(table)s::regclass AND indisvalid
 UNION ALL
SELECT 'constraint ' || conname, pg_get_constraintdef(oid) FROM pg_constraint
 WHERE conrelid = %(table)s::regclass AND contype NOT IN ('n', 'p', 'u')
 UNION ALL
SELECT 'trigger ' || tgname, '' FROM pg_trigger
 WHERE tgrelid = %(table)s::regclass AND NOT tgisinternal AND tgname NOT LIKE 'balados%%'
"""
START_AGAIN = """
UPDATE "users"."projector_positions" SET position = 0, parked = false, epoch = epoch + 1
 WHERE projector = ANY(%s)
"""


def table_of(model: type[Model]) -> str:
    """The name as projectors write it: schema, dot, table."""
    return model._meta.db_table.replace('"', "")


def read_models() -> dict[str, type[Model]]:
    """The models of the projections store by their tables."""
    return {table_of(model): model for model in apps.get_app_config(ALIAS).get_models()}


def find_damage(tables: Iterable[str]) -> dict[str, str]:
    """Those of the read tables that are not what the migrations made, and what is wrong with each."""
    models = read_models()
    with transaction.atomic(using=ALIAS):
        wrong = {table: _compare(table, models[table]) for table in tables}
        transaction.set_rollback(True, using=ALIAS)
    return {table: words for table, words in wrong.items() if words}


def is_unusable() -> bool:
    """Whether what all projectors share is damaged: positions, dead letters, the record of migrations."""
    there = _exists("users.django_migrations")
    return not there or bool(find_damage(map(table_of, (ProjectorPosition, DeadLetter))))


def repair(projectors: Sequence[Projector], say: Say) -> None:
    """Make all tables of these projectors anew, empty, in one transaction; each starts at the first event.

    Raises ``psycopg.errors.LockNotAvailable`` where readers stay for long.
    """
    names = [projector.name for projector in projectors]
    # first: retention must not count on rows that are gone
    retention.acknowledge(dict.fromkeys(names, 0))
    models = read_models()
    tables = [table for projector in projectors for table in projector.tables]
    with exclusive(raw_connection(ALIAS), ALIAS, say), transaction.atomic(using=ALIAS):
        with connections[ALIAS].cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            # the row of the position comes first, as in every transaction of a projector
            cursor.execute(START_AGAIN, [names])
            cursor.execute('DELETE FROM "users"."dead_letters" WHERE projector = ANY(%s)', [names])
            for table in tables:
                cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(identifier(table)))
        with connections[ALIAS].schema_editor() as editor:
            for table in tables:
                editor.create_model(models[table])


def _compare(table: str, model: type[Model]) -> str:
    """What is wrong with a table, in a few words; empty where nothing is."""
    if not _exists(table):
        return "missing"
    pristine = f'pg_temp."{table.partition(".")[2]}"'
    with connections[ALIAS].schema_editor(collect_sql=True) as editor:
        editor.create_model(model)
    with connections[ALIAS].cursor() as cursor:
        for statement in editor.collected_sql:
            cursor.execute(statement.replace(model._meta.db_table, pristine))
    found, wanted = _shape(table), _shape(pristine)
    own = {name for name in found.keys() - wanted.keys() if name.startswith("index ")}
    names = (found.keys() | wanted.keys()) - own
    return ", ".join(sorted(name for name in names if found.get(name) != wanted.get(name)))


def _shape(table: str) -> Mapping[str, str]:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(SHAPE, {"table": table})
        return dict(cursor.fetchall())


def _exists(relation: str) -> bool:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [relation])
        return bool(cursor.fetchone()[0])
