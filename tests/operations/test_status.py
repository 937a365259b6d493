"""What an operator is told about the stores, and what the figures rest on."""

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connections

from operations import figures, maintenance, readtimes, status
from operations.maintenance import Note
from operations.status import Away, Store
from operations.stores import SCHEMAS, parameters
from tests.jobs.working import settle
from tests.operations.moving import CAST, write

pytestmark = [pytest.mark.usefixtures("stores")]
topology = pytest.mark.topology


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readtimes, "RUNS", 2)


def said(*arguments: str) -> str:
    out = StringIO()
    call_command("store_status", *arguments, stdout=out)
    return out.getvalue()


def told() -> Any:
    return json.loads(said("--json"))


def log() -> figures.Log:
    with psycopg.connect(**parameters("events"), autocommit=True) as connection:
        return figures.log(connection)


def record(days_ago: float, number: int = 1) -> None:
    """Events as they were recorded so many days ago."""
    with connections["events"].cursor() as cursor:
        cursor.execute(
            "INSERT INTO events.events (stream, version, type, schema, data, metadata, recorded_at)"
            " SELECT 99, (SELECT count(*) FROM events.events WHERE stream = 99) + n, 'PlayRecorded', 1, '{}',"
            " '{}', clock_timestamp() - %s * interval '1 day' FROM generate_series(1, %s) n",
            [days_ago, number],
        )


@topology
def test_it_tells_of_every_store_and_of_what_is_in_it() -> None:
    for number in range(7):
        write(number, CAST[number % 2])
    settle()
    report = told()
    assert {alias: store["up"] for alias, store in report["stores"].items()} == dict.fromkeys(
        ("system", "projections", "events"), True
    )
    tables = {table["name"]: table for table in report["stores"]["projections"]["figures"]["tables"]}
    assert (tables["users.play_statuses"]["rows"], tables["users.play_statuses"]["exact"]) == (7, True)
    assert report["events"]["total"] == report["events"]["last_days"][0] == 7
    assert [each["lag_events"] for each in report["projectors"]] == [0] * 8
    assert {read["name"] for read in report["reads"]["reads"]} >= {"subscriptions", "public timeline"}
    assert all(read["p95_ms"] > 0 for read in report["reads"]["reads"])
    assert not any(advice["split"] for advice in report["advice"])
    text = said()
    assert max(map(len, text.splitlines())) <= 100
    for words in ("SYSTEM  database test_balados", "users.play_statuses", "7 in all", "writes open"):
        assert words in text


def test_an_empty_log_is_reported_as_empty() -> None:
    none = {"total": 0, "exact": True, "oldest_at": None, "last_days": [0] * 7, "per_day": 0.0}
    assert told()["events"] == none
    assert "0 in all" in said()


def test_events_are_counted_by_the_day_they_were_recorded() -> None:
    for days_ago, number in ((9, 4), (6.5, 2), (5.5, 3), (1.5, 5), (1.2, 1), (0.5, 7)):
        record(days_ago, number)
    found = log()
    assert found.last_days == [7, 6, 0, 0, 0, 3, 2]
    assert (found.total, found.per_day) == (22, round(18 / 7, 1))
    assert found.oldest_at is not None
    assert datetime.now(UTC) - found.oldest_at > timedelta(days=8)


