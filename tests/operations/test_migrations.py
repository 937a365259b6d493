"""Migrations, there and back, on stores of their own; beside each other, beside readers, and killed."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
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
from operations import migrations, stores
from operations.exclusive import exclusive, raw_connection
from operations.migrations import NotMigrated, Patience, Target
from operations.stores import SCHEMAS, parameters
from tests.operations.operating import ROOT, Operator
from tests.operations.pointing import catalog, elsewhere, tables
from web import readiness

IMPATIENT = Patience(attempts=2, pause=0.01)
EMPTY: frozenset[tuple[str, ...]] = frozenset()


@pytest.fixture
def fresh(topology: str, django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Stores of this process that have their databases and schemas, and no table."""
    with django_db_blocker.unblock(), elsewhere(three=topology == "three"):
        stores.create()
        yield


one = pytest.mark.parametrize("topology", ["one"], indirect=True)
three = pytest.mark.parametrize("topology", ["three"], indirect=True)


def migrate(alias: str, *to: Any) -> int:
    target = Target(alias, *to) if to else None
    return migrations.migrate(alias, print, target, patience=IMPATIENT)


def back_to_nothing(alias: str) -> None:
    executor = MigrationExecutor(connections[alias])
    executor.migrate([(app, None) for app in sorted(executor.loader.migrated_apps)])


@contextmanager
def reader(alias: str, table: str) -> Iterator[psycopg.Connection[Any]]:
    """Somebody who looks at a table, and stays in his transaction."""
    with psycopg.connect(**parameters(alias), application_name="a long reader") as connection:
        connection.execute(f"SELECT FROM {table}")
        yield connection
        connection.rollback()


# --- there and back


def test_migrations_roundtrip(fresh: None) -> None:
    stores.migrate(verbosity=0)
    before = {alias: catalog(alias) for alias in SCHEMAS}
    for alias in SCHEMAS:
        back_to_nothing(alias)
        for schema in SCHEMAS[alias]:
            left = catalog(alias).get(schema, EMPTY)
            assert tables(left) <= {"django_migrations"}
            assert {kind for kind, *_ in left} <= {"column", "index", "constraint", "sequence"}
        for other in set(SCHEMAS) - {alias}:
            for schema in SCHEMAS[other]:
                assert catalog(other).get(schema) == before[other].get(schema)
        migrate(alias)
        assert catalog(alias) == before[alias]


@one
@pytest.mark.parametrize("order", [["system", "projections", "events"], ["events", "projections", "system"]])
def test_migrating_a_store_touches_its_own_schemas_alone(fresh: None, order: list[str]) -> None:
    for alias in order:
        before = catalog(alias)
        migrate(alias)
        after = catalog(alias)
        changed = {schema for schema in {*before, *after} if before.get(schema) != after.get(schema)}
        assert changed
        assert changed <= set(SCHEMAS[alias])
        assert "django_migrations" in tables(after[SEARCH_PATHS[alias]])
    lists = {schema for schema, objects in after.items() if "django_migrations" in tables(objects)}
    assert lists == set(SEARCH_PATHS.values())


def test_a_store_is_ready_once_its_migrations_are_applied_and_not_before(fresh: None) -> None:
    for alias in SCHEMAS:
        assert readiness._store(alias) == readiness.UNMIGRATED
        with pytest.raises(CommandError, match="pending"):
            call_command("db_migrate", check=True)
        migrate(alias)
        assert readiness._store(alias) == readiness.OK
    call_command("db_migrate", check=True)
    before = {alias: catalog(alias) for alias in SCHEMAS}
    assert stores.migrate(verbosity=0) == 0
    assert {alias: catalog(alias) for alias in SCHEMAS} == before


def test_looking_at_what_is_pending_writes_nothing(fresh: None, capsys: pytest.CaptureFixture[str]) -> None:
    before = {alias: catalog(alias) for alias in SCHEMAS}
    call_command("db_migrate", plan=True)
    said = capsys.readouterr().out
    assert "  accounts 0001_initial\n    + Create model User" in said
    assert "of other stores, which are only noted here" in said
    assert {alias: catalog(alias) for alias in SCHEMAS} == before


@one
def test_a_newer_version_was_here_is_said_and_keeps_nobody_from_serving(
    fresh: None, capsys: pytest.CaptureFixture[str]
) -> None:
    stores.migrate(verbosity=0)
    MigrationRecorder(connections["system"]).record_applied("accounts", "9999_from_the_future")
    call_command("system_migrate", check=True)
    assert "accounts 9999_from_the_future is applied, and unknown to this version" in capsys.readouterr().out
    assert readiness._store("system") == readiness.OK


def test_our_migrations_are_whole_transactions_but_for_indexes_of_tables_in_use() -> None:
    ours = [
        migration
        for (app, _), migration in MigrationLoader(None).disk_migrations.items()
        if (ROOT / app / "migrations").is_dir()
    ]
    assert ours
    assert sorted(str(migration) for migration in ours if not migration.atomic) == [
        "projections.0008_activity_by_feed",
    ]


@one
def test_a_store_without_its_schema_is_a_line_and_not_a_traceback(fresh: None) -> None:
    raw_connection("events").execute("DROP SCHEMA events")
    with pytest.raises(CommandError, match="db_create"):
        call_command("event_store_init")


