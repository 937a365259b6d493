"""What an operator is told about the stores, and what the figures are based on."""

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connections

from operations import maintenance, status, stores
from operations.stores import SCHEMAS, Note, parameters
from projections.projectors import PROJECTORS
from tests.jobs.working import run_projectors
from tests.operations.moving import CAST, write

pytestmark = [pytest.mark.usefixtures("stores")]


def store_status(*arguments: str) -> str:
    out = StringIO()
    call_command("store_status", *arguments, stdout=out)
    return out.getvalue()


def figures() -> Any:
    return json.loads(store_status("--json"))


def record(days_ago: float, number: int = 1) -> None:
    """Insert ``number`` events as if they had been recorded ``days_ago`` days ago."""
    with connections["events"].cursor() as cursor:
        cursor.execute(
            "INSERT INTO events.events (stream, version, type, schema, data, metadata, recorded_at)"
            " SELECT 99, (SELECT count(*) FROM events.events WHERE stream = 99) + n, 'PlayRecorded', 1, '{}',"
            " '{}', clock_timestamp() - %s * interval '1 day' FROM generate_series(1, %s) n",
            [days_ago, number],
        )


@pytest.mark.topology
def test_it_tells_of_every_store_and_of_what_is_in_it() -> None:
    for number in range(7):
        write(number, CAST[number % 2])
    run_projectors()
    for alias in ("events", "projections"):
        with connections[alias].cursor() as cursor:
            # otherwise the server adds the inserted rows to those that ANALYZE has counted
            cursor.execute("SELECT pg_stat_force_next_flush()")
            cursor.execute("ANALYZE")
    report = figures()
    assert {alias: store["up"] for alias, store in report["stores"].items()} == dict.fromkeys(
        ("system", "projections", "events"), True
    )
    rows = {table["name"]: table["rows"] for table in report["stores"]["projections"]["tables"]}
    assert rows["users.play_statuses"] == 7
    assert report["events"]["total"] == report["events"]["per_day"] == 7
    assert [each["lag_events"] for each in report["projectors"]] == [0] * len(PROJECTORS)
    assert not any(advice["split"] for advice in report["advice"])
    text = store_status()
    assert max(map(len, text.splitlines())) <= 100
    for words in ("SYSTEM  database test_balados", "users.play_statuses", "about 7 events", "writes open"):
        assert words in text


def test_an_empty_log_is_reported_as_empty() -> None:
    assert figures()["events"] == {"total": 0, "per_day": 0.0, "oldest_at": None}
    assert "about 0 events" in store_status()


def test_the_rate_is_that_of_the_last_day_or_of_the_newest_events_where_these_are_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for days_ago, number in ((9, 4), (1.5, 5), (0.5, 7)):
        record(days_ago, number)
    found = status.log()
    assert found["per_day"] == 7
    assert datetime.now(UTC) - datetime.fromisoformat(found["oldest_at"]) > timedelta(days=8)
    monkeypatch.setitem(status.LIMITS["events"], "events_per_day", 6)
    assert status.log()["per_day"] == pytest.approx(14, rel=0.01)


def test_a_store_that_is_away_is_shown_with_the_others_and_the_exit_code_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gone(alias: str) -> dict[str, Any]:
        return {**parameters(alias), **({"host": "127.0.0.1", "port": 1} if alias == "events" else {})}

    monkeypatch.setattr(stores, "parameters", gone)
    out = StringIO()
    with pytest.raises(CommandError, match="Away: events"):
        call_command("store_status", "--json", stdout=out)
    report = json.loads(out.getvalue())
    assert not report["stores"]["events"]["up"]
    assert "refused" in report["stores"]["events"]["error"]
    assert report["stores"]["system"]["up"]
    assert report["events"] is report["projectors"] is None
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("store_status", stdout=out)
    assert "EVENTS  is away" in out.getvalue()
    assert "SYSTEM  database" in out.getvalue()


def test_it_says_which_store_to_move_and_why_but_never_one_on_its_own() -> None:
    def advice(total: int, per_day: float, *read_ms: float) -> dict[str, bool]:
        found = {alias: store(list(read_ms)) for alias in SCHEMAS}
        stores = status.advise(found, {"total": total, "per_day": per_day})
        return {each["store"]: each["split"] for each in stores}

    assert advice(1_000_000, 10_000, 200) == {"events": False, "projections": False, "system": False}
    assert advice(1_000_001, 0)["events"]
    assert advice(0, 10_001)["events"]
    assert advice(0, 0, 201, 20) == {"events": False, "projections": True, "system": False}
    found = {
        "events": {**store([]), "database": "another"},
        "system": {"up": False},
        "projections": store([]),
    }
    advice_of = {each["store"]: each for each in status.advise(found, {"total": 9_000_000, "per_day": 0})}
    assert (advice_of["events"]["split"], advice_of["events"]["shares_database_with"]) == (False, [])
    assert advice_of["system"]["shares_database_with"] is None


def store(read_ms: list[float]) -> dict[str, Any]:
    queries = [{"query": "SELECT $1", "mean_ms": each} for each in read_ms]
    queries.append({"query": "INSERT INTO $1", "mean_ms": 900})
    return {"up": True, "cluster": "1", "database": "balados", "slowest_queries": queries}


def test_a_closed_store_is_shown_as_closed() -> None:
    with psycopg.connect(**parameters("events"), autocommit=True) as connection:
        maintenance.enable(connection, "events", Note("maintenance"))
        try:
            assert "writes CLOSED (maintenance)" in store_status()
        finally:
            maintenance.disable(connection, "events")


def test_of_slow_queries_no_value_is_told() -> None:
    text = """-- of alice
    SELECT * FROM "users"."subscriptions" WHERE name = 'alice''s' AND n > 4711 AND feed = $12"""
    assert status.without_values(text) == (
        """SELECT * FROM "users"."subscriptions" WHERE name = '…' AND n > … AND feed = $12"""
    )


def test_slow_queries_are_those_of_the_store_and_no_statement_that_may_hold_a_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # the embedded server lacks this extension: a table with the same columns replaces it
    monkeypatch.setattr(status, "STATEMENTS", "SELECT 'pg_temp'")
    with psycopg.connect(**parameters("events"), autocommit=True) as connection:
        connection.execute(
            "CREATE TEMP TABLE pg_stat_statements (query text, calls bigint, mean_exec_time float8, dbid oid)"
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
                "INSERT INTO pg_stat_statements SELECT %s, 2, %s, oid FROM pg_database"
                " WHERE datname = current_database()",
                [query, milliseconds],
            )
        found = status.slowest(connection, ["events"])
    assert found is not None
    assert [tuple(each.values()) for each in found] == [
        ("INSERT INTO events.streams SELECT $1", 2, 1.0),
        ("SELECT $1 FROM events.events", 2, 0.0),
    ]