def test_a_table_that_goes_while_it_is_looked_at_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rebuild or a verification ends, and its scratch tables with it."""
    count = figures._rows
    with psycopg.connect(**parameters("projections"), autocommit=True) as rebuilding:
        rebuilding.execute("CREATE TABLE users.activity__rebuild ()")

        def late(connection: maintenance.Connection, schema: str, *table: Any) -> tuple[int, bool]:
            if schema == "users":
                rebuilding.execute("DROP TABLE IF EXISTS users.activity__rebuild")
            return count(connection, schema, *table)

        monkeypatch.setattr(figures, "_rows", late)
        names = [table["name"] for table in told()["stores"]["projections"]["figures"]["tables"]]
    assert "users.activity" in names
    assert "users.activity__rebuild" not in names


def test_holes_in_the_log_are_not_counted() -> None:
    for days_ago in (3.5, 2.5, 2.4, 0.5):
        record(days_ago, 3)
    with connections["events"].cursor() as cursor:
        cursor.execute("SET balados.retention = 'on'")
        cursor.execute("DELETE FROM events.events WHERE version IN (1, 2, 5, 9, 11)")
        cursor.execute("RESET balados.retention")
    assert log().last_days == [2, 0, 4, 1, 0, 0, 0]


def test_positions_that_a_restore_left_out_are_no_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "COUNTED", 10)
    record(0.2, 20)
    with connections["events"].cursor() as cursor:
        cursor.execute("SELECT max(position) FROM events.events")
        (head,) = cursor.fetchone()
        cursor.execute(
            "INSERT INTO events.restores (epoch, head, next) VALUES ('x', %s, %s)", [head, head + 1_000_001]
        )
        cursor.execute("SELECT setval('events.events_position_seq', %s)", [head + 1_000_000])
    record(0.1, 20)
    assert log().last_days[0] == 40


def test_beyond_a_number_rows_are_not_counted_but_estimated_and_it_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(figures, "COUNTED", 10)
    record(0.1, 40)
    with connections["events"].cursor() as cursor:
        # or the server adds the inserted rows to those that ANALYZE found
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute("ANALYZE events.events")
    found = log()
    assert (found.total, found.exact) == (40, False)
    assert found.last_days[0] >= 40
    assert "about 40" in said()


def test_a_store_that_is_away_is_shown_with_the_others_and_the_exit_code_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gone(alias: str) -> dict[str, Any]:
        return {**parameters(alias), **({"host": "127.0.0.1", "port": 1} if alias == "events" else {})}

    monkeypatch.setattr(status, "parameters", gone)
    out = StringIO()
    with pytest.raises(CommandError, match="Away: events"):
        call_command("store_status", "--json", stdout=out)
    report = json.loads(out.getvalue())
    assert not report["stores"]["events"]["up"]
    assert "refused" in report["stores"]["events"]["error"]
    assert report["stores"]["system"]["up"]
    assert report["events"] is report["reads"] is report["projectors"] is None
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("store_status", stdout=out)
    assert "EVENTS  is away" in out.getvalue()
    assert "SYSTEM  database" in out.getvalue()


def test_it_says_which_store_to_move_and_why_but_never_one_on_its_own() -> None:
    def advice(total: int, a_day: float, alone: float, beside: float) -> dict[str, bool]:
        found = figures.Log(total, False, None, [int(a_day)] * 7, a_day)
        reads = readtimes.Reads([], alone, beside)
        stores: dict[str, Store | Away] = {alias: store(alias) for alias in SCHEMAS}
        asked = status._thresholds(found, reads)
        return {alias: status._advice(alias, stores[alias], asked[alias]).split for alias in SCHEMAS}

    assert advice(1_000_000, 10_000, 200, 200) == {"events": False, "projections": False, "system": False}
    assert advice(1_000_001, 0, 1, 1)["events"]
    assert advice(0, 10_001, 1, 1)["events"]
    assert advice(0, 0, 1, 201) == {"events": True, "projections": False, "system": False}
    assert advice(0, 0, 201, 400) == {"events": False, "projections": True, "system": False}
    on_its_own = store("events")
    on_its_own.shares_database_with = []
    told = status._advice("events", on_its_own, [status._threshold("events", 1.0, 2.0)])
    assert (told.split, told.alone) == (False, True)


def store(alias: str) -> Store:
    others = [other for other in ("system", "projections", "events") if other != alias]
    none = figures.Figures(0, 0, [], 0, 0, 0.0, None, None)
    return Store("here", "balados", "18", "open", others, others, none)


def test_a_closed_store_is_shown_as_closed() -> None:
    with psycopg.connect(**parameters("events"), autocommit=True) as connection:
        maintenance.enable(connection, "events", Note("maintenance", datetime.now(UTC)))
        try:
            assert "writes CLOSED (maintenance)" in said()
        finally:
            maintenance.disable(connection, "events")


def test_of_slow_queries_no_value_is_told() -> None:
    text = """-- of alice
    SELECT * FROM "users"."subscriptions" WHERE name = 'alice''s' AND n > 4711 AND feed = $12"""
    assert figures._without_values(text) == (
        """SELECT * FROM "users"."subscriptions" WHERE name = '…' AND n > … AND feed = $12"""
    )


def test_slow_queries_are_those_of_the_store_and_no_statement_that_may_hold_a_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # the embedded server has no such extension: a table of the same columns in its place
    monkeypatch.setattr(figures, "STATEMENTS", "SELECT 'pg_temp'")
    with psycopg.connect(**parameters("events"), autocommit=True) as connection:
        connection.execute(
            "CREATE TEMP TABLE pg_stat_statements (query text, calls bigint, mean_exec_time float8,"
            " total_exec_time float8, dbid oid)"
        )
        for milliseconds, query in enumerate(
            (
                "SELECT $1 FROM events.events",
                "-- The head\nINSERT INTO events.streams SELECT $1",
                'SELECT 1 FROM "users"."subscriptions"',
                "CREATE ROLE events.x PASSWORD 'geheim'",
                "SELECT 1 FROM otherevents.events_of",
            )
        ):
            connection.execute(
                "INSERT INTO pg_stat_statements SELECT %s, 2, %s, 10, oid FROM pg_database"
                " WHERE datname = current_database()",
                [query, milliseconds],
            )
        found = figures.figures(connection, "events").slowest_queries
    assert found is not None
    assert [(each.query, each.calls, each.mean_ms) for each in found] == [
        ("INSERT INTO events.streams SELECT $1", 2, 1.0),
        ("SELECT $1 FROM events.events", 2, 0.0),
    ]
