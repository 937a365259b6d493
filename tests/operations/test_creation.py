"""Creating the stores, as operators do on their first day, and repeating it on any other."""

import threading
from collections.abc import Iterator
from os import environ
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import NotSupportedError, connections
from psycopg import sql

from balados.postgresql.base import DatabaseWrapper
from operations import stores
from operations.command import explain
from operations.exclusive import raw_connection
from operations.stores import SCHEMAS, CannotCreate
from projections.connect import connect as fresh_connection
from tests.operations.operating import Operator
from tests.operations.pointing import elsewhere


@pytest.fixture
def nowhere(topology: str, django_db_setup: None, django_db_blocker: Any) -> Iterator[list[str]]:
    """Names of databases that do not exist, to which this process's stores lead."""
    with django_db_blocker.unblock(), elsewhere(three=topology == "three") as names:
        yield names


@pytest.fixture
def plain_role(nowhere: list[str], server: "psycopg.Connection[Any]") -> Iterator[str]:
    """The name of a role that may only log in; the stores are reached as this role."""
    role = f"plain_{nowhere[0]}"
    server.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
    usual = {alias: connections[alias].settings_dict["USER"] for alias in SCHEMAS}
    for alias in SCHEMAS:
        connections[alias].settings_dict["USER"] = role
    yield role
    for alias, user in usual.items():
        connections[alias].settings_dict["USER"] = user
    for name in nowhere:
        server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
    server.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


@pytest.fixture
def server() -> Iterator["psycopg.Connection[Any]"]:
    """A connection of the server's administrator, as at a psql prompt."""
    params = psycopg.conninfo.conninfo_to_dict(environ["DATABASE_URL"])
    with psycopg.connect(**{**params, "dbname": "postgres"}, autocommit=True) as connection:  # type: ignore[arg-type]
        yield connection