@pytest.mark.parametrize("command", ["db_migrate", "seed_up"])
def test_a_database_that_is_not_there_is_said_at_once(
    command: str,
    django_db_setup: None,
    django_db_blocker: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    said = r'(?s)database "balados_\w+" does not exist.*db_create'
    with django_db_blocker.unblock(), elsewhere(three=False), pytest.raises(CommandError, match=said):
        call_command(command)
    assert caplog.text == ""  # no pool went on trying


# --- at a terminal


@three
def test_going_back_says_what_goes_and_asks_for_a_phrase(operator: Operator) -> None:
    with operator.connect("projections") as connection:
        connection.execute(
            "INSERT INTO users.activity_levels"
            " SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'public', now()"
        )
    back = ("db_migrate", "--to", "projections", "0001")
    said = operator.type(*back, answers=["DELETE"], code=1)
    assert "drops the table users.activity_levels (1 rows)" in said
    assert "drops epoch of projectorposition" in said
    assert 'runs: DROP VIEW "users"."dead_letters_listed"' in said
    assert operator.count("projections", "users.activity_levels") == 1
    said = operator.type(*back, answers=["BACK TO projections 0001_read_tables"])
    assert "rebuild_projections" in said
    operator.run("projections_migrate")
    assert operator.count("projections", "users.activity_levels") == 0


@pytest.mark.usefixtures("stores")
@pytest.mark.parametrize(
    ("command", "to", "said"),
    [
        ("db_migrate", ("eventstore", "zero"), "db_reset"),
        ("db_migrate", ("auth", "zero"), "db_reset"),
        ("system_migrate", ("projections", "0001"), "projections store"),
        ("db_migrate", ("nothing", "0001"), "No app nothing"),
        ("db_migrate", ("projections", "000"), "no one migration"),
        ("db_migrate", ("projections", "0009"), "no one migration"),
    ],
)
def test_what_is_not_to_be_gone_to_is_refused(command: str, to: tuple[str, str], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        call_command(command, to=to)
    call_command("db_migrate", check=True)


# --- beside readers


@one
def test_a_migration_gives_up_on_a_table_in_use_with_nothing_done(fresh: None, settings: Settings) -> None:
    settings.MIGRATION_LOCK_TIMEOUT = 0.05
    migrate("system")
    migrate("system", "axes", "0008_accessfailurelog")
    before = catalog("system")
    refusal = r"(?s)0009_add_session_hash did not get .*a long reader"
    with reader("system", "system.axes_accesslog"):
        with pytest.raises(NotMigrated, match=refusal):
            migrate("system")
        # who comes now need not queue
        with reader("system", "system.axes_accesslog"):
            pass
    assert catalog("system") == before
    migrate("system")


@one
def test_a_migration_comes_through_once_the_reader_has_gone(fresh: None, settings: Settings) -> None:
    settings.MIGRATION_LOCK_TIMEOUT = 0.05
    migrate("system")
    migrate("system", "axes", "0008_accessfailurelog")
    said: list[str] = []
    with psycopg.connect(**parameters("system")) as somebody:
        somebody.execute("SELECT FROM system.axes_accesslog")

        def hear(line: str) -> None:
            said.append(line)
            somebody.rollback()

        assert migrations.migrate("system", hear, patience=IMPATIENT) >= 1
    assert "lets them pass" in said[0]
    assert "lock_timeout" not in str(said)
    row = raw_connection("system").execute("SHOW lock_timeout").fetchone()
    assert row == ("0",)


# --- beside each other, and killed


def test_who_comes_second_says_what_he_waits_for(fresh: None) -> None:
    said: list[str] = []
    heard = threading.Event()
    order: list[str] = []

    def hear(line: str) -> None:
        said.append(line)
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
            exclusive(first, "events", said.append),
            exclusive(raw_connection("system"), "system", said.append),
        ):
            thread.start()
            assert heard.wait(30)
            order.append("first")
        thread.join(30)
        assert f"server process {first.info.backend_pid}" in said[0]
    assert order == ["first", "second"]


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
    for process in running:
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 0, said
    assert "nothing pending" in nothing_yet.run("db_migrate", "--check")
    assert nothing_yet.count("system", "system.categories") > 100


@three
def test_what_a_killed_migrator_leaves_the_next_one_finishes(nothing_yet: Operator) -> None:
    nothing_yet.run("db_create")
    # inside of the transaction of accounts 0001: every table is made, and the note is written
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
def test_a_migration_and_the_note_that_it_was_applied_are_one(
    fresh: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Django makes foreign keys and indexes after its own transaction, and the note after them."""
    record = MigrationRecorder.record_applied

    def dying(recorder: MigrationRecorder, app: str, name: str) -> None:
        if app == "accounts":
            raise KeyboardInterrupt
        record(recorder, app, name)

    with monkeypatch.context() as patched:
        patched.setattr(MigrationRecorder, "record_applied", dying)
        with pytest.raises(KeyboardInterrupt):
            migrate("system")
    assert "users" not in tables(catalog("system")["system"])
    migrate("system")
    assert "users" in tables(catalog("system")["system"])


def test_the_lock_goes_with_the_session_that_changes(fresh: None) -> None:
    with psycopg.connect(**parameters("system"), autocommit=True) as first:
        holding = exclusive(first, "system", print)
        holding.__enter__()
        raw_connection("system").execute("SELECT pg_terminate_backend(%s)", [first.info.backend_pid])
        migrate("system")
        with pytest.raises(psycopg.OperationalError):
            first.execute("SELECT 1")
