"""The prepared statement of appends, which bypasses psycopg's own, must fail and recover as psycopg's do."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import connections, transaction

from eventstore import log
from eventstore.domain.messages import Origin
from eventstore.domain.subscriptions import UserSubscribed
from eventstore.prepared import Prepared
from tests.eventstore.test_connections import end_every_backend_of

ALICE = uuid4()


def subscribed(user_id: UUID = ALICE) -> UserSubscribed:
    return UserSubscribed(
        user_id=user_id, rss_source_feed="aHR0cA==", subscribed_at=datetime(2026, 1, 1, tzinfo=UTC)
    )


def append(expected: int) -> int | None:
    return log.append(log.stream_of(ALICE), expected, [subscribed()], Origin())


def events_connection() -> "psycopg.Connection[tuple[object, ...]]":
    connections["events"].ensure_connection()
    connection = connections["events"].connection
    assert isinstance(connection, psycopg.Connection)
    return connection


def test_it_is_prepared_again_after_it_was_deallocated(stores: None) -> None:
    assert append(0)
    # psycopg does this itself after an ALTER or a DROP
    events_connection().execute("DEALLOCATE ALL")
    assert append(1)


def test_it_takes_part_in_a_transaction_of_the_caller(stores: None) -> None:
    with transaction.atomic(using="events"):
        assert append(0)
        transaction.set_rollback(True, using="events")
    assert log.read_stream(log.stream_of(ALICE)) == []
    assert append(0)


def test_a_lost_connection_is_an_operational_error_and_the_next_append_gets_another(stores: None) -> None:
    assert append(0)
    end_every_backend_of(connections["events"].settings_dict)
    with pytest.raises(psycopg.OperationalError):
        append(1)
    assert append(1)


def test_what_the_server_refuses_is_raised_as_psycopg_would(stores: None) -> None:
    halve = Prepared("halve", "SELECT 1 / %(by)s::integer")
    connection = events_connection()
    with pytest.raises(psycopg.errors.DivisionByZero):
        halve.first_value(connection, {"by": b"0"})
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        halve.first_value(connection, {"by": b"x"})
    assert halve.first_value(connection, {"by": b"1"}) == b"1"


def test_a_statement_that_cannot_be_prepared_says_why(stores: None) -> None:
    with pytest.raises(psycopg.errors.SyntaxError):
        Prepared("nonsense", "SELEKT").first_value(events_connection(), {})
