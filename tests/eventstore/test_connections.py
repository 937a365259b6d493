"""After PostgreSQL restarts, old pooled connections are replaced rather than handed out."""

import logging
from typing import Any

import psycopg
import pytest
from django.db import connections

from balados import logs
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


def test_a_store_that_has_been_away_for_long_is_waited_for_only_briefly(
    stores: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_away", {})
    log.head()
    pool = connections["events"].pool  # type: ignore[attr-defined]
    refused = logging.LogRecord(
        "psycopg.pool", 30, "", 0, "error connecting in %r: %s", ("events", "x"), None
    )
    logs.OncePerOutage().filter(refused)
    assert base.patience(pool) == pool.timeout  # it may only be restarting
    logs._away["events"] -= pool.timeout
    assert base.patience(pool) == base.SHORT_PATIENCE < pool.timeout
    connections["events"].close()
    log.head()
    assert base.patience(pool) == pool.timeout
    # a failed attempt pauses no longer than that before the next request makes a new one
    assert pool.reconnect_timeout == pool.timeout


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
