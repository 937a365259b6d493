"""After PostgreSQL restarts, old pooled connections are replaced rather than handed out."""

from typing import Any

import psycopg
from django.db import connections

from balados.postgresql import base
from eventstore import log


def test_connections_that_the_server_ended_are_not_handed_out(stores: None) -> None:
    connection = connections["events"]
    log.head()
    connection.close()  # returns the connection to the pool
    ended = end_every_backend_of(connection.settings_dict)
    assert ended

    assert log.head() == 0


def test_a_connection_is_lent_as_it_was_made(stores: None) -> None:
    connection = connections["events"]
    connection.ensure_connection()
    connection.set_autocommit(False)
    connection.close()
    base.give_back()

    connection.ensure_connection()
    assert connection.get_autocommit()
    assert connection.connection.autocommit
    connection.errors_occurred = connection.needs_rollback = True
    base.give_back()

    assert connection.connection is None
    assert log.head() == 0
    assert (connection.errors_occurred, connection.needs_rollback) == (False, False)


def end_every_backend_of(parameters: dict[str, Any]) -> list[int]:
    """End all sessions on this database, as a restart of the server does; return their process ids."""
    with psycopg.connect(
        dbname=parameters["NAME"], user=parameters["USER"], host=parameters["HOST"], autocommit=True
    ) as operator:
        theirs = operator.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s",
            ["balados-events"],
        ).fetchall()
        for (pid,) in theirs:
            operator.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    return [pid for (pid,) in theirs]
