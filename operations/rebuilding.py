"""Rebuilding read models, and what the events store may delete afterwards."""

from argparse import ArgumentTypeError
from collections.abc import Iterable, Sequence
from typing import TextIO

from django.apps import apps
from django.db import connections, transaction
from django.db.models import Model
from psycopg import sql

from eventstore import retention
from operations.errors import OperatorError
from operations.exclusive import exclusive, raw_connection
from operations.inventory import table_of
from operations.progress import progress
from projections import lag
from projections.connect import connect
from projections.garbage import relaxed_gc
from projections.projectors import PROJECTORS
from projections.projectors.shape import Projector, identifier
from projections.rebuild import AlreadyRunning, rebuild
from projections.shadows import TableChanged
from projections.worker import safe_positions

ALIAS = "projections"
# How long readers still using a table may keep it from being dropped.
LOCK_TIMEOUT = "10s"
START_AGAIN = """
UPDATE "users"."projector_positions" SET position = 0, parked = false, epoch = epoch + 1
 WHERE projector = ANY(%s)
"""
# Columns that are missing, superfluous, or of another type. A missing table lacks all of them.
WRONG_COLUMNS = """
SELECT coalesce(attname, name) FROM (SELECT attname, atttypid FROM pg_attribute
         WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped) AS found
  FULL JOIN unnest(%s::text[], %s::text[]) AS wanted (name, type) ON attname = name
 WHERE atttypid IS DISTINCT FROM to_regtype(type) ORDER BY 1
"""
KEY = "SELECT FROM pg_index WHERE indrelid = to_regclass(%s) AND indisprimary"


class NotRebuilt(OperatorError):
    """The rebuild failed; the read models are unchanged."""


def named(name: str) -> Projector:
    """Return the projector of this name, for ``argparse``. Raises ``ArgumentTypeError``."""
    if name not in PROJECTORS:
        raise ArgumentTypeError(f"no such projector: {name}; there are {', '.join(PROJECTORS)}")
    return PROJECTORS[name]


def rebuild_beside(projectors: Sequence[Projector], out: TextIO) -> list[str]:
    """Fill fresh tables from all events and swap them in; readers see the old rows until then.

    Returns lines for the operator about events that could not be applied: their rows are missing. Raises
    ``NotRebuilt``, ``psycopg.errors.LockNotAvailable``, and the errors of a store that is away.
    """
    try:
        with relaxed_gc():
            rebuild(projectors, progress(out, "Rebuilding", "events"))
    except AlreadyRunning as error:
        raise NotRebuilt(f"{error} is being rebuilt by another process.") from error
    except TableChanged as error:
        raise NotRebuilt(f"{error} was migrated meanwhile: nothing changed, try again.") from error
    names = [projector.name for projector in projectors]
    # the swap was flushed to the disk; without this, retention would wait until the next event
    with connect(ALIAS, application_name="balados-rebuild") as connection:
        retention.acknowledge(safe_positions(connection, names))
    return [
        f"{each.projector}: {each.failed} events could not be applied, {each.behind} wait behind them;"
        " see manage.py dead_letters"
        for each in lag.dead_letter_counts()
        if each.projector in names and each.failed + each.behind
    ]


def reset_and_rebuild(projectors: Sequence[Projector], out: TextIO) -> list[str]:
    """Drop and recreate all tables of the projectors, whatever is wrong with them, then ``rebuild_beside``.

    Returns and raises what that does.
    """
    with exclusive(raw_connection(ALIAS), ALIAS, lambda line: out.write(f"{line}\n")):
        recreate_tables(projectors)
    return rebuild_beside(projectors, out)


def recreate_tables(projectors: Sequence[Projector]) -> None:
    """Recreate all tables of these projectors, empty, in one transaction; each starts at the first event.

    Raises ``psycopg.errors.LockNotAvailable`` when readers hold a table for too long.
    """
    names = [projector.name for projector in projectors]
    # first, because retention must not rely on rows that are gone
    retention.acknowledge(dict.fromkeys(names, 0))
    models = read_models()
    tables = [table for projector in projectors for table in projector.tables]
    with transaction.atomic(using=ALIAS):
        with connections[ALIAS].cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            # the row of the position is locked first, as in every transaction of a projector
            cursor.execute(START_AGAIN, [names])
            cursor.execute('DELETE FROM "users"."dead_letters" WHERE projector = ANY(%s)', [names])
            for table in tables:
                cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(identifier(table)))
        with connections[ALIAS].schema_editor() as editor:
            for table in tables:
                editor.create_model(models[table])


def read_models() -> dict[str, type[Model]]:
    """Return the models of the projections store by the names of their tables."""
    return {table_of(model): model for model in apps.get_app_config(ALIAS).get_models()}


def find_damage(tables: Iterable[str]) -> dict[str, str]:
    """Return what is wrong with those read tables whose columns or primary key differ from their models."""
    models = read_models()
    return {table: wrong for table in tables if (wrong := _damage(table, models[table]))}


def _damage(table: str, model: type[Model]) -> str:
    connection = connections[ALIAS]
    wanted = {field.column: field.db_type(connection) for field in model._meta.local_concrete_fields}
    with connection.cursor() as cursor:
        cursor.execute(WRONG_COLUMNS, [table, list(wanted), list(wanted.values())])
        wrong = [f"column {name}" for (name,) in cursor.fetchall()]
        cursor.execute(KEY, [table])
        if cursor.fetchone() is None:
            wrong.append("primary key")
    return "missing" if len(wrong) > len(wanted) else ", ".join(wrong)
