"""The make_migration command, which here writes to a package of the test's own, never to the source tree."""

import ast
import importlib
import re
import sys
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from balados.management.commands.make_migration import own_apps
from operations import stores
from operations.migrations import NotMigrated, migrate
from operations.stores import SCHEMAS
from tests.operations.pointing import catalog, elsewhere

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.usefixtures("stores")


@pytest.mark.parametrize(
    ("store", "app", "name", "message"),
    [
        ("events", None, "a-b", "valid Python identifier"),
        ("events", None, "../x", "valid Python identifier"),
        ("events", "accounts", "more", "not in the events store"),
        ("system", None, "more", "say --app: accounts or feeds"),
    ],
)
def test_what_would_be_a_mistake_is_refused(store: str, app: str | None, name: str, message: str) -> None:
    with pytest.raises(CommandError, match=message):
        call_command("make_migration", store=store, app=app, name=name)


def test_each_store_has_its_apps_and_a_dry_run_writes_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    apps = {"system": ["accounts", "feeds"], "projections": ["projections"], "events": ["eventstore"]}
    assert {alias: own_apps(alias) for alias in SCHEMAS} == apps
    for store, app in (("events", "eventstore"), ("projections", "projections")):
        call_command("make_migration", store=store, name="more_of_it", dry_run=True)
        output = capsys.readouterr().out
        assert re.search(rf"{app}/migrations/\d{{4}}_more_of_it\.py", output)
        assert "migrations.RunSQL" in output
        assert not list((ROOT / app / "migrations").glob("*more_of_it*"))


def test_an_empty_migration_fails_until_it_is_filled_in_and_then_goes_both_ways(
    scratch_migrations: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("make_migration", store="system", app="feeds", name="colours")
    *_, before_it, file = sorted(scratch_migrations.glob("0*.py"))
    assert file.stem.endswith("_colours")
    assert str(file) in capsys.readouterr().out
    first, newest = (("feeds", name) for name in (before_it.stem, file.stem))
    with elsewhere(three=False):
        stores.create()
        with pytest.raises(NotMigrated, match=f"FORWARD of feeds {file.stem} is not filled in"):
            migrate("system", to=newest)
        before = catalog("system")
        text = file.read_text()
        (forward,) = re.findall('"(DO [^"]*FORWARD[^"]*)"', text)
        file.write_text(text.replace(forward, "ALTER TABLE system.categories ADD colour text"))
        importlib.reload(sys.modules[f"scratch_migrations.{file.stem}"])
        migrate("system", to=newest)
        assert catalog("system") != before
        with pytest.raises(NotMigrated, match=f"BACK of feeds {file.stem} is not filled in"):
            migrate("system", to=first)
        assert catalog("system") != before


@pytest.mark.parametrize("field", ["seeded", "parent"])
def test_a_model_that_has_more_than_the_migrations_becomes_one(scratch_migrations: Path, field: str) -> None:
    forget(scratch_migrations, field)
    call_command("make_migration", store="system", name="more")
    text = max(scratch_migrations.glob("0*.py")).read_text()
    assert re.search(rf"AddField\(\s+model_name='category',\s+name='{field}'", text)


def test_a_column_that_existing_rows_cannot_have_is_refused(
    scratch_migrations: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forget(scratch_migrations, "name")
    with pytest.raises(CommandError, match="db_default"):
        call_command("make_migration", store="system", name="more")
    assert "'name' on model 'category'" in capsys.readouterr().out


def forget(package: Path, field: str) -> None:
    """Remove a field from the first migration, as if it had only just been added to the model."""
    first = package / "0001_categories.py"
    tree = ast.parse(first.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "fields" and isinstance(node.value, ast.List):
            node.value.elts = [each for each in node.value.elts if ast.literal_eval(each.elts[0]) != field]  # type: ignore[attr-defined]
        if isinstance(node, ast.keyword) and node.arg == "constraints" and isinstance(node.value, ast.List):
            node.value.elts = []
    first.write_text(ast.unparse(tree))