def test_db_create_makes_every_database_and_schema_and_may_be_repeated(
    nowhere: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("db_create")
    assert set(nowhere) == set(capsys.readouterr().out.removeprefix("created: ").strip().split(", "))
    call_command("db_create")
    assert capsys.readouterr().out == "every database was there already\n"
    for alias, schemas in SCHEMAS.items():
        found = raw_connection(alias).execute("SELECT nspname FROM pg_namespace").fetchall()
        assert set(schemas) <= {name for (name,) in found}


@pytest.fixture
def old_server(nowhere: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every connection say that the server is PostgreSQL 14."""
    monkeypatch.setattr(psycopg.ConnectionInfo, "server_version", property(lambda _: 140_011))


@pytest.mark.usefixtures("old_server")
def test_a_postgresql_that_is_too_old_is_refused_by_its_version_before_anything_is_made() -> None:
    needed = r"PostgreSQL 15 or newer is needed; the server of the system store is 14\.11"
    for command in ("db_create", "db_init"):
        with pytest.raises(CommandError, match=needed):
            call_command(command)


@pytest.mark.parametrize("topology", ["three"], indirect=True)
def test_a_server_that_loses_writes_is_refused_before_anything_is_made(
    nowhere: list[str], server: "psycopg.Connection[Any]"
) -> None:
    server.execute("ALTER DATABASE postgres SET synchronous_commit = off")
    try:
        with pytest.raises(CommandError, match="synchronous_commit is off on the server of the system store"):
            call_command("db_init")
    finally:
        server.execute("ALTER DATABASE postgres RESET synchronous_commit")
    found = server.execute("SELECT datname FROM pg_database WHERE datname = ANY(%s)", [nowhere]).fetchall()
    assert found == []


@pytest.mark.usefixtures("old_server")
def test_a_postgresql_that_is_too_old_is_refused_by_every_command_and_program() -> None:
    connection = DatabaseWrapper(connections["system"].settings_dict | {"NAME": "postgres"}, "old")
    with pytest.raises(NotSupportedError) as refused:
        connection.ensure_connection()
    connection.close_pool()
    assert explain(refused.value) == "PostgreSQL 15 or later is required (found 14.11)."


def test_db_init_makes_everything_ready_for_the_server(operator: Operator) -> None:
    assert operator.count("events", "events.events") == 0
    assert operator.count("system", "system.users") == 0
    assert operator.count("projections", "users.subscriptions") == 0
    assert operator.count("system", "system.categories") == 110


@pytest.mark.parametrize("topology", ["three"], indirect=True)
def test_system_db_create_makes_the_system_store_alone(nowhere: list[str]) -> None:
    call_command("system_db_create")
    assert stores.create() == sorted(
        set(nowhere) - {connections["system"].settings_dict["NAME"]}, reverse=True
    )


@pytest.mark.parametrize("topology", ["three"], indirect=True)
def test_event_store_init_makes_the_events_store_alone_ready(nowhere: list[str]) -> None:
    stores.create()
    call_command("event_store_init", verbosity=0)
    call_command("event_store_init", check=True)
    for command in ("system_migrate", "projections_migrate"):
        with pytest.raises(CommandError, match="pending"):
            call_command(command, check=True)
        call_command(command, verbosity=0)
    call_command("db_migrate", check=True)


def test_many_may_create_at_once(nowhere: list[str]) -> None:
    created: list[str] = []
    failed: list[Exception] = []

    def create() -> None:
        try:
            created.extend(stores.create())
        except Exception as failure:
            failed.append(failure)

    threads = [threading.Thread(target=create) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (sorted(created), failed) == (nowhere, [])


def test_a_database_that_another_process_makes_meanwhile_is_no_outage(
    nowhere: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    connect, looks = stores.connect, iter(SCHEMAS)

    def late(alias: str) -> stores.Connection:
        try:
            return connect(alias)
        except psycopg.OperationalError:
            if next(looks, None) == "system":
                with monkeypatch.context() as patch:
                    patch.setattr(stores, "connect", connect)
                    call_command("db_create")
            raise

    monkeypatch.setattr(stores, "connect", late)
    call_command("db_create")
    assert capsys.readouterr().out.endswith("every database was there already\n")


@pytest.mark.parametrize("topology", ["one"], indirect=True)
def test_a_role_that_may_not_create_is_told_what_an_administrator_does(
    nowhere: list[str], plain_role: str, server: "psycopg.Connection[Any]"
) -> None:
    (name,) = nowhere
    with pytest.raises(CommandError, match=r"the role plain_.* may not create it") as refused:
        call_command("db_create")
    by_hand = str(refused.value).rpartition("server: ")[2]
    assert by_hand == f'CREATE DATABASE "{name}" OWNER "{plain_role}"'
    server.execute(by_hand)
    assert stores.create() == []


@pytest.mark.parametrize("topology", ["one"], indirect=True)
def test_in_somebody_elses_database_it_takes_no_right_to_create_what_is_there(
    nowhere: list[str], plain_role: str, server: "psycopg.Connection[Any]"
) -> None:
    (name,) = nowhere
    server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    with pytest.raises(CommandError, match=r"(?s)permission denied for database .*grant the right"):
        call_command("db_create")
    grant = sql.SQL("GRANT CREATE ON DATABASE {} TO {}")
    server.execute(grant.format(sql.Identifier(name), sql.Identifier(plain_role)))
    assert stores.create() == []
    revoke = sql.SQL("REVOKE CREATE ON DATABASE {} FROM {}")
    server.execute(revoke.format(sql.Identifier(name), sql.Identifier(plain_role)))
    assert stores.create() == []


@pytest.mark.parametrize("topology", ["one"], indirect=True)
def test_a_database_that_lets_nobody_in_is_not_taken_for_a_missing_one(
    nowhere: list[str], server: "psycopg.Connection[Any]"
) -> None:
    name = sql.Identifier(nowhere[0])
    server.execute(sql.SQL("CREATE DATABASE {} ALLOW_CONNECTIONS false").format(name))
    with pytest.raises(CommandError, match="not currently accepting connections"):
        call_command("db_create")


@pytest.mark.parametrize(
    ("name", "message"), [("x" * 64, "at most 63 bytes"), ("template1", "copies new databases from")]
)
def test_a_name_that_no_store_can_have_is_refused(
    name: str, message: str, django_db_setup: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connections["events"].settings_dict, "NAME", name)
    with pytest.raises(CannotCreate, match=message):
        stores.create(["events"])


def test_a_database_that_cannot_hold_every_text_is_refused(
    nowhere: list[str], server: "psycopg.Connection[Any]"
) -> None:
    name = sql.Identifier(nowhere[0])
    latin = sql.SQL("CREATE DATABASE {} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0").format(name)
    server.execute(latin)
    with pytest.raises(CommandError, match="has the encoding LATIN1; it must be UTF8"):
        call_command("db_create")


OTHERWISE = {
    "DateStyle": "German, DMY",
    "IntervalStyle": "iso_8601",
    "TimeZone": "Asia/Tokyo",
    "search_path": "nowhere",
    "client_encoding": "LATIN1",
    "bytea_output": "escape",
    "standard_conforming_strings": "off",
    "default_transaction_isolation": "serializable",
}


def test_what_a_database_has_set_otherwise_makes_no_difference(
    nowhere: list[str], server: "psycopg.Connection[Any]"
) -> None:
    call_command("db_create")
    for name in nowhere:
        for setting, value in OTHERWISE.items():
            place, wanted = sql.Identifier(name), sql.SQL("{} = {}").format(sql.Identifier(setting), value)
            server.execute(sql.SQL("ALTER DATABASE {} SET {}").format(place, wanted))
    call_command("db_migrate", verbosity=0)
    for alias in SCHEMAS:
        connections[alias].close()
        with stores.connect(alias) as plain, fresh_connection(alias) as fresh:
            for setting, value in OTHERWISE.items():
                found = {
                    plain.execute(f"SHOW {setting}").fetchone(),
                    fresh.execute(f"SHOW {setting}").fetchone(),
                    connections[alias].cursor().execute(f"SHOW {setting}").fetchone(),
                }
                assert len(found) == 1
                assert found != {(value,)}
