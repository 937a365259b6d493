"""What is pending in a store, and applying it without stopping the service or leaving half of it.

A migration is one transaction with the note that it was applied. It waits no longer than
``MIGRATION_LOCK_TIMEOUT`` for a table, because whoever wants that table waits behind it. Then it gives up,
lets them pass, and tries again after a pause.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import django.db
import psycopg
from django.conf import settings
from django.core.management.sql import emit_post_migrate_signal, emit_pre_migrate_signal
from django.db import connections, router, transaction
from django.db.migrations import Migration
from django.db.migrations.exceptions import (
    AmbiguityError,
    InconsistentMigrationHistory,
    MigrationSchemaMissing,
)
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState
from psycopg.errors import LockNotAvailable

from eventstore.failpoints import failpoint
from operations.exclusive import Say, exclusive, raw_connection

# What others may hold while their transactions are open. Not what they do: a statement may hold a row.
OLDEST = """
SELECT pid, coalesce(nullif(application_name, ''), 'no name given'),
       extract(epoch FROM clock_timestamp() - xact_start)::int
  FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
 ORDER BY xact_start LIMIT 3
"""


class NotMigrated(Exception):
    """A store is not where it should be, and nothing is half done; the text says why, and what to do."""


class Patience(NamedTuple):
    """How often a migration asks for its tables, and the pause between (seconds, doubled each time)."""

    attempts: int = 6
    pause: float = 1.0
    longest_pause: float = 8.0


PATIENT = Patience()


class Target(NamedTuple):
    """A migration to go to, of the app ``app`` in the store ``alias``; None is before its first."""

    alias: str
    app: str
    migration: str | None


class Step(NamedTuple):
    """``here``: whether it changes this store. Every store records every migration, also of other stores."""

    migration: Migration
    backwards: bool
    here: bool

    @property
    def name(self) -> str:
        return f"{self.migration.app_label} {self.migration.name}"


def target(app: str, prefix: str) -> Target:
    """What an operator means by an app and the beginning of a migration's name, or ``zero``.

    Raises ``NotMigrated`` where there is no such, or more than one.
    """
    loader = MigrationLoader(None)
    if app not in loader.migrated_apps:
        raise NotMigrated(
            f"No app {app} has migrations; these have: {', '.join(sorted(loader.migrated_apps))}."
        )
    alias = next(alias for alias in connections if alias != "default" and router.allow_migrate(alias, app))
    if prefix == "zero":
        return Target(alias, app, None)
    try:
        return Target(alias, app, loader.get_migration_by_prefix(app, prefix).name)
    except (KeyError, AmbiguityError):
        names = sorted(name for of, name in loader.disk_migrations if of == app)
        raise NotMigrated(
            f"{prefix} begins the name of no one migration of {app}: {', '.join(names)}."
        ) from None


def steps(alias: str, to: Target | None = None) -> list[Step]:
    """What leads a store to its newest migrations, or to ``to``. Writes nothing. Raises ``NotMigrated``."""
    raw_connection(alias)
    return _steps(_Executor(alias), to)


def unknown(alias: str) -> list[str]:
    """What is applied in a store that this version does not know: a newer one was here."""
    loader = MigrationLoader(connections[alias])
    ours = {app for app, _ in loader.disk_migrations}
    strange = set(loader.applied_migrations) - set(loader.disk_migrations)
    return sorted(f"{app} {name}" for app, name in strange if app in ours)


def migrate(
    alias: str, say: Say, to: Target | None = None, *, verbosity: int = 1, patience: Patience = PATIENT
) -> int:
    """Bring a store to its newest migrations, or to ``to``. Returns how many were applied or undone.

    Raises ``NotMigrated``, and ``django.db.Error`` when the server is away. May be repeated after whatever.
    """
    tell: Say = say if verbosity else _nobody
    done = 0
    with exclusive(raw_connection(alias), alias, say):
        for attempt in range(1, patience.attempts + 1):
            executor = _Executor(alias, tell)
            try:
                _run(executor, to)
                done += executor.done
                break
            except MigrationSchemaMissing as missing:
                raise NotMigrated(
                    f"{alias}: its schema is not there, or this role may create nothing in it.\n"
                    "manage.py db_create makes it; or name the role that did (docs/settings.md)."
                ) from missing
            except _InUse as refused:
                done += executor.done
                if attempt == patience.attempts:
                    raise NotMigrated(f"{alias}: {_gave_up(alias, refused, attempt)}") from refused
                pause = min(patience.pause * 2 ** (attempt - 1), patience.longest_pause)
                say(f"{alias}: {refused} needs what others use; lets them pass, tries again in {pause:g} s")
                time.sleep(pause)
    tell(f"{alias}: up to date" if to is None else f"{alias}: at {to.app} {to.migration or 'zero'}")
    return done


def _nobody(line: str) -> None:
    """Says nothing."""


class _InUse(Exception):
    """The migration of this name did not get its tables in time."""


class _Executor(MigrationExecutor):
    """Django's, which commits a migration and notes it afterwards; here both are one transaction."""

    def __init__(self, alias: str, tell: Say = _nobody) -> None:
        super().__init__(connections[alias])
        self.alias, self.tell = alias, tell
        self.done = 0

    def changes(self, migration: Migration) -> bool:
        """Whether it does anything in this store."""
        return bool(router.allow_migrate(self.alias, migration.app_label))

    def apply_migration(
        self, state: ProjectState, migration: Migration, fake: bool = False, fake_initial: bool = False
    ) -> ProjectState:
        with self._as_one(migration, "applied"):
            return super().apply_migration(state, migration, fake, fake_initial)

    def unapply_migration(
        self, state: ProjectState, migration: Migration, fake: bool = False
    ) -> ProjectState:
        with self._as_one(migration, "undone"):
            return super().unapply_migration(state, migration, fake)

    @contextmanager
    def _as_one(self, migration: Migration, done: str) -> Iterator[None]:
        name, began = f"{migration.app_label} {migration.name}", time.monotonic()
        try:
            with self._transaction(migration):
                yield
                failpoint("migrating")
        except django.db.Error as error:
            if isinstance(error.__cause__, LockNotAvailable):
                raise _InUse(name) from error
            raise NotMigrated(f"{self.alias}: {name} failed: {_said(error)}{_left(migration)}") from error
        self.done += 1
        if self.changes(migration):
            self.tell(f"{self.alias}: {name} {done} ({time.monotonic() - began:.2f} s)")

    @contextmanager
    def _transaction(self, migration: Migration) -> Iterator[None]:
        if not migration.atomic:
            # CREATE INDEX CONCURRENTLY and the like: others go on while it waits, so it may wait for long
            yield
            return
        with transaction.atomic(using=self.alias):
            with self.connection.cursor() as cursor:
                milliseconds = int(settings.MIGRATION_LOCK_TIMEOUT * 1000)
                cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{milliseconds}ms"])
            yield


