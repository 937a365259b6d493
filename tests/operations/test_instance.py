"""Stores of different instances are never used together, and no empty one is created beside those in use."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.db.utils import OperationalError
from pytest_django.fixtures import Settings

from eventstore import instance
from eventstore.domain.subscriptions import Subscribe
from eventstore.instance import WrongStore
from operations import stores
from projections import lag
from projections.connect import connect
from projections.runner import Runner
from tests.domain.scenarios import NOON
from tests.factories import UserFactory
from tests.jobs.working import dispatch_all
from tests.operations.living import stores_at
from tests.operations.operating import Operator
from tests.projecting import bring_up_to_date
from tests.projections.histories import ALICE, FEED
from tests.web.people import Visitor

three = pytest.mark.parametrize("topology", ["three"], indirect=True)


@contextmanager
def another_id(alias: str) -> Iterator[None]:
    """Give the store the id of another instance until the end of the block."""
    with stores.connect(alias) as connection:
        id_ = instance.read(connection, alias)
        assert id_ is not None
        instance.write(connection, alias, uuid4())
        leave(alias)
        try:
            yield
        finally:
            instance.write(connection, alias, id_)
            leave(alias)


def leave(alias: str) -> None:
    connections[alias].close()
    connections[alias].close_pool()  # type: ignore[attr-defined]


@pytest.fixture
def used(operator: Operator, django_db_blocker: Any) -> Iterator[Operator]:
    """Stores that contain an account and its events."""
    with django_db_blocker.unblock(), stores_at(operator.urls):
        UserFactory.create(username="alice", id=ALICE)
        dispatch_all(Subscribe(user_id=ALICE, feed=FEED, now=NOON))
        bring_up_to_date()
        yield operator


def elsewhere(operator: Operator, alias: str) -> dict[str, str]:
    """Return the operator's URLs, but with that of ``alias`` leading to a database that does not exist."""
    return operator.urls | {alias: operator.urls[alias].replace("/balados_", "/balados_typo_")}


def databases() -> set[str]:
    with stores.connect("system") as connection:
        return {name for (name,) in connection.execute("SELECT datname FROM pg_database")}


@three
@pytest.mark.parametrize("alias", ["events", "system"])
@pytest.mark.parametrize("command", ["db_init", "db_create"])
def test_an_empty_store_is_not_made_beside_those_in_use(used: Operator, alias: str, command: str) -> None:
    with (
        stores_at(elsewhere(used, alias)),
        pytest.raises(CommandError, match=f"There is no {alias} store in"),
    ):
        call_command(command, verbosity=0)
    with stores_at(used.urls):
        assert not any("typo" in name for name in databases())


@three
def test_it_is_made_where_the_operator_says_that_what_was_in_it_is_to_go(
    used: Operator, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings.DEBUG, settings.BALADOS_HOME = True, tmp_path
    monkeypatch.setattr("sys.stdin", io.StringIO("DELETE ALL EVENTS\n"))
    urls = elsewhere(used, "events")
    used.urls["events"] = urls["events"]  # so that the fixture drops it
    with stores_at(urls):
        call_command("db_reset", "--events", stdout=io.StringIO())
        call_command("db_init", verbosity=0)
        lag.check_log()
        with stores.connect("system") as system, stores.connect("events") as events:
            assert instance.read(system, "system") == instance.read(events, "events")


@three
def test_read_models_are_made_anew_without_being_asked(used: Operator) -> None:
    urls = elsewhere(used, "projections")
    used.urls["projections"] = urls["projections"]
    with stores_at(urls):
        call_command("db_init", verbosity=0)
        bring_up_to_date()
        with connect("projections") as connection:
            assert connection.execute("SELECT count(*) FROM users.subscriptions").fetchone() == (1,)


@pytest.mark.parametrize("alias", ["system", "projections", "events"])
def test_a_store_of_another_instance_is_refused_by_everything_that_opens_it(stores: None, alias: str) -> None:
    others = [other for other in ("system", "projections", "events") if other != alias]
    for other in others:
        with connections[other].cursor() as cursor:
            cursor.execute("SELECT 1")
        leave(other)
        connections[other].ensure_connection()
    with another_id(alias):
        with pytest.raises(WrongStore, match="of another instance"):
            connect(alias)
        with pytest.raises(OperationalError, match="of another instance"):
            connections[alias].ensure_connection()
        ready = Visitor().get("/health/ready")
        assert ready.status_code == 503
        assert ready.json()["checks"][alias] == "of another instance"
    assert Visitor().get("/health/ready").json()["checks"][alias] == "ok"


@pytest.mark.usefixtures("stores")
def test_stores_of_two_instances_are_not_prepared() -> None:
    with another_id("events"), pytest.raises(CommandError, match="of different instances"):
        call_command("db_init", verbosity=0)


@pytest.mark.usefixtures("stores")
def test_a_log_that_is_older_than_the_read_models_is_refused() -> None:
    dispatch_all(Subscribe(user_id=ALICE, feed=FEED, now=NOON))
    bring_up_to_date()
    with connect("projections") as connection:
        connection.execute("UPDATE users.projector_positions SET position = position + 25")
    runner = Runner()
    with pytest.raises(psycopg.OperationalError, match="older than the read models"):
        runner.step()
    runner.close()
    ready = Visitor().get("/health/ready")
    assert (ready.status_code, ready.json()["checks"]["events"]) == (503, "older than the read models")
    page = Visitor().get("/health/live")
    assert page.status_code == 200
