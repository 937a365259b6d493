"""What PostgreSQL itself guards, and the migrations: each store keeps to its own schemas, and can go back."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import psycopg
import pytest
from django.core.management import call_command
from django.db import connections
from django.db.migrations.loader import MigrationLoader
from psycopg import sql
from psycopg.errors import IntegrityConstraintViolation, UniqueViolation

from balados.databases import SEARCH_PATHS
from eventstore import store
from eventstore.store import Origin
from operations import stores as topology
from tests.eventstore.writers import ALICE, connect, plays

pytestmark = pytest.mark.topology

Connection = psycopg.Connection[Any]


@pytest.fixture
def operator(stores: None) -> Iterator[Connection]:
    """Somebody at a psql prompt of the events store, with two of Alice's events in it."""
    assert store.append(store.stream_of(ALICE), 0, plays(1, 2), Origin())
    with connect("the operator") as connection:
        yield connection


def versions(operator: Connection) -> list[int]:
    return [version for (version,) in operator.execute("SELECT version FROM events.events ORDER BY 1")]


@pytest.mark.parametrize("retention", ["off", "on"])
def test_an_event_is_never_updated(operator: Connection, retention: str) -> None:
    operator.execute(f"SET balados.retention = '{retention}'")
    with pytest.raises(IntegrityConstraintViolation, match="events are never updated"):
        operator.execute("UPDATE events.events SET type = 'UserSang'")
    # a statement trigger: also where nothing matches
    with pytest.raises(IntegrityConstraintViolation, match="events are never updated"):
        operator.execute("UPDATE events.events SET type = 'UserSang' WHERE false")


def test_an_upsert_does_not_get_around_it(operator: Connection) -> None:
    with pytest.raises(IntegrityConstraintViolation, match="events are never updated"):
        operator.execute(
            "INSERT INTO events.events (stream, version, type, schema, data, metadata)"
            " SELECT stream, version, 'UserSang', schema, data, metadata FROM events.events"
            " ON CONFLICT (stream, version) DO UPDATE SET type = 'UserSang'"
        )


@pytest.mark.parametrize("retention", [None, "off", "true"])
def test_an_event_is_not_deleted(operator: Connection, retention: str | None) -> None:
    if retention is not None:
        operator.execute(f"SET balados.retention = '{retention}'")
    with pytest.raises(IntegrityConstraintViolation, match="deleted by the retention path only"):
        operator.execute("DELETE FROM events.events WHERE version = 1")
    assert versions(operator) == [1, 2]


def test_the_retention_path_may_delete_in_its_own_transaction_only(operator: Connection) -> None:
    with operator.transaction():
        operator.execute("SET LOCAL balados.retention = 'on'")
        operator.execute("DELETE FROM events.events WHERE version = 1")
    assert versions(operator) == [2]
    with pytest.raises(IntegrityConstraintViolation):
        operator.execute("DELETE FROM events.events")
    operator.execute("SET balados.retention = 'on'")
    operator.execute("DELETE FROM events.events")
    assert versions(operator) == []


def test_a_reset_may_truncate(operator: Connection) -> None:
    operator.execute("TRUNCATE events.events RESTART IDENTITY")
    assert versions(operator) == []


def test_positions_are_drawn_one_by_one(operator: Connection) -> None:
    # a cached range would let a session commit a low position long after the higher ones of another
    row = operator.execute(
        "SELECT seqcache, seqincrement, seqcycle FROM pg_sequence"
        " WHERE seqrelid = pg_get_serial_sequence('events.events', 'position')::regclass"
    ).fetchone()
    assert row == (1, 1, False)


def test_nobody_chooses_a_position(operator: Connection) -> None:
    with pytest.raises(psycopg.errors.GeneratedAlways):
        operator.execute(
            "INSERT INTO events.events (position, stream, version, type, schema, data, metadata)"
            " VALUES (99, 1, 3, 'PlayRecorded', 1, '{}', '{}')"
        )


def test_a_stream_has_each_version_once(operator: Connection) -> None:
    with pytest.raises(UniqueViolation, match="events_stream_version"):
        insert(operator, store.stream_of(ALICE), 2)
    insert(operator, store.stream_of(ALICE), 3)
    insert(operator, store.stream_of(ALICE) + 1, 2)


@pytest.mark.parametrize("version", [0, -1])
def test_versions_start_at_one(operator: Connection, version: int) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        insert(operator, store.stream_of(ALICE), version)


def insert(operator: Connection, stream: int, version: int) -> None:
    operator.execute(
        "INSERT INTO events.events (stream, version, type, schema, data, metadata)"
        " VALUES (%s, %s, 'PlayRecorded', 1, '{}', '{}')",
        [stream, version],
    )


# --- migrations, on a database of their own that all three stores share

