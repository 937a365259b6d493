"""Writing a new migration for a store: from changed models, or an empty one to be filled in, both directions.

Nothing here asks a database.
"""

import keyword
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

from django.apps import apps
from django.conf import settings
from django.db import router
from django.db.migrations import Migration
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.questioner import MigrationQuestioner
from django.db.migrations.state import ProjectState
from django.db.migrations.writer import MigrationWriter

NAME = re.compile("[a-z][a-z0-9_]{0,59}")
EMPTY = '''from django.db import migrations

# Every name with its schema. On a table that is in use: what takes long goes into a migration of its own with
# atomic = False (CREATE INDEX CONCURRENTLY), and the version before this one must go on working beside it.
FORWARD = """
DO $$ BEGIN RAISE EXCEPTION 'FORWARD of {app} {name} is not filled in'; END $$
"""
# What undoes it, in the opposite order.
BACK = """
DO $$ BEGIN RAISE EXCEPTION 'BACK of {app} {name} is not filled in'; END $$
"""


class Migration(migrations.Migration):
    dependencies = [("{app}", "{after}")]

    operations = [migrations.RunSQL(FORWARD, BACK)]
'''


class CannotGenerate(Exception):
    """No migration can be written; the text says why."""


def generate(alias: str, name: str, app: str | None = None) -> dict[Path, str]:
    """The files of a new migration of a store, and what goes into them; nothing is written.

    Changed models decide, of ``app`` or of all the store's. Where none changed it is an empty one for
    ``app``, which fails until it is filled in. Raises ``CannotGenerate``.
    """
    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        raise CannotGenerate(f"{name!r} is no name: small letters, digits and _, a letter first, at most 60.")
    candidates = [app] if app else apps_of(alias)
    if app and app not in apps_of(alias):
        raise CannotGenerate(f"{app} is not in the {alias} store; in it are: {', '.join(apps_of(alias))}.")
    loader = MigrationLoader(None)
    if twin := [f"{of} {it}" for of, it in loader.disk_migrations if of in candidates and it[5:] == name]:
        raise CannotGenerate(f"There is one of this name: {', '.join(twin)}.")
    if changed := _changed(loader, candidates, name):
        return dict(_file(migration) for migration in changed)
    if len(candidates) > 1:
        raise CannotGenerate(f"No model has changed. For an empty one say --app: {' or '.join(candidates)}.")
    return dict([_empty(loader, candidates[0], name)])


def write(files: dict[Path, str]) -> None:
    """Write them, formatted as the house does it. Never over a file. Raises ``OSError``."""
    for path, text in files.items():
        with path.open("x") as file:
            file.write(text)
    formatter = Path(sys.executable).with_name("ruff")
    if formatter.exists():
        command = [str(formatter), "format", "--quiet", *map(str, files)]
        subprocess.run(command, check=False, cwd=settings.BASE_DIR)  # noqa: S603


def apps_of(alias: str) -> list[str]:
    """The apps of ours that are in a store and have migrations."""
    migrated = MigrationLoader(None).migrated_apps
    return sorted(
        config.label
        for config in apps.get_app_configs()
        if Path(config.path).parent == Path(settings.BASE_DIR)
        and config.label in migrated
        and router.allow_migrate(alias, config.label)
    )


class _NoQuestions(MigrationQuestioner):
    """What it would have to ask about existing rows is for the models to say."""

    def _refuse(self, field_name: str, model_name: str, *_: Any) -> NoReturn:
        raise CannotGenerate(
            f"{model_name}.{field_name} needs a value in the rows that are there, and in those that the"
            " version before this one goes on writing: give it a db_default, or null=True."
        )

    ask_not_null_addition = ask_not_null_alteration = _refuse
    ask_auto_now_add_addition = _refuse
    ask_unique_callable_default_addition = _refuse


def _changed(loader: MigrationLoader, labels: list[str], name: str) -> list[Migration]:
    detector = MigrationAutodetector(
        loader.project_state(), ProjectState.from_apps(apps), _NoQuestions(specified_apps=set(labels))
    )
    changes = detector.changes(
        graph=loader.graph, trim_to_apps=set(labels), convert_apps=set(labels), migration_name=name
    )
    return [migration for label in labels for migration in changes.get(label, [])]


def _file(migration: Migration) -> tuple[Path, str]:
    writer = MigrationWriter(migration, include_header=False)
    return Path(writer.path), writer.as_string()


def _empty(loader: MigrationLoader, app: str, name: str) -> tuple[Path, str]:
    newest = max(of for label, of in loader.graph.leaf_nodes(app) if label == app)
    numbered = f"{(MigrationAutodetector.parse_number(newest) or 0) + 1:04d}_{name}"
    writer = MigrationWriter(Migration(numbered, app), include_header=False)
    return Path(writer.path), EMPTY.format(app=app, name=numbered, after=newest)
