"""A restarted PostgreSQL: pooled connections of before are replaced, not handed out."""

import psycopg
import pytest
from django.db import connections

from eventstore import store

pytestmark = pytest.mark.topology


def test_a_connection_that_the_server_ended_is_not_handed_out(stores: None) -> None:
    connection = connections["events"]
    connection.ensure_connection()
    pid = connection.connection.info.backend_pid
    connection.close()  # back into the pool
    parameters = connection.settings_dict
    with psycopg.connect(
        dbname=parameters["NAME"], user=parameters["USER"], host=parameters["HOST"], autocommit=True
    ) as operator:
        operator.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

    assert store.head() == 0

    assert connection.connection.info.backend_pid != pid
