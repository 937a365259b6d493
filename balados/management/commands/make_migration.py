from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management.base import CommandError
from django.core.management.commands import makemigrations
from django.db.migrations import Migration, RunSQL

from operations.command import OperatorCommand
from operations.migrations import apps_of
from operations.stores import SCHEMAS

FAILS = "DO $$ BEGIN RAISE EXCEPTION '{direction} of {app} {name} is not filled in'; END $$"


class Command(OperatorCommand, makemigrations.Command):
    help = "Write a new migration for a store, with both directions. For developers."
    details = """
Runs Django's makemigrations for the apps of one store. If no model has changed, it writes an empty migration
in which you fill in the SQL for both directions, and which fails until you do. Write every name with its
schema. Put what takes long on a table in use into a migration of its own with atomic = False (CREATE INDEX
CONCURRENTLY). The previous version must keep working beside the new one.

Exit codes: 0 written, or shown (--dry-run); 1 refused, with the reason.

  manage.py make_migration --store events --name faster_heads
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--store", required=True, choices=list(SCHEMAS))
        parser.add_argument("--name", required=True, help="lower-case letters, digits and _")
        parser.add_argument("--app", help="only this one of the store's apps")
        parser.add_argument("--dry-run", action="store_true", help="show the migration without writing it")

    def handle(self, *args: Any, **options: Any) -> None:
        labels = own_apps(options["store"])
        if options["app"] not in (None, *labels):
            raise CommandError(
                f"{options['app']} is not in the {options['store']} store; in it are: {', '.join(labels)}."
            )
        labels = [options["app"]] if options["app"] else labels
        self._written = False
        self._make(labels, options, empty=False)
        if self._written:
            return
        if len(labels) > 1:
            raise CommandError(f"No model has changed. For an empty one say --app: {' or '.join(labels)}.")
        self._make(labels, options, empty=True)

    def write_migration_files(
        self, changes: dict[str, list[Migration]], update_previous_migration_paths: Any = None
    ) -> None:
        self._written = True
        for app, made in changes.items():
            for migration in made:
                if not migration.operations:
                    forward, back = (
                        FAILS.format(direction=each, app=app, name=migration.name)
                        for each in ("FORWARD", "BACK")
                    )
                    migration.operations = [RunSQL(forward, back)]  # type: ignore[misc]
        super().write_migration_files(changes, update_previous_migration_paths)

    def _make(self, labels: list[str], options: dict[str, Any], *, empty: bool) -> None:
        """Run Django's command without questions: models have to say which value existing rows get."""
        ours = {"name": options["name"], "dry_run": options["dry_run"], "empty": empty}
        # Django prints the file only from verbosity 3 on
        usual: dict[str, Any] = {"verbosity": 3 if options["dry_run"] else 1, "interactive": False}
        without = dict.fromkeys(("include_header", "check_changes", "scriptable", "update", "merge"), False)
        try:
            super().handle(*labels, **ours, **usual, **without)
        except SystemExit as ended:
            raise CommandError(
                "The rows that are there, and those that the version before this one goes on writing, need a"
                " value: give the field a db_default, or null=True."
            ) from ended


def own_apps(alias: str) -> list[str]:
    """Return the apps of this repository that are in the store and have migrations."""
    return [
        app for app in apps_of(alias) if Path(apps.get_app_config(app).path).parent == Path(settings.BASE_DIR)
    ]
