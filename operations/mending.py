"""Read tables that are missing, or that somebody altered by hand: found, and made anew from the models.

What is found here is what keeps a projector from writing its rows: columns, keys, indexes by their names,
checks and triggers. An index of one's own is left alone.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from django.apps import apps
from django.db import connections, transaction
from django.db.models import NOT_PROVIDED, CheckConstraint, CompositePrimaryKey, Field, Model
from psycopg import sql

from eventstore import retention
from operations.exclusive import Say, exclusive, raw_connection
from projections.connect import Connection
from projections.models import DeadLetter, ProjectorPosition
from projections.projectors.shape import Projector
from projections.tables import identifier

ALIAS = "projections"
LISTED = "users.dead_letters_listed"
# readers that are still at it when a table is made anew
LOCK_PATIENCE = "10s"

COLUMNS = """
SELECT attname, format_type(atttypid, atttypmod), NOT attnotnull,
       CASE WHEN collname <> 'default' THEN collname END, atthasdef
  FROM pg_attribute LEFT JOIN pg_collation ON pg_collation.oid = attcollation
 WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped
"""
INDEXES = """
SELECT index.relname, indisprimary, indisunique,
       ARRAY(SELECT attname::text FROM unnest(indkey) WITH ORDINALITY AS key (number, place)
               JOIN pg_attribute ON attrelid = indrelid AND attnum = key.number ORDER BY place)
  FROM pg_index JOIN pg_class index ON index.oid = indexrelid
 WHERE indrelid = %s::regclass AND indisvalid
"""
RULES = """
SELECT (SELECT count(*) FROM pg_constraint WHERE conrelid = %(table)s::regclass AND contype = 'c'),
       (SELECT count(*) FROM pg_constraint WHERE conrelid = %(table)s::regclass AND contype IN ('f', 'x')),
       (SELECT count(*) FROM pg_trigger WHERE tgrelid = %(table)s::regclass AND NOT tgisinternal)
"""


class Column(NamedTuple):
    type: str
    null: bool
    collation: str | None
    default: bool


def table_of(model: type[Model]) -> str:
    """The name as projectors write it: schema, dot, table."""
    return model._meta.db_table.replace('"', "")


def read_models() -> dict[str, type[Model]]:
    """The models of the projections store by their tables."""
    return {
        table_of(model): model for model in apps.get_app_config(ALIAS).get_models() if model._meta.managed
    }


def damage(connection: Connection, table: str) -> str:
    """What is wrong with a read table, in a few words; empty where it is what the migrations made."""
    model = read_models()[table]
    if not _exists(connection, table):
        return "missing"
    found = {row[0]: Column(*row[1:]) for row in connection.execute(COLUMNS, [table])}
    wanted = dict(_columns(model))
    if wrong := sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name)):
        return f"columns {', '.join(wrong)}"
    indexes = connection.execute(INDEXES, [table]).fetchall()
    key = {name: columns for name, primary, _, columns in indexes if primary}
    if list(key.values()) != [_key(model)]:
        return "primary key"
    named = {index.name for index in model._meta.indexes}
    if missing := sorted(named - {name for name, *_ in indexes}):
        return f"index {', '.join(missing)}"
    if more := sorted(name for name, _, unique, _ in indexes if unique and name not in named | key.keys()):
        return f"unique index {', '.join(more)}"
    checks = sum(1 for field in _fields(model) if field.db_check(connections[ALIAS]))
    checks += sum(1 for one in model._meta.constraints if isinstance(one, CheckConstraint))
    if connection.execute(RULES, {"table": table}).fetchone() != (checks, 0, 0):
        return "constraints or triggers"
    return ""


def broken(connection: Connection, projectors: Iterable[Projector]) -> dict[str, str]:
    """The damaged tables of these projectors, and what is wrong with each."""
    tables = [table for projector in projectors for table in projector.tables]
    return {table: found for table in tables if (found := damage(connection, table))}


def unusable(connection: Connection) -> bool:
    """Whether what all projectors share is damaged: positions, dead letters, the record of migrations."""
    shared = [table_of(model) for model in (ProjectorPosition, DeadLetter)]
    there = all(_exists(connection, relation) for relation in (LISTED, "users.django_migrations"))
    return not there or any(damage(connection, table) for table in shared)


def mend(projectors: Sequence[Projector], say: Say) -> None:
    """Make all tables of these projectors anew, empty, in one transaction; each starts at the first event.

    Their acknowledgements go first: retention must not count on rows that are gone. Raises
    ``psycopg.errors.LockNotAvailable`` where readers stay for long.
    """
    names = [projector.name for projector in projectors]
    retention.acknowledge(dict.fromkeys(names, 0))
    models = read_models()
    tables = [table for projector in projectors for table in projector.tables]
    with exclusive(raw_connection(ALIAS), ALIAS, say), transaction.atomic(using=ALIAS):
        with connections[ALIAS].cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_PATIENCE}'")
            # the row of the position comes first, as in every transaction of a projector
            cursor.execute(
                'UPDATE "users"."projector_positions" SET position = 0, parked = false, epoch = epoch + 1'
                " WHERE projector = ANY(%s)",
                [names],
            )
            cursor.execute('DELETE FROM "users"."dead_letters" WHERE projector = ANY(%s)', [names])
            for table in tables:
                cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(identifier(table)))
        with connections[ALIAS].schema_editor() as editor:
            for table in tables:
                editor.create_model(models[table])


def _exists(connection: Connection, relation: str) -> bool:
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [relation]).fetchone()
    return bool(row and row[0])


def _fields(model: type[Model]) -> list["Field[Any, Any]"]:
    return [field for field in model._meta.local_fields if not isinstance(field, CompositePrimaryKey)]


def _columns(model: type[Model]) -> Iterable[tuple[str, Column]]:
    for field in _fields(model):
        type_ = field.db_type(connections[ALIAS])
        default = getattr(field, "db_default", NOT_PROVIDED) is not NOT_PROVIDED
        yield str(field.column), Column(str(type_), field.null, getattr(field, "db_collation", None), default)


def _key(model: type[Model]) -> list[str]:
    key = model._meta.pk
    return list(key.field_names) if isinstance(key, CompositePrimaryKey) else [str(key.column)]
