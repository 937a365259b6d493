"""What is pending in a store, and applying it beside the running server, without leaving half of it.

Django's executor does the work, store by store. A migration and the note that it was applied are one
transaction here. It waits no longer than ``MIGRATION_LOCK_TIMEOUT`` for a table, because whoever wants that
table waits behind it: then it gives up, lets them pass, and tries again after a pause.
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
from operations.errors import OperatorError
from operations.exclusive import Say, exclusive, raw_connection

# How often a migration asks for its tables, and the pause between in seconds: it doubles each time.
ATTEMPTS, PAUSE, LONGEST_PAUSE = 6, 1.0, 8.0
# Django's plan: each migration with whether it is undone.
Plan = list[tuple[Migration, bool]]


class NotMigrated(OperatorError):
    """A store is not where it should be, and nothing is half done."""


class Target(NamedTuple):
    """A migration of an app of the store ``alias`` to go to; None is before its first."""

    alias: str
    app: str
    migration: str | None


def apps_of(alias: str, loader: MigrationLoader | None = None) -> list[str]:
    """The labels of the apps that have migrations and live in a store. A store notes those of no others."""
    migrated = (loader or MigrationLoader(None)).migrated_apps
    return sorted(app for app in migrated if router.allow_migrate(alias, app))


def find_target(app: str, prefix: str) -> Target:
    """The migration whose name begins so, or ``zero``. Raises ``NotMigrated`` where there is not just one."""
    loader = MigrationLoader(None)
    if app not in loader.migrated_apps:
        names = ", ".join(sorted(loader.migrated_apps))
        raise NotMigrated(f"No app {app} has migrations; these have: {names}.")
    alias = next(alias for alias in connections if alias != "default" and router.allow_migrate(alias, app))
    if prefix == "zero":
        return Target(alias, app, None)
    try:
        return Target(alias, app, loader.get_migration_by_prefix(app, prefix).name)
    except (KeyError, AmbiguityError):
        names = ", ".join(sorted(name for label, name in loader.disk_migrations if label == app))
        raise NotMigrated(f"{prefix} begins the name of no one migration of {app}: {names}.") from None


def known(alias: str) -> set[tuple[str, str]]:
    """App and name of each migration that this version has for a store. Asks no database."""
    loader = MigrationLoader(None)
    apps = apps_of(alias, loader)
    return {key for key in loader.disk_migrations if key[0] in apps}


def unknown(alias: str) -> list[str]:
    """What is applied in a store that this version does not know: a newer one was here."""
    applied = MigrationLoader(connections[alias]).applied_migrations
    return sorted(f"{app} {name}" for app, name in applied.keys() - known(alias) if app in apps_of(alias))


def plan(alias: str, to: Target | None = None) -> Plan:
    """What leads a store to its newest migrations, or to ``to``. Writes nothing. Raises ``NotMigrated``."""
    raw_connection(alias)
    return _Executor(alias).plan(to)


def migrate(alias: str, say: Say = print, to: Target | None = None, *, verbosity: int = 1) -> None:
    """Bring a store to its newest migrations, or to ``to``. May be repeated after whatever happened.

    ``say`` gets a line for each migration unless ``verbosity`` is 0, and always what is waited for. Raises
    ``NotMigrated``, and ``django.db.Error`` when the server is away.
    """
    tell: Say = say if verbosity else lambda line: None
    with exclusive(raw_connection(alias), alias, say):
        for attempt in range(1, ATTEMPTS + 1):
            try:
                _Executor(alias, tell).run(to)
                break
            except _InUse as refused:
                if attempt == ATTEMPTS:
                    raise NotMigrated(
                        f"{alias}: {refused} did not get the tables it changes within"
                        f" {settings.MIGRATION_LOCK_TIMEOUT:g} s (MIGRATION_LOCK_TIMEOUT), {ATTEMPTS} times."
                        "\nNothing of it was done: run the command again later."
                    ) from refused
                pause = min(PAUSE * 2 ** (attempt - 1), LONGEST_PAUSE)
                say(f"{alias}: {refused} needs what others use; lets them pass, tries again in {pause:g} s")
                time.sleep(pause)
    tell(f"{alias}: up to date" if to is None else f"{alias}: at {to.app} {to.migration or 'zero'}")


class _InUse(Exception):
    """The migration of this name did not get its tables in time."""


class _Executor(MigrationExecutor):
    """Django's, of one store, with each migration and its note as one transaction."""

    def __init__(self, alias: str, say: Say = lambda line: None) -> None:
        super().__init__(connections[alias])
        self.alias, self.say = alias, say

    def plan(self, to: Target | None) -> Plan:
        try:
            self.loader.check_consistent_history(self.connection)
        except InconsistentMigrationHistory as error:
            raise NotMigrated(f"{self.alias}: {error}") from error
        if conflicts := self.loader.detect_conflicts():
            raise NotMigrated(f"Two migrations claim to be the newest: {conflicts}")
        apps = apps_of(self.alias, self.loader)
        newest = [(app, name) for app, name in self.loader.graph.leaf_nodes() if app in apps]
        return self.migration_plan(newest if to is None else [(to.app, to.migration)])

    def run(self, to: Target | None) -> None:
        plan = self.plan(to)
        before = None
        if plan and not any(undone for _, undone in plan):
            before = self._create_project_state(with_applied_migrations=True)  # type: ignore[attr-defined]
            # contenttypes renames its rows where a model is renamed
            emit_pre_migrate_signal(
                verbosity=0, interactive=False, db=self.alias, apps=before.apps, plan=plan
            )
        try:
            self.migrate([], plan, before)
        except MigrationSchemaMissing as missing:
            raise NotMigrated(
                f"{self.alias}: its schema is not there, or this role may create nothing in it.\n"
                "manage.py db_create makes it; or name the role that did (docs/settings.md)."
            ) from missing
        if to is None:
            # content types and permissions, also where a migrator was killed before it made these
            emit_post_migrate_signal(verbosity=0, interactive=False, db=self.alias, plan=plan)

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
            left = (
                "Nothing of it was done; what came before it stays."
                if migration.atomic
                else "It is not one transaction: look at what it left before you run it again."
            )
            raise NotMigrated(f"{self.alias}: {name} failed: {_message(error)}\n{left}") from error
        self.say(f"{self.alias}: {name} {done} ({time.monotonic() - began:.2f} s)")

    @contextmanager
    def _transaction(self, migration: Migration) -> Iterator[None]:
        if not migration.atomic:
            # CREATE INDEX CONCURRENTLY and the like: nobody waits behind it, so it may wait for long
            yield
            return
        with transaction.atomic(using=self.alias):
            with self.connection.cursor() as cursor:
                milliseconds = int(settings.MIGRATION_LOCK_TIMEOUT * 1000)
                cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{milliseconds}ms"])
            yield


def _message(error: django.db.Error) -> str:
    """The first line of the server's message, unless it may hold a row."""
    if isinstance(error, django.db.DataError):
        return "rows do not fit"
    cause = error.__cause__
    primary = cause.diag.message_primary if isinstance(cause, psycopg.Error) else None
    return str(primary or error).strip().partition("\n")[0]
