"""What callers get while something of ours is broken: 503 and a time to come back, never 500."""

import logging

import django.db
import psycopg
import psycopg_pool
import pytest

from api.v1.plays import PlaysView
from eventstore import dispatcher
from eventstore.streams import StreamUnreadable
from projections import queries
from tests.api.devices import Device, code_of, count_events, document, faults, play, status, unharmed

OUTAGES = [
    psycopg.OperationalError("server closed the connection unexpectedly"),
    psycopg.errors.AdminShutdown("terminating connection"),
    psycopg.errors.QueryCanceled("statement timeout"),
    psycopg_pool.PoolTimeout("couldn't get a connection after 5 s"),
    psycopg.InterfaceError("the connection is closed"),
    django.db.OperationalError("connection refused"),
    django.db.InterfaceError("connection already closed"),
    psycopg.errors.UndefinedTable('relation "users.play_statuses" does not exist'),
]


def fails(monkeypatch: pytest.MonkeyPatch, place: str, error: Exception) -> None:
    def fail(*arguments: object, **named: object) -> None:
        raise error

    monkeypatch.setattr(place, fail)


@pytest.mark.parametrize("error", OUTAGES, ids=lambda error: type(error).__name__)
def test_a_store_that_is_away_is_503(
    phone: Device, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    phone.post("plays", play())
    with monkeypatch.context() as patch:
        fails(patch, "eventstore.log.append", error)
        fails(patch, "projections.queries.play_statuses", error)
        written = phone.post("plays", play(2)), phone.post("sync", {"play_statuses": [status(2)]})
        for answer in (*written, phone.get("plays")):
            assert (answer.status_code, code_of(answer)) == (503, "unavailable")
            assert int(answer.headers["Retry-After"]) > 0
            assert "psycopg" not in answer.content.decode()
    assert phone.post("plays", play(2)).status_code == 200
    assert count_events() == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StreamUnreadable("PlayRecorded v9 is newer than this program"), "unreadable"),
        (queries.Behind("plays", 7, 5), "behind"),
    ],
)
def test_what_passes_is_503(
    phone: Device, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str
) -> None:
    with unharmed(phone):
        fails(monkeypatch, "api.answers.dispatch", error)
        answer = phone.post("plays", play())
        assert (answer.status_code, code_of(answer)) == (503, code)
        assert int(answer.headers["Retry-After"]) > 0
        assert "PlayRecorded" not in answer.content.decode()


def test_a_lost_race_is_409(phone: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    with unharmed(phone):
        fails(monkeypatch, "api.answers.dispatch", dispatcher.Conflict())
        answer = phone.post("plays", play())
        assert (answer.status_code, code_of(answer)) == (409, "conflict")


def test_a_mistake_of_ours_is_500_in_the_same_shape_and_says_nothing(
    phone: Device, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fails(monkeypatch, "api.answers.dispatch", ZeroDivisionError("secret"))
    answer = phone.post("plays", play())
    assert answer.status_code == 500
    assert faults(answer) == {None: "error"}
    assert "secret" not in answer.content.decode()
    # but our log has the whole error
    assert any(record.exc_info for record in caplog.records)


def test_also_where_it_is_made_outside_of_the_views_handling(
    phone: Device, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fails(monkeypatch, "api.views.View.initialize_request", ZeroDivisionError("secret"))
    answer = phone.get("me")
    assert answer.status_code == 500
    assert faults(answer) == {None: "error"}
    assert "secret" not in answer.content.decode()
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_an_outage_is_one_line_in_the_log(
    phone: Device, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fails(monkeypatch, "api.answers.dispatch", OUTAGES[0])
    with caplog.at_level(logging.INFO):
        phone.post("plays", play())
    record, request = caplog.records
    assert request.name == "balados.requests"
    assert record.levelno == logging.WARNING
    assert record.exc_info is None
    assert "OperationalError" in record.getMessage()


def test_what_callers_do_wrong_is_not_in_the_log(phone: Device, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        phone.get("nope")
        phone.get("me", Authorization="Bearer x")
        phone.post("plays", {})
        phone.get("me", Host="evil.example")
    assert [record for record in caplog.records if record.name.startswith("django.request")] == []


def test_an_unreadable_entry_is_503_and_nothing_is_decided_without_it(phone: Device) -> None:
    phone.post("plays", play())
    with django.db.connections["events"].cursor() as cursor:
        cursor.execute("UPDATE events.snapshots SET state = 'dreamt'")
    dispatcher.clear_cache()
    before = count_events()
    answer = phone.post("sync", {"play_statuses": [status(2), status(1)]})
    assert (answer.status_code, code_of(answer)) == (503, "unreadable")
    assert "dreamt" not in answer.content.decode()
    assert count_events() == before


def test_errors_of_a_view_keep_their_type(phone: Device) -> None:
    assert PlaysView.scopes["GET"] == "user.plays.read"
    assert document(phone.get("plays?limit=x"))["type"] == "validation_error"
    assert document(phone.get("nope"))["type"] == "client_error"
