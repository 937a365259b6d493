"""The health checks for supervisors, and the pages while a store is unavailable."""

import pytest
import redis
from django.db import OperationalError
from django.db.migrations.recorder import MigrationRecorder
from pytest_django.fixtures import Settings

from accounts.models import User
from eventstore.database import raw_connection
from operations import stores
from projections import lag, queries
from tests.projecting import bring_up_to_date
from tests.projections.histories import ALICE, record, subscribed
from tests.web.people import Visitor, text_of
from web import readiness

HEALTHY = dict.fromkeys(("system", "projections", "events", "redis", "projectors"), "ok")


def away(*_: object, **__: object) -> dict[object, object]:
    raise OperationalError("connection to /var/run/secret refused")


def readiness_of(changes: dict[str, str]) -> dict[str, object]:
    return {"status": "unavailable", "checks": HEALTHY | changes}


def test_a_process_with_its_stores_is_ready() -> None:
    response = Visitor().get("/health/ready")
    assert (response.status_code, response.json()) == (200, {"status": "ready", "checks": HEALTHY})
    assert Visitor().get("/health/live").status_code == 200


def test_a_store_that_is_away_is_named_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MigrationRecorder, "applied_migrations", away)
    response = Visitor().get("/health/ready")
    assert response.status_code == 503
    assert response["Retry-After"] == "5"
    stores = dict.fromkeys(readiness.STORES, "unreachable")
    assert response.json() == readiness_of({**stores, "projectors": "unknown"})
    assert Visitor().get("/health/live").status_code == 200


@pytest.mark.parametrize("store", readiness.STORES)
def test_a_store_without_its_newest_tables_is_not_ready(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    complete = MigrationRecorder.applied_migrations

    def one_missing(recorder: MigrationRecorder) -> dict[object, object]:
        found = dict[object, object](complete(recorder))
        if recorder.connection.alias == store:
            found.popitem()
        return found

    monkeypatch.setattr(MigrationRecorder, "applied_migrations", one_missing)
    response = Visitor().get("/health/ready")
    assert response.status_code == 503
    projectors = "ok" if store == "system" else "unknown"
    assert response.json() == readiness_of({store: "migrations are missing", "projectors": projectors})


def test_redis_is_a_store_too(settings: Settings) -> None:
    settings.REDIS_URL = "unix:///nowhere/redis.sock"
    response = Visitor().get("/health/ready")
    assert response.status_code == 503
    assert response.json() == readiness_of({"redis": "unreachable"})


def test_a_redis_that_is_full_is_not_said_to_be_away(settings: Settings) -> None:
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.config_set("maxmemory", 1)
        try:
            response = Visitor().get("/health/ready")
            figures = text_of(Visitor(REMOTE_ADDR="127.0.0.1").get("/metrics"))
        finally:
            client.config_set("maxmemory", 0)
    assert 'balados_store_up{store="redis"} 0.0' in figures
    assert response.json() == readiness_of({"redis": "takes no writes"})


@pytest.mark.parametrize("store", readiness.STORES)
def test_a_store_whose_disk_is_full_is_not_ready(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    full = raw_connection(store)
    monkeypatch.setattr(stores, "has_room", lambda connection: connection is not full)
    response = Visitor().get("/health/ready")
    assert response.status_code == 503
    projectors = "ok" if store == "system" else "unknown"
    assert response.json() == readiness_of({store: "takes no writes", "projectors": projectors})


def test_projectors_that_are_behind_make_it_unready_until_they_have_caught_up(settings: Settings) -> None:
    settings.READY_MAX_LAG_SECONDS = 0.0
    record(subscribed(ALICE))
    assert Visitor().get("/health/ready").json() == readiness_of({"projectors": "behind"})
    bring_up_to_date()
    assert Visitor().get("/health/ready").status_code == 200


def test_many_events_are_a_lag_however_young(settings: Settings) -> None:
    settings.READY_MAX_LAG_EVENTS = 1
    record(subscribed(ALICE))
    assert Visitor().get("/health/ready").status_code == 200
    record(subscribed(ALICE, at=1))
    assert Visitor().get("/health/ready").json() == readiness_of({"projectors": "behind"})


def test_a_projector_that_dies_while_it_is_asked_about_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lag, "lags", away)
    assert Visitor().get("/health/ready").json() == readiness_of({"projectors": "unknown"})


def test_a_page_whose_store_is_away_says_when_to_come_back(
    alice: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(queries, "subscriptions", away)
    response = Visitor(alice).get("/subscriptions")
    # one line and its request's, without a traceback: in an outage there are many
    assert [(record.name, record.exc_info) for record in caplog.records if record.levelname != "INFO"] == [
        ("web.errors", None),
        ("balados.requests", None),
    ]
    assert "OperationalError" in caplog.text
    assert response.status_code == 503
    assert response["Retry-After"] == "5"
    assert "Back in a moment" in text_of(response)
    assert "secret" not in text_of(response)
    assert response["X-Frame-Options"] == "DENY"


def test_a_fault_of_ours_is_a_plain_500(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(queries, "subscriptions", fail)
    response = Visitor(alice).get("/subscriptions")
    assert response.status_code == 500
    assert "Something went wrong" in text_of(response)
    assert "secret" not in text_of(response)
    assert "Content-Security-Policy" in response
