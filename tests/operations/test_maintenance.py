"""While a store is closed to writes, nobody can write to it, everybody can read it, and nobody loses data."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import django.db
import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connections
from django.utils import timezone
from psycopg import sql
from pytest_django.fixtures import Settings

from accounts import erasure
from accounts.models import User
from eventstore import log
from eventstore.retention import acknowledged_by_all
from jobs import retention, tasks
from operations import maintenance, reset, stores
from operations.inventory import owned_tables
from operations.maintenance import Blocked, InMaintenance
from operations.stores import SCHEMAS, Connection, Note, Place, parameters, read_note, write_note
from projections import deadletters
from projections.connect import connect
from projections.failures import MAINTENANCE, in_maintenance, is_outage
from projections.projectors import PROJECTORS
from projections.rebuild import rebuild
from projections.runner import Runner
from tests.api.devices import Device, code_of, play
from tests.apps import App
from tests.eventstore.writers import ALICE, SlowWriter, plays
from tests.factories import PASSWORD, UserFactory
from tests.jobs.working import run_projectors
from tests.operations.moving import write, written
from tests.projecting import bring_up_to_date
from tests.projections.running import eventually, running
from tests.web.people import Visitor
from web import readiness

pytestmark = [pytest.mark.topology]


@pytest.fixture(autouse=True)
def _open_afterwards(stores: None) -> Iterator[None]:
    yield
    for alias in SCHEMAS:
        reopen(alias)


def close(alias: str, **options: Any) -> None:
    with psycopg.connect(**parameters(alias), autocommit=True) as connection:
        maintenance.enable(connection, alias, Note("maintenance"), **options)


def reopen(alias: str) -> None:
    with psycopg.connect(**parameters(alias), autocommit=True) as connection:
        maintenance.disable(connection, alias)


WRITES = ("INSERT INTO {} DEFAULT VALUES", "DELETE FROM {} WHERE false", "TRUNCATE {} CASCADE")


@pytest.mark.parametrize("closed", SCHEMAS)
def test_every_table_of_a_closed_store_refuses_every_write_and_those_of_the_others_none(closed: str) -> None:
    close(closed)
    for alias in SCHEMAS:
        with psycopg.connect(**parameters(alias)) as connection:
            tables = [table.identifier for table in owned_tables(connection, alias)]
            answers = {answer(connection, write, table) for table in tables for write in WRITES}
            assert tables
            assert (answers == {MAINTENANCE}) is (alias == closed), answers
            assert (MAINTENANCE in answers) is (alias == closed), answers
            for table in tables:
                connection.execute(sql.SQL("SELECT count(*) FROM {}").format(table))


def answer(connection: Connection, write: str, table: sql.Identifier) -> str | None:
    """Return the SQLSTATE with which a write is refused, or None if it is not refused."""
    try:
        connection.execute(sql.SQL(write).format(table))
    except psycopg.Error as failure:
        return failure.sqlstate
    else:
        return None
    finally:
        connection.rollback()


def test_a_refused_append_takes_no_position_and_later_ones_go_on_as_if_it_had_not_been() -> None:
    write(1)
    head = log.head()
    close("events")
    for _ in range(3):
        with pytest.raises(psycopg.OperationalError) as refused:
            write(2)
        assert in_maintenance(refused.value)
        assert is_outage(refused.value)
    reopen("events")
    write(2)
    assert written() == [1, 2]
    assert log.head() == head + 1


def test_it_waits_for_the_transactions_at_work_and_no_later_one_begins() -> None:
    writer = SlowWriter(log.stream_of(ALICE), 0, plays(1))
    with pytest.raises(Blocked, match=r"a slow writer \(pid"):
        close("events", patience=0.0)
    # nothing was changed: others can still write
    write(2)
    writer.commit()
    close("events")
    assert sorted(written()) == [1, 2]


def test_it_opens_at_once_although_somebody_reads_for_long() -> None:
    close("events")
    with psycopg.connect(**parameters("events")) as reader:
        reader.execute("SELECT count(*) FROM events.events")
        reopen("events")
        write(1)
        close("events")
        with pytest.raises(psycopg.OperationalError):
            write(2)
    assert written() == [1]


@pytest.mark.parametrize("closed", SCHEMAS)
def test_a_migration_is_refused_whose_statements_the_triggers_do_not_see(closed: str) -> None:
    close(closed)
    with pytest.raises(InMaintenance, match="in maintenance"):
        call_command("migrate", database=closed, verbosity=0)


def log_in(visitor: Visitor, password: str = PASSWORD) -> Any:
    return visitor.send("/users/log_in", {"username": "alice", "password": password})


@pytest.mark.parametrize("what", ["projections", "system", "events"])
def test_a_reset_is_refused_before_it_touches_anything(what: reset.What) -> None:
    write(1)
    close(what)
    with pytest.raises(InMaintenance):
        reset.run(what, {}, StringIO())
    assert written() == [1]


def phone_of_alice() -> Device:
    alice = UserFactory.create(username="alice", password=PASSWORD)
    App().grant(alice)
    return Device(alice.pk)


def test_the_api_says_so_to_whoever_writes_and_answers_whoever_reads() -> None:
    phone = phone_of_alice()
    phone.post("plays", play())
    bring_up_to_date()
    close("events")
    for answer in (
        phone.post("plays", play(2)),
        phone.post("sync", {"play_statuses": [play(3, updated_at="2026-05-01T12:00:00Z")]}),
        phone.post("plays", play(2), Idempotency_Key="0b9b0e5c-6f0e-4b62-9c6f-3b1f5a2f7d11"),
    ):
        assert (answer.status_code, code_of(answer)) == (503, "maintenance")
        assert int(answer.headers["Retry-After"]) > 0
    for route in ("plays", "subscriptions", "me", "events", "export"):
        assert phone.get(route).status_code == 200
    reopen("events")
    assert phone.post("plays", play(2)).status_code == 200
    assert len(written()) == 2


def test_pages_say_so_without_a_traceback_and_nobody_is_logged_out(caplog: pytest.LogCaptureFixture) -> None:
    phone_of_alice()
    inside, outside = Visitor(), Visitor()
    assert log_in(inside).status_code == 302
    close("system")
    for answer in (log_in(outside), log_in(outside, "wrong")):
        assert answer.status_code == 503
        assert "Maintenance" in answer.content.decode()
        assert int(answer.headers["Retry-After"]) > 0
    assert inside.get("/subscriptions").status_code == 200
    assert inside.send("/users/log_out", {}).status_code == 503
    reopen("system")
    assert inside.get("/subscriptions").status_code == 200
    assert log_in(outside).status_code == 302


def test_maintenance_is_no_traceback_in_the_log_and_anything_else_is() -> None:
    from balados.logs import Unexpected

    def record(failure: Exception) -> logging.LogRecord:
        return logging.LogRecord(
            "django.request", logging.ERROR, "", 0, "", (), (type(failure), failure, None)
        )

    close("events")
    with pytest.raises(psycopg.OperationalError) as refused:
        write(1)
    assert not Unexpected().filter(record(refused.value))
    assert Unexpected().filter(record(django.db.OperationalError("away")))


def test_tasks_step_aside_and_the_worker_says_so() -> None:
    write(1)
    run_projectors()
    for alias in SCHEMAS:
        close(alias)
    for task in (tasks.run_worker, tasks.purge_commands, tasks.purge_used_tokens, tasks.clear_sessions):
        task()
    with pytest.raises(psycopg.OperationalError) as refused:
        retention.run(datetime(2100, 1, 1, tzinfo=UTC), wait=lambda position: True)
    assert in_maintenance(refused.value)
    with pytest.raises(CommandError, match=r"in maintenance.*\nmanage.py maintenance status"):
        call_command("run_worker_once", before=datetime(2100, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("closed", ["events", "projections", "system"])
def test_an_erasure_that_meets_it_is_finished_afterwards(closed: str) -> None:
    phone = phone_of_alice()
    phone.post("plays", play())
    bring_up_to_date()
    erasure.begin(phone.user_id, timezone.now())
    close(closed)
    tasks.finish_erasures()
    assert erasure.begun() == [phone.user_id]
    reopen(closed)
    assert tasks.finish_erasures() == 1
    assert not User.objects.exists()
    with connections["projections"].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM users.play_statuses")
        assert cursor.fetchone() == (0,)


def test_projectors_apply_what_is_there_while_the_events_are_closed() -> None:
    write(1)
    with running(Runner()) as runner:
        close("events")
        eventually(lambda: len(runner.positions()) == len(PROJECTORS))
        head = log.head()
        eventually(lambda: set(runner.positions().values()) == {head})
        reopen("events")
        write(2)
        eventually(lambda: set(runner.positions().values()) == {log.head()})
        eventually(lambda: acknowledged_by_all(PROJECTORS) == log.head())


def test_projectors_wait_while_the_read_models_are_closed_and_set_nothing_aside() -> None:
    with running(Runner()) as runner:
        eventually(lambda: len(runner.positions()) == len(PROJECTORS))
        close("projections")
        write(1)
        eventually(lambda: not runner.positions())  # it has released everything, and tries again
        reopen("projections")
        eventually(lambda: list(runner.positions().values()) == [log.head()] * len(PROJECTORS))
    with connect("projections") as connection:
        assert deadletters.letters(connection) == []


def test_an_instance_whose_read_models_are_late_on_purpose_is_ready(settings: Settings) -> None:
    settings.READY_MAX_LAG_EVENTS = 0
    write(1)
    assert readiness.checks()["projectors"] == readiness.BEHIND
    close("projections")
    assert readiness.checks()["projectors"] == readiness.OK
    with psycopg.connect(**parameters("projections"), autocommit=True) as connection:
        maintenance.enable(connection, "projections", Note("moved"))
    assert readiness.checks()["projectors"] == readiness.BEHIND


def test_a_closed_store_shows_for_monitoring_and_in_the_administration_and_reads_go_on() -> None:
    metric = 'balados_store_maintenance{{store="events"}} {}.0'
    assert "maintenance" not in Visitor().get("/health/ready").json()
    assert metric.format(0) in Visitor().get("/metrics").content.decode()
    close("events")
    answer = Visitor().get("/health/ready")
    assert (answer.status_code, answer.json()["maintenance"]) == (200, {"events": "maintenance"})
    assert metric.format(1) in Visitor().get("/metrics").content.decode()
    admin = Visitor(UserFactory.create(username="root-of-it", is_staff=True, is_superuser=True))
    assert "The events store is in maintenance: it takes no writes." in admin.get("/admin/").content.decode()
    reopen("events")
    assert "in maintenance" not in admin.get("/admin/").content.decode()


def test_of_a_store_that_is_away_it_is_not_said_whether_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(alias: str) -> dict[str, Any]:
        return {**parameters(alias), **({"host": "127.0.0.1", "port": 1} if alias == "events" else {})}

    monkeypatch.setattr(stores, "parameters", nowhere)
    assert maintenance.states() == {"system": "open", "projections": "open"}


def test_a_rebuild_is_refused_and_leaves_the_store_closed() -> None:
    write(1)
    bring_up_to_date()
    close("projections")
    with pytest.raises(psycopg.OperationalError) as refused:
        rebuild([PROJECTORS["plays"]])
    assert in_maintenance(refused.value)
    with pytest.raises(psycopg.OperationalError):
        bring_up_to_date()


def say(*arguments: str) -> str:
    out = StringIO()
    call_command("maintenance", *arguments, stdout=out)
    return out.getvalue()


def is_closed(alias: str) -> bool:
    with psycopg.connect(**parameters(alias), autocommit=True) as connection:
        return maintenance.is_enabled(connection, alias)


@contextmanager
def noted(alias: str, note: Note) -> Iterator[Connection]:
    with psycopg.connect(**parameters(alias), autocommit=True) as connection:
        write_note(connection, alias, note)
        try:
            yield connection
        finally:
            write_note(connection, alias, None)


def test_a_store_whose_restore_has_not_ended_is_not_closed_and_still_says_so() -> None:
    restoring = Note("restoring")
    with noted("events", restoring) as connection:
        with pytest.raises(CommandError, match="restore of the events store has not ended"):
            say("on")
        assert [is_closed(alias) for alias in SCHEMAS] == [False, False, False]
        # disabling triggers that the restore brought along is not reported
        maintenance.enable(connection, "events", Note("maintenance"))
        write_note(connection, "events", None)
        assert "nothing says why" in say("status", "--store", "events")
        write_note(connection, "events", restoring)
        assert "has not ended" in say("status", "--store", "events")
        assert say("off", "--store", "events") == "events: open\n"
        assert not is_closed("events")
        assert read_note(connection, "events") == restoring


def test_all_stores_are_closed_or_none() -> None:
    with noted("events", Note("filling")), pytest.raises(CommandError, match="is being filled here"):
        say("on")
    assert [is_closed(alias) for alias in SCHEMAS] == [False, False, False]


def test_a_store_that_moved_to_here_is_closed_and_opened_as_any_other() -> None:
    arrived = Note("arrived", Place("/run", "old", 1, "18", 18))
    with noted("events", arrived) as connection:
        say("on", "--store", "events")
        assert "in maintenance" in say("status", "--store", "events")
        with pytest.raises(psycopg.OperationalError, match="in maintenance"):
            write(1)
        say("off", "--store", "events")
        assert read_note(connection, "events") == arrived
    write(1)


def test_stores_that_were_closed_before_one_that_cannot_be_are_open_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    close("system")
    enable = maintenance.enable

    def enable_two(connection: Connection, alias: str, note: Note) -> None:
        if alias == "projections":
            raise Blocked("somebody writes")
        enable(connection, alias, note)

    with monkeypatch.context() as patch:
        patch.setattr(maintenance, "enable", enable_two)
        with pytest.raises(CommandError, match="somebody writes"):
            say("on")
    # every store is as before: the system store had been closed already
    assert {alias: is_closed(alias) for alias in SCHEMAS} == {
        "system": True,
        "events": False,
        "projections": False,
    }


def test_maintenance_is_switched_on_and_off_and_told() -> None:
    assert say("status") == "system: open\nprojections: open\nevents: open\n"
    assert say("on", "--store", "events") == "events: closed to writes\n"
    assert "in maintenance" in say("status", "--store", "events")
    assert say("on").count("closed to writes") == 3
    assert say("off") == "system: open\nprojections: open\nevents: open\n"
    assert say("off", "--store", "events") == "events: open\n"
    write(1)