Catalog = dict[str, frozenset[tuple[str, ...]]]
EMPTY: frozenset[tuple[str, ...]] = frozenset()
CATALOG = """
SELECT table_schema, 'column', table_name, column_name, data_type, is_nullable, coalesce(column_default, ''),
       coalesce(collation_name, '')
FROM information_schema.columns
UNION ALL SELECT schemaname, 'index', tablename, indexname, indexdef, '', '', '' FROM pg_indexes
UNION ALL SELECT nspname, 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(c.oid),
       '', '', ''
FROM pg_constraint c JOIN pg_namespace n ON n.oid = connamespace
UNION ALL SELECT nspname, 'function', proname, prosrc, '', '', '', ''
FROM pg_proc JOIN pg_namespace n ON n.oid = pronamespace
UNION ALL SELECT nspname, 'trigger', c.relname, tgname, pg_get_triggerdef(t.oid), '', '', ''
FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid JOIN pg_namespace n ON n.oid = relnamespace
WHERE NOT tgisinternal
UNION ALL SELECT nspname, 'type', typname, '', '', '', '', ''
FROM pg_type JOIN pg_namespace n ON n.oid = typnamespace WHERE typtype IN ('e', 'd')
UNION ALL SELECT schemaname, 'sequence', sequencename, '', '', '', '', '' FROM pg_sequences
"""


@pytest.fixture
def scratch(stores: None) -> Iterator[Connection]:
    """A database without tables to which all three aliases lead."""
    name = connections["system"].settings_dict["NAME"] + "_scratch"
    with pointed_at(name):
        drop(name)
        try:
            assert topology.create() == [name]
            with psycopg.connect(**parameters("system"), autocommit=True) as connection:
                yield connection
        finally:
            for alias in topology.SCHEMAS:
                leave(alias)
            drop(name)


@pytest.mark.parametrize("order", [["system", "projections", "events"], ["events", "projections", "system"]])
def test_migrating_a_store_touches_its_own_schemas_alone(scratch: Connection, order: list[str]) -> None:
    for alias in order:
        before = catalog(scratch)
        migrate(alias)
        after = catalog(scratch)
        changed = {schema for schema in {*before, *after} if before.get(schema) != after.get(schema)}
        assert changed
        assert changed <= set(topology.SCHEMAS[alias])
        assert "django_migrations" in tables(after[SEARCH_PATHS[alias]])
    lists = {schema for schema, objects in after.items() if "django_migrations" in tables(objects)}
    assert lists == set(SEARCH_PATHS.values())


def test_each_store_goes_back_to_nothing_and_comes_again(scratch: Connection) -> None:
    topology.migrate(verbosity=0)
    before = catalog(scratch)
    for alias in topology.SCHEMAS:
        go_back_to_nothing(alias)
        gone = catalog(scratch)
        for schema in topology.SCHEMAS[alias]:
            assert tables(gone.get(schema, EMPTY)) <= {"django_migrations"}
            assert not [
                what for what in gone.get(schema, EMPTY) if what[0] in ("function", "trigger", "type")
            ]
        for other in set(topology.SCHEMAS) - {alias}:
            for schema in topology.SCHEMAS[other]:
                assert gone.get(schema) == before.get(schema)
        migrate(alias)
        assert catalog(scratch) == before


def test_migrating_a_second_time_changes_nothing(scratch: Connection) -> None:
    topology.migrate(verbosity=0)
    before = catalog(scratch)
    topology.migrate(verbosity=0)
    assert catalog(scratch) == before


def go_back_to_nothing(alias: str) -> None:
    for app in sorted(MigrationLoader(connections[alias]).migrated_apps):
        migrate(alias, app, "zero")


def tables(objects: frozenset[tuple[str, ...]]) -> set[str]:
    return {table for kind, table, *_ in objects if kind == "column"}


def migrate(alias: str, *target: str) -> None:
    call_command("migrate", *target, database=alias, interactive=False, verbosity=0)


def catalog(connection: Connection) -> Catalog:
    """Everything that the stores' schemas hold, by schema."""
    found: dict[str, set[tuple[str, ...]]] = {}
    for schema, *what in connection.execute(CATALOG):
        if schema != "information_schema" and not schema.startswith("pg_"):
            found.setdefault(schema, set()).add(tuple(what))
    return {schema: frozenset(objects) for schema, objects in found.items()}


@contextmanager
def pointed_at(database: str) -> Iterator[None]:
    """All three aliases lead to ``database``, by new connections, until the end of the block."""
    usual = {alias: connections[alias].settings_dict["NAME"] for alias in topology.SCHEMAS}
    try:
        for alias in usual:
            leave(alias)
            connections[alias].settings_dict["NAME"] = database
        yield
    finally:
        for alias, name in usual.items():
            leave(alias)
            connections[alias].settings_dict["NAME"] = name


def leave(alias: str) -> None:
    connections[alias].close()
    cast(Any, connections[alias]).close_pool()


def parameters(alias: str) -> dict[str, Any]:
    settings = connections[alias].settings_dict
    names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    return {key: settings[name] for key, name in names.items() if settings[name]}


def drop(database: str) -> None:
    with psycopg.connect(**{**parameters("system"), "dbname": "postgres"}, autocommit=True) as maintenance:
        maintenance.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database))
        )