def _steps(executor: _Executor, to: Target | None) -> list[Step]:
    loader = executor.loader
    try:
        loader.check_consistent_history(executor.connection)
    except InconsistentMigrationHistory as error:
        raise NotMigrated(f"{executor.alias}: {error}") from error
    if conflicts := loader.detect_conflicts():
        raise NotMigrated(f"Two migrations claim to be the newest: {conflicts}")
    targets = loader.graph.leaf_nodes() if to is None else [(to.app, to.migration)]
    return [
        Step(migration, backwards, executor.changes(migration))
        for migration, backwards in executor.migration_plan(targets)
    ]


def _run(executor: _Executor, to: Target | None) -> None:
    steps = _steps(executor, to)
    backwards = any(step.backwards for step in steps)
    if not backwards:
        _note(executor, [step.migration for step in steps if not step.here])
        steps = [step for step in steps if step.here]
    plan = [(step.migration, step.backwards) for step in steps]
    before: ProjectState | None = None
    if plan and not backwards:
        before = executor._create_project_state(with_applied_migrations=True)  # type: ignore[attr-defined]
        assert before is not None
        # contenttypes renames its rows where a model is renamed
        emit_pre_migrate_signal(
            verbosity=0, interactive=False, db=executor.alias, apps=before.apps, plan=plan
        )
    executor.migrate([], plan, before)
    if not backwards and to is None:
        # content types and permissions, also where the one who made the tables died before it made these
        emit_post_migrate_signal(verbosity=0, interactive=False, db=executor.alias, plan=plan)


def _note(executor: _Executor, foreign: list[Migration]) -> None:
    """Note what belongs to other stores, all at once: one by one it took a third of a first start's time."""
    if not foreign:
        return
    executor.recorder.ensure_schema()
    with transaction.atomic(using=executor.alias):
        for migration in foreign:
            executor.record_migration(migration)  # type: ignore[call-arg,arg-type]  # stubs of an older Django
    executor.done += len(foreign)
    executor.loader.build_graph()


def _gave_up(alias: str, refused: _InUse, attempts: int) -> str:
    with connections[alias].cursor() as cursor:
        cursor.execute(OLDEST)
        holders = [f"process {pid} ({name}) for {seconds} s" for pid, name, seconds in cursor.fetchall()]
    longest = f" Longest in a transaction: {', '.join(holders)}." if holders else ""
    return (
        f"{refused} did not get the tables it changes within {settings.MIGRATION_LOCK_TIMEOUT:g} s"
        f" (MIGRATION_LOCK_TIMEOUT), {attempts} times.\nNothing of it was done: run the command again"
        f" later.{longest}"
    )


def _said(error: django.db.Error) -> str:
    if isinstance(error, django.db.DataError):
        return "rows do not fit"  # the message may hold one
    cause = error.__cause__
    told = cause.diag.message_primary if isinstance(cause, psycopg.Error) else None
    return str(told or error).strip().splitlines()[0]


def _left(migration: Migration) -> str:
    if migration.atomic:
        return "\nNothing of it was done; what came before it stays."
    return "\nIt is not one transaction: look at what it left before you run it again."
