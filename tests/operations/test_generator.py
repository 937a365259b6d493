"""make_migration: into a package of the test's own, never into the source tree."""

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from pytest_django.fixtures import Settings

from operations import migrations, stores
from operations.generator import CannotGenerate, apps_of, generate
from operations.migrations import NotMigrated, Target
from tests.operations.pointing import catalog, elsewhere

FEEDS = Path(__file__).resolve().parents[2] / "feeds" / "migrations"


@pytest.fixture
def package(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The migrations of ``feeds``, copied to where a test may add some."""
    package = tmp_path / "scratch_migrations"
    package.mkdir()
    for file in FEEDS.glob("*.py"):
        (package / file.name).write_text(file.read_text())
    monkeypatch.syspath_prepend(tmp_path)
    settings.MIGRATION_MODULES = {"feeds": package.name}
    yield package
    for name in [name for name in sys.modules if name.startswith(package.name)]:
        del sys.modules[name]


@pytest.mark.parametrize("name", ["", "Faster", "2fast", "a-b", "a b", "../x", "ünï", "class", "x" * 61])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(CannotGenerate, match="is no name"):
        generate("events", name)


def test_each_store_has_its_apps() -> None:
    assert {alias: apps_of(alias) for alias in stores.SCHEMAS} == {
        "system": ["accounts", "feeds"],
        "projections": ["projections"],
        "events": ["eventstore"],
    }


@pytest.mark.parametrize(
    ("store", "app", "name", "said"),
    [
        ("events", "accounts", "more", "not in the events store"),
        ("system", None, "more", "say --app: accounts or feeds"),
        ("events", None, "schema", "There is one of this name: eventstore 0001_schema"),
    ],
)
def test_what_would_be_a_mistake_is_refused(store: str, app: str | None, name: str, said: str) -> None:
    with pytest.raises(CommandError, match=said):
        call_command("make_migration", store=store, app=app, name=name)


@pytest.mark.parametrize(("store", "app"), [("events", "eventstore"), ("projections", "projections")])
def test_a_dry_run_shows_the_file_and_writes_none(
    store: str, app: str, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("make_migration", store=store, name="more_of_it", dry_run=True)
    said = capsys.readouterr().out
    assert re.search(rf"{app}/migrations/\d{{4}}_more_of_it\.py", said)
    assert "migrations.RunSQL(FORWARD, BACK)" in said
    assert not list((FEEDS.parent.parent / app / "migrations").glob("*more_of_it*"))


def test_an_empty_migration_fails_until_it_is_filled_in_and_then_goes_both_ways(
    package: Path, django_db_setup: None, django_db_blocker: object, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("make_migration", store="system", app="feeds", name="colours")
    file = package / "0002_colours.py"
    assert f"written: {file}" in capsys.readouterr().out
    with pytest.raises(CommandError, match="There is one of this name"):
        call_command("make_migration", store="system", app="feeds", name="colours")
    with django_db_blocker.unblock(), elsewhere(three=False):  # type: ignore[attr-defined]
        stores.create()
        with pytest.raises(NotMigrated, match="FORWARD of feeds 0002_colours is not filled in"):
            migrations.migrate("system", print, verbosity=0)
        before = catalog("system")
        text = file.read_text()
        text = text.replace(
            text[text.index("DO $$ BEGIN RAISE EXCEPTION 'FORWARD") :].splitlines()[0],
            'ALTER TABLE "system"."categories" ADD colour text',
        )
        file.write_text(text)
        importlib.reload(sys.modules["scratch_migrations.0002_colours"])
        migrations.migrate("system", print, verbosity=0)
        assert catalog("system") != before
        first = Target("system", "feeds", "0001_categories")
        with pytest.raises(NotMigrated, match="BACK of feeds 0002_colours is not filled in"):
            migrations.migrate("system", print, first, verbosity=0)
        assert catalog("system") != before


@pytest.mark.parametrize("field", ["seeded", "parent"])
def test_a_model_that_has_more_than_the_migrations_becomes_one(package: Path, field: str) -> None:
    forget(package, field)
    ((path, text),) = generate("system", "more").items()
    assert path == package / "0002_more.py"
    assert re.search(rf"AddField\(\s+model_name='category',\s+name='{field}'", text)


def test_a_column_that_existing_rows_cannot_have_is_refused(package: Path) -> None:
    forget(package, "name")
    with pytest.raises(CannotGenerate, match=r"category.name needs a value .* db_default"):
        generate("system", "more")


def forget(package: Path, field: str) -> None:
    """As if the model had this field since today."""
    first = package / "0001_categories.py"
    tree = ast.parse(first.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "fields" and isinstance(node.value, ast.List):
            node.value.elts = [each for each in node.value.elts if ast.literal_eval(each.elts[0]) != field]  # type: ignore[attr-defined]
        if isinstance(node, ast.keyword) and node.arg == "constraints" and isinstance(node.value, ast.List):
            node.value.elts = []
    first.write_text(ast.unparse(tree))
