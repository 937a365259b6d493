"""Pending migrations of a store, and applying them beside the running server without leaving half of one.

Django's ``migrate`` does the work, store by store. Here, a migration and the record that it was applied are
one transaction. It waits no longer than ``MIGRATION_LOCK_TIMEOUT`` for a table, because everybody else who
wants that table queues behind it: then it gives up, lets them pass, and tries again after a pause.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import django.db
import psycopg
from django.apps import apps
from django.conf import settings
from django.contrib.auth.management import create_permissions
from django.core.management import call_command
from django.core.management.commands import migrate as django_migrate
from django.db import connections, router, transaction
from django.db.migrations import Migration
from django.db.migrations.exceptions import MigrationSchemaMissing
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState
from psycopg.errors import LockNotAvailable

from eventstore.failpoints import failpoint
from operations.errors import OperatorError
from operations.exclusive import Say, exclusive, raw_connection

# How often a migration tries to lock its tables, and the first pause in seconds: it doubles each time.
ATTEMPTS, PAUSE = 6, 1.0
# As in Django: each migration, with whether it is to be undone.
Plan = list[tuple[Migration, bool]]


class NotMigrated(OperatorError):
    """A store is not at the wanted migration; no migration is half done."""


class StoreExecutor(MigrationExecutor):
    """Django's executor for the apps of one store only, with each migration and its record in one
    transaction."""

    def migration_plan(self, targets: Any, clean_start: bool = False) -> Plan:
        plan = super().migration_plan(targets, clean_start)
        return [each for each in plan if router.allow_migrate(self.connection.alias, each[0].app_label)]

    def apply_migration(
        self, state: ProjectState, migration: Migration, fake: bool = False, fake_initial: bool = False
    ) -> ProjectState:
        with _as_one(self.connection.alias, migration):
            return super().apply_migration(state, migration, fake, fake_initial)

    def unapply_migration(
        self, state: ProjectState, migration: Migration, fake: bool = False
    ) -> ProjectState:
        with _as_one(self.connection.alias, migration):
            return super().unapply_migration(state, migration, fake)


# Django's command takes the executor from its module, so it has to be replaced there.
django_migrate.MigrationExecutor = StoreExecutor  # type: ignore[attr-defined]


class _Migrate(django_migrate.Command):
    """Django's command, which prints a line for each migration that is done."""

    def __init__(self, alias: str, say: Say) -> None:
        super().__init__()
        self._alias, self._tell = alias, say

    def migration_progress_callback(self, action: str, migration: Any = None, fake: bool = False) -> None:
        if action in ("apply_success", "unapply_success"):
            done = "applied" if action == "apply_success" else "undone"
            self._tell(f"{self._alias}: {migration.app_label} {migration.name} {done}")


class _InUse(Exception):
    """The migration of this name did not get its tables in time."""


def store_of(app: str) -> str:
    return next(alias for alias in connections if alias != "default" and router.allow_migrate(alias, app))


def apps_of(alias: str) -> list[str]:
    """Return the labels of the apps that live in a store and have migrations.

    A store records the migrations of its own apps only.
    """
    return sorted(app for app in MigrationLoader(None).migrated_apps if router.allow_migrate(alias, app))


def known(alias: str) -> set[tuple[str, str]]:
    """Return app and name of each migration that this version has for a store. No database is asked."""
    found = MigrationLoader(None).disk_migrations
    return {(app, name) for app, name in found if router.allow_migrate(alias, app)}


def unknown(alias: str) -> list[str]:
    """Return the migrations applied in a store that this version does not know: a newer one was here."""
    applied = MigrationLoader(connections[alias]).applied_migrations
    return sorted(f"{app} {name}" for app, name in applied.keys() - known(alias) if store_of(app) == alias)


def plan(alias: str, to: Sequence[str] = ()) -> Plan:
    """Return the plan that brings a store to its newest migrations, or to ``to``. Writes nothing.

    ``to`` is an app and either the beginning of a migration's name, which must be unique, or "zero".
    """
    raw_connection(alias)
    executor = StoreExecutor(connections[alias])
    if not to:
        return executor.migration_plan(executor.loader.graph.leaf_nodes())
    app, prefix = to
    name = None if prefix == "zero" else executor.loader.get_migration_by_prefix(app, prefix).name
    return executor.migration_plan([(app, name)])


def migrate(alias: str, say: Say = print, to: Sequence[str] = (), *, verbosity: int = 1) -> None:
    """Bring a store to its newest migrations, or to ``to``. Can be repeated whatever happened before.

    ``say`` gets a line for each migration, unless ``verbosity`` is 0, and always one about what is waited
    for. Raises ``NotMigrated``, ``CommandError`` if there is no such migration, ``django.db.Error`` when the
    server is away.
    """
    tell: Say = say if verbosity else lambda line: None
    with exclusive(raw_connection(alias), alias, say):
        for attempt in range(1, ATTEMPTS + 1):
            try:
                call_command(_Migrate(alias, tell), *to, database=alias, interactive=False, verbosity=0)
                break
            except MigrationSchemaMissing as missing:
                raise NotMigrated(
                    f"{alias}: its schema is not there, or this role may create nothing in it.\n"
                    "manage.py db_create makes it; or name the role that did (docs/settings.md)."
                ) from missing
            except _InUse as refused:
                if attempt == ATTEMPTS:
                    raise NotMigrated(
                        f"{alias}: {refused} did not get the tables it changes within"
                        f" {settings.MIGRATION_LOCK_TIMEOUT:g} s (MIGRATION_LOCK_TIMEOUT), {ATTEMPTS} times."
                        "\nNothing of it was done: run the command again later."
                    ) from refused
                pause = PAUSE * 2 ** (attempt - 1)
                say(f"{alias}: {refused} needs what others use; lets them pass, tries again in {pause:g} s")
                time.sleep(pause)
        if alias == store_of("auth") and not to:
            # Django creates permissions only for apps whose migrations it has seen: those of one store
            for config in apps.get_app_configs():
                create_permissions(config, verbosity=0, using=alias)
    tell(f"{alias}: at {' '.join(to)}" if to else f"{alias}: up to date")
    for name in unknown(alias):
        say(f"{alias}: {name} is applied, and unknown to this version: a newer one was here")


@contextmanager
def _as_one(alias: str, migration: Migration) -> Iterator[None]:
    name = f"{migration.app_label} {migration.name}"
    try:
        with _transaction(alias, migration):
            yield
            failpoint("migrating")
    except django.db.Error as error:
        if isinstance(error.__cause__, LockNotAvailable):
            raise _InUse(name) from error
        left = (
            "Nothing of it was done; what came before it stays."
            if migration.atomic
            else "It is not one transaction: look at what it left before you run it again."
        )
        raise NotMigrated(f"{alias}: {name} failed: {_message(error)}\n{left}") from error


@contextmanager
def _transaction(alias: str, migration: Migration) -> Iterator[None]:
    if not migration.atomic:
        # CREATE INDEX CONCURRENTLY and the like: nobody queues behind it, so it may wait for a long time
        yield
        return
    with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{int(settings.MIGRATION_LOCK_TIMEOUT * 1000)}ms'")
        yield


def _message(error: django.db.Error) -> str:
    """Return the first line of the server's message, unless it may contain a row."""
    if isinstance(error, django.db.DataError):
        return "rows do not fit"
    cause = error.__cause__
    primary = cause.diag.message_primary if isinstance(cause, psycopg.Error) else None
    return str(primary or error).strip().partition("\n")[0]
