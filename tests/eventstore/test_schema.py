"""Rules that PostgreSQL itself enforces."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.errors import IntegrityConstraintViolation, UniqueViolation

from eventstore import log
from eventstore.domain.messages import Origin
from tests.eventstore.writers import ALICE, connect, plays

Connection = psycopg.Connection[Any]


@pytest.fixture
def operator(stores: None) -> Iterator[Connection]:
    """A psql session of an operator on the event store, which holds two of Alice's events."""
    assert log.append(log.stream_of(ALICE), 0, plays(1, 2), Origin())
    with connect("the operator") as connection:
        yield connection


def versions(operator: Connection) -> list[int]:
    return [version for (version,) in operator.execute("SELECT version FROM events.events ORDER BY 1")]


@pytest.mark.parametrize("retention", ["off", "on"])
def test_an_event_is_never_updated(operator: Connection, retention: str) -> None:
    operator.execute(f"SET balados.retention = '{retention}'")
    with pytest.raises(IntegrityConstraintViolation, match="events are never updated"):
        operator.execute("UPDATE events.events SET type = 'UserSang'")
    # the trigger is per statement, so it also fires if no row matches
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
    # with a cached range, a session could commit a low position long after another session's higher ones
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
        insert(operator, log.stream_of(ALICE), 2)
    insert(operator, log.stream_of(ALICE), 3)
    insert(operator, log.stream_of(ALICE) + 1, 2)


@pytest.mark.parametrize("version", [0, -1])
def test_versions_start_at_one(operator: Connection, version: int) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        insert(operator, log.stream_of(ALICE), version)


def insert(operator: Connection, stream: int, version: int) -> None:
    operator.execute(
        "INSERT INTO events.events (stream, version, type, schema, data, metadata)"
        " VALUES (%s, %s, 'PlayRecorded', 1, '{}', '{}')",
        [stream, version],
    )
