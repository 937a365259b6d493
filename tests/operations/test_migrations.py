"""Migrating forwards and backwards on separate stores: concurrently, while others read, and after a kill."""

import io
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connections
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from pytest_django.fixtures import Settings

from balados.databases import SEARCH_PATHS
from balados.routers import StoreRouter
from operations import migrations, stores
from operations.exclusive import exclusive, raw_connection
from operations.migrations import NotMigrated, migrate
from operations.stores import SCHEMAS, parameters
from tests.operations.operating import ROOT, Operator
from tests.operations.pointing import catalog, elsewhere, tables
from web import readiness

FIRST = ("feeds", max((ROOT / "feeds" / "migrations").glob("0*.py")).stem)  # the program's newest migration
COLOURS = f"""
from django.db import migrations
class Migration(migrations.Migration):
    dependencies = [("feeds", "{FIRST[1]}")]
    operations = [migrations.RunSQL('ALTER TABLE "system"."categories" ADD colour text')]
"""


@pytest.fixture
def fresh(topology: str, django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Stores of this process that have their databases and schemas, but no tables."""
    with django_db_blocker.unblock(), elsewhere(three=topology == "three"):
        stores.create()
        yield


@pytest.fixture
def pending(fresh: None, scratch_migrations: Path, settings: Settings) -> None:
    """A pending migration of ``system.categories`` that waits 0.05 s for the table, and tries twice."""
    migrate("system", to=FIRST)
    (scratch_migrations / "0900_colours.py").write_text(COLOURS)
    settings.MIGRATION_LOCK_TIMEOUT = 0.05


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "ATTEMPTS", 2)
    monkeypatch.setattr(migrations, "PAUSE", 0.01)


one = pytest.mark.parametrize("topology", ["one"], indirect=True)
three = pytest.mark.parametrize("topology", ["three"], indirect=True)


def back_to_nothing(alias: str) -> None:
    executor = MigrationExecutor(connections[alias])
    executor.migrate([(app, None) for app in migrations.apps_of(alias)])


@contextmanager
def reader(table: str) -> Iterator[psycopg.Connection[Any]]:
    """Read a table of the system store, and leave the transaction open until the end of the block."""
    with psycopg.connect(**parameters("system"), application_name="a long reader") as connection:
        connection.execute(f"SELECT FROM {table}")
        yield connection
        connection.rollback()


# --- forwards and backwards


def test_migrations_go_there_and_back_each_store_in_its_own_schemas(fresh: None, topology: str) -> None:
    order = list(SCHEMAS) if topology == "one" else list(reversed(SCHEMAS))
    for alias in order:
        assert readiness._store(alias) == readiness.UNMIGRATED
        with pytest.raises(CommandError, match="pending"):
            call_command("db_migrate", check=True)
        before = catalog(alias)
        migrate(alias)
        after = catalog(alias)
        changed = {schema for schema in {*before, *after} if before.get(schema) != after.get(schema)}
        assert changed
        assert changed <= set(SCHEMAS[alias])
        assert "django_migrations" in tables(after[SEARCH_PATHS[alias]])
        assert readiness._store(alias) == readiness.OK
    call_command("db_migrate", check=True)
    complete = {alias: catalog(alias) for alias in SCHEMAS}
    stores.migrate(verbosity=0)
    assert {alias: catalog(alias) for alias in SCHEMAS} == complete
    for alias in SCHEMAS:
        back_to_nothing(alias)
        for schema in SCHEMAS[alias]:
            left = catalog(alias).get(schema, frozenset())
            assert tables(left) <= {"django_migrations", "instance"}
            assert {kind for kind, *_ in left} <= {"column", "index", "constraint", "sequence"}
        for other in set(SCHEMAS) - {alias}:
            for schema in SCHEMAS[other]:
                assert catalog(other).get(schema) == complete[other].get(schema)
        migrate(alias)
        assert catalog(alias) == complete[alias]


@one
def test_what_is_pending_or_of_a_newer_version_is_said_and_nothing_is_written(
    fresh: None, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {alias: catalog(alias) for alias in SCHEMAS}
    call_command("db_migrate", plan=True)
    assert "accounts.0001_initial\n    Create model User" in capsys.readouterr().out
    assert {alias: catalog(alias) for alias in SCHEMAS} == before
    migrate("system", to=FIRST)
    MigrationRecorder(connections["system"]).record_applied("feeds", "9999_from_the_future")
    call_command("system_migrate", plan=True)
    assert "feeds 9999_from_the_future is applied, and unknown to this version" in capsys.readouterr().out
    capsys.readouterr()
    migrate("system")
    # an older version works on newer tables, and reports them
    assert "feeds 9999_from_the_future is applied, and unknown to this version" in capsys.readouterr().out
    call_command("system_migrate", check=True)
    assert readiness._store("system") == readiness.OK
    raw_connection("events").execute("DROP SCHEMA events CASCADE")
    with pytest.raises(CommandError, match="The events store at this URL is empty, and others are not"):
        call_command("event_store_init")


def test_our_migrations_are_whole_transactions_and_depend_on_none_of_another_store() -> None:
    every = MigrationLoader(None).disk_migrations
    ours = {key: each for key, each in every.items() if (ROOT / key[0] / "migrations").is_dir()}
    assert ours
    assert [key for key, migration in ours.items() if not migration.atomic] == []
    router = StoreRouter()
    for alias in SCHEMAS:
        here = {key for key in every if router.allow_migrate(alias, key[0])}
        assert here == migrations.known(alias)
        needed = {tuple(each) for key in here for each in every[key].dependencies if each[0] != "__setting__"}
        assert {app for app, _ in needed} <= {app for app, _ in here}


@pytest.mark.parametrize("command", ["db_migrate", "seed_up"])
def test_a_database_that_is_not_there_is_said_at_once(
    command: str,
    django_db_setup: None,
    django_db_blocker: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    message = r'(?s)database "balados_\w+" does not exist.*db_create'
    with django_db_blocker.unblock(), elsewhere(three=False), pytest.raises(CommandError, match=message):
        call_command(command)
    assert caplog.text == ""  # no connection pool kept trying


# --- backwards


@one
def test_going_back_says_what_goes_and_asks_for_a_phrase(
    fresh: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    migrate("projections")
    before = catalog("projections")
    monkeypatch.setattr("sys.stdin", io.StringIO("DELETE\nBACK TO projections zero\n"))
    with pytest.raises(CommandError, match="was not what was typed"):
        call_command("db_migrate", to=("projections", "zero"))
    output = capsys.readouterr().out
    assert "Undo Create model EffectivePrivacy" in output
    assert catalog("projections") == before
    call_command("db_migrate", to=("projections", "zero"))
    assert "rebuild_projections" in capsys.readouterr().out
    assert "activity_levels" not in tables(catalog("projections")["users"])
    call_command("projections_migrate")
    assert catalog("projections") == before


@one
def test_going_back_says_what_sql_it_runs(
    fresh: None,
    scratch_migrations: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    back = """, 'ALTER TABLE "system"."categories" DROP colour')"""
    (scratch_migrations / "0900_colours.py").write_text(COLOURS.replace("')", f"'{back}"))
    migrate("system")
    before = catalog("system")
    monkeypatch.setattr("sys.stdin", io.StringIO("DELETE\n"))
    with pytest.raises(CommandError, match="was not what was typed"):
        call_command("db_migrate", to=FIRST)
    assert 'ALTER TABLE "system"."categories" DROP colour' in capsys.readouterr().out
    assert catalog("system") == before


@pytest.mark.usefixtures("stores")
@pytest.mark.parametrize(
    ("command", "to", "message"),
    [
        ("db_migrate", ("eventstore", "zero"), "db_reset"),
        ("db_migrate", ("auth", "zero"), "db_reset"),
        ("system_migrate", ("projections", "0001"), "projections store"),
        ("db_migrate", ("nothing", "0001"), "No installed app with label 'nothing'"),
        ("db_migrate", ("auth", "000"), "More than one migration matches"),
        ("db_migrate", ("projections", "9999"), "Cannot find a migration matching"),
    ],
)
def test_what_is_not_to_be_gone_to_is_refused(command: str, to: tuple[str, str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        call_command(command, to=to)
    call_command("db_migrate", check=True)


# --- while others read


@one
def test_a_migration_gives_up_on_a_table_in_use_with_nothing_done(pending: None) -> None:
    before = catalog("system")
    with reader("system.categories"):
        with pytest.raises(NotMigrated, match=r"feeds 0900_colours did not get "):
            migrate("system", to=("feeds", "0900_colours"))
        # later readers need not queue
        with reader("system.categories"):
            pass
    assert catalog("system") == before


@one
def test_a_migration_comes_through_once_the_reader_has_gone(pending: None) -> None:
    lines: list[str] = []
    with reader("system.categories") as somebody:

        def hear(line: str) -> None:
            lines.append(line)
            somebody.rollback()

        migrate("system", hear, ("feeds", "0900_colours"))
    assert "lets them pass" in lines[0]
    assert "0900_colours applied" in lines[1]
    assert raw_connection("system").execute("SHOW lock_timeout").fetchone() == ("0",)


@one
def test_an_index_is_made_outside_of_a_transaction_and_what_fails_there_says_so(
    pending: None, scratch_migrations: Path
) -> None:
    migrate("system", to=("feeds", "0900_colours"))
    text = COLOURS.replace("    operations", "    atomic = False\n    operations").replace(FIRST[1], "{}")
    concurrently = "CREATE INDEX CONCURRENTLY by_name ON system.categories (name)"
    for number, after in (("0901", "0900_colours"), ("0902", "0901_index")):
        file = scratch_migrations / f"{number}_index.py"
        file.write_text(
            text.format(after).replace('ALTER TABLE "system"."categories" ADD colour text', concurrently)
        )
    migrate("system", to=("feeds", "0901_index"))
    with pytest.raises(NotMigrated, match=r'(?s)relation "by_name" already exists.*not one transaction'):
        migrate("system", to=("feeds", "0902_index"))


# --- concurrently, and killed


@one
def test_who_comes_second_says_what_he_waits_for(fresh: None) -> None:
    lines: list[str] = []
    heard = threading.Event()
    order: list[str] = []

    def hear(line: str) -> None:
        lines.append(line)
        heard.set()

    def second() -> None:
        with (
            psycopg.connect(**parameters("events"), autocommit=True) as mine,
            exclusive(mine, "events", hear),
        ):
            order.append("second")

    with psycopg.connect(**parameters("events"), autocommit=True) as first:
        thread = threading.Thread(target=second)
        with (
            exclusive(first, "events", lines.append),
            exclusive(raw_connection("system"), "system", lines.append),
        ):
            thread.start()
            assert heard.wait(30)
            order.append("first")
        thread.join(30)
        assert f"server process {first.info.backend_pid}" in lines[0]
    assert order == ["first", "second"]


@one
def test_two_migrators_at_once_and_a_third_for_one_store_do_not_disturb_each_other(
    nothing_yet: Operator,
) -> None:
    commands = (["db_init"], ["db_init"], ["db_create"])
    running = [
        subprocess.Popen(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env=nothing_yet.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for command in commands
    ]
    outputs = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], outputs
    assert "nothing pending" in nothing_yet.run("db_migrate", "--check")
    assert nothing_yet.count("system", "system.categories") > 100


@three
def test_what_a_killed_migrator_leaves_the_next_one_finishes(nothing_yet: Operator) -> None:
    """A migration and its record are one transaction here; Django itself writes the record afterwards."""
    nothing_yet.run("db_create")
    # killed when every table of accounts 0001 has been made and its record has been written
    environment = {"BALADOS_FAILPOINT": "migrating:15"}
    nothing_yet.run("db_migrate", code=-signal.SIGKILL, **environment)
    with nothing_yet.connect("system") as connection:
        found = connection.execute("SELECT to_regclass('system.auth_user'), to_regclass('system.users')")
        assert found.fetchone() == (None, None)
        found = connection.execute("SELECT app, name FROM system.django_migrations ORDER BY id DESC LIMIT 1")
        assert found.fetchone() == ("auth", "0012_alter_user_first_name_max_length")
    nothing_yet.run("db_migrate")
    assert nothing_yet.count("system", "system.users") == nothing_yet.count("events", "events.events") == 0


@one
def test_the_lock_goes_with_the_session_that_changes(fresh: None) -> None:
    with psycopg.connect(**parameters("system"), autocommit=True) as first:
        holding = exclusive(first, "system", print)
        holding.__enter__()
        raw_connection("system").execute("SELECT pg_terminate_backend(%s)", [first.info.backend_pid])
        migrate("system", to=FIRST)
        with pytest.raises(psycopg.OperationalError):
            first.execute("SELECT 1")
