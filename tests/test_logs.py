"""What a log line contains: the request it belongs to, who sent it, and no private data."""

import base64
import io
import json
import logging
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from celery.beat import ScheduleEntry, Scheduler, SchedulingError
from celery.schedules import schedule
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st

from accounts import pseudonyms
from accounts.models import User
from balados import logs, redaction
from balados.celery import app as celery
from balados.redaction import GONE
from balados.requests import HEADER, Observed
from tests.api.devices import Device, feed
from tests.apps import App
from tests.factories import PASSWORD, UserFactory
from tests.web.people import Visitor

TOKEN = "Zk93mQ7xLw2pT4vBu81-dRs_0aYc"
FEED = base64.b64encode(b"https://feeds.example.org/private/Zk93mQ7x.xml").decode()


class Lines:
    """The lines logged during a test, as a log collector receives them."""

    def __init__(self, stream: io.StringIO) -> None:
        self._stream = stream

    def all(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]

    def requests(self) -> list[dict[str, Any]]:
        return [line for line in self.all() if line["event"] == "request"]


@pytest.fixture
def lines() -> Iterator[Lines]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.formatter("json"))
    logging.getLogger().addHandler(handler)
    yield Lines(stream)
    logging.getLogger().removeHandler(handler)


@pytest.fixture
def alice(stores: None) -> User:
    return UserFactory.create(username="alice", password=PASSWORD)


@pytest.fixture
def phone(alice: User) -> Device:
    App().grant(alice)
    return Device(alice.pk)


def test_a_request_is_one_line_with_its_route_who_sent_it_and_how_long_it_took(
    lines: Lines, phone: Device
) -> None:
    answer = phone.get(f"subscriptions/{feed(7)}?secret=yes")
    (line,) = lines.requests()
    assert line.pop("timestamp").endswith("+00:00")
    assert 0 < line.pop("ms") < 10_000
    assert line == {
        "level": "info",
        "logger": "balados.requests",
        "event": "request",
        "request": answer.headers[HEADER],
        "user": pseudonyms.of(phone.user_id),
        "app": phone.app.iss,
        "method": "GET",
        "route": "/api/v1/subscriptions/<path:feed>",
        "status": answer.status_code,
    }


def test_the_lines_in_between_belong_to_the_request(
    lines: Lines, phone: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("api.answers.dispatch", fail)
    answer = phone.post("subscriptions", {"rss_source_feed": feed()})
    failed, line = lines.all()
    assert "ZeroDivisionError" in failed["exception"]
    assert failed["request"] == line["request"] == answer.headers[HEADER]
    assert failed["user"] == line["user"]
    assert (failed["level"], line["level"], line["status"]) == ("error", "error", 500)


def test_a_listener_at_a_browser_is_known_by_the_same_name(lines: Lines, alice: User) -> None:
    Visitor(alice).get("/subscriptions")
    Visitor().get("/users/log_in")
    known, stranger = lines.requests()
    assert known["user"] == pseudonyms.of(alice.pk)
    assert "user" not in stranger


def test_a_name_in_the_logs_leads_to_nobody_without_the_secret_key(settings: Any) -> None:
    user = UUID(int=7)
    name = pseudonyms.of(user)
    assert name not in (user.hex, str(user))
    assert pseudonyms.of(UUID(int=8)) != name
    settings.SECRET_KEY = "another"
    assert pseudonyms.of(user) != name


def test_after_a_request_no_line_belongs_to_it(lines: Lines) -> None:
    Visitor().get("/users/log_in")
    logging.getLogger("projections").warning("later")
    assert "request" not in lines.all()[-1]


@pytest.mark.parametrize(
    "sent", ["6fa459ea-ee8a-3ca4-894e-db77e160355e", "0123456789abcdef", "0af7651916cd43dd8448eb211c80319c"]
)
def test_a_well_formed_id_of_a_proxy_is_kept(sent: str) -> None:
    assert Visitor().get("/health/live", headers={HEADER: sent})[HEADER] == sent


@pytest.mark.parametrize(
    "sent", ["", "x", TOKEN, "a" * 37, "-" * 16, "12345678\r\nSet-Cookie: a=b", "é" * 16]
)
def test_any_other_is_replaced(sent: str) -> None:
    answer = Visitor().get("/health/live", HTTP_X_REQUEST_ID=sent)
    assert answer[HEADER] != sent
    assert len(answer[HEADER]) == 16


def test_every_answer_has_an_id_also_the_refused_ones() -> None:
    paths = ("/nope", "/api/v1/me", "/api/nope", "/metrics")
    ids = {Visitor(REMOTE_ADDR="192.0.2.1").get(path)[HEADER] for path in paths}
    assert len(ids) == len(paths)
    assert len(Visitor().get("/", HTTP_HOST="evil.example")[HEADER]) == 16


def test_what_asks_every_few_seconds_is_not_in_the_log_while_all_is_well(lines: Lines) -> None:
    Visitor().get("/health/live")
    Visitor().get("/metrics")
    Visitor().get("/metrics", REMOTE_ADDR="192.0.2.1")
    assert [line["status"] for line in lines.requests()] == []


def test_for_the_eye_it_is_a_line_of_words_and_a_traceback_below() -> None:
    try:
        raise ZeroDivisionError(f"of {TOKEN}")
    except ZeroDivisionError as error:
        failure = (type(error), error, error.__traceback__)
    record = logging.LogRecord("jobs", logging.ERROR, __file__, 1, "for %s", ("alice@example.org",), failure)
    record.fields = {"events": 3}
    first, *traceback = logs.formatter("console").format(record).splitlines()
    assert first.endswith(f" error jobs for {GONE} events=3")
    assert traceback[0] == "Traceback (most recent call last):"
    assert traceback[-1] == f"ZeroDivisionError: of {GONE}"


def test_an_outage_of_a_store_has_a_line_when_it_begins_and_one_when_it_ends(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_away", {})
    pool = logging.getLogger("psycopg.pool")
    pool.setLevel(logging.NOTSET)  # a command that ran in this process has raised the level
    # added a second time, as where logging is configured twice
    monkeypatch.setattr(pool, "filters", [*pool.filters, logs.OncePerOutage()])
    for _ in range(3):
        pool.warning("discarding closed connection: %s", object())
        pool.warning("error connecting in %r: %s", "events", "connection refused")
        pool.warning("error connecting in %r: %s", "projections_replica_1", "connection refused")
    logs.store_answers("events")
    logs.store_answers("events")
    logs.store_answers("system")
    assert [line["event"] for line in lines.all()] == [
        "error connecting in 'events': connection refused",
        "The events store is back",
    ]
    pool.warning("rolling back returned connection: %s", object())
    assert len(lines.all()) == 3


def test_a_task_that_cannot_be_sent_is_one_line(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler = Scheduler(celery, schedule={}, lazy=True)

    def refuse(*_: object, **__: object) -> None:
        raise SchedulingError("command not allowed when used memory > 'maxmemory'")

    monkeypatch.setattr(scheduler, "apply_async", refuse)
    scheduler.apply_entry(ScheduleEntry("feeds", "jobs.feeds.pump", schedule=schedule(10.0), app=celery))
    (line,) = lines.all()
    assert line["event"] == "command not allowed when used memory > 'maxmemory'"
    assert "exception" not in line


@pytest.mark.parametrize("words", ["%s %s", "%d", "\ud800 %s"])
def test_a_line_that_cannot_be_written_says_so_and_not_what_it_was_given(
    lines: Lines, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    logging.getLogger("jobs").warning(words, PASSWORD)
    (line,) = lines.all()
    assert line["logger"] == "jobs"
    assert line["event"] == "a line that cannot be written"
    assert PASSWORD not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("GET /setup?token=abc done", f"GET /setup?{GONE} done"),
        ("at https://u:p@example.org/x?y=z, again", f"at https://{GONE} again"),
        ("to https%3A%2F%2Fexample.org%2Fx", f"to https://{GONE}"),
        ("postgresql://balados:pw@host/db refused", f"postgresql://{GONE} refused"),
        ("Authorization: Bearer abc", f"Authorization: {GONE} {GONE}"),
        ("sent bearer abc.def-ghi", f"sent bearer {GONE}"),
        ("{'password': 'a b c', 'n': 1}", f"{{'password': {GONE}, 'n': 1}}"),
        ('{"csrfmiddlewaretoken": "abc"}', f'{{"csrfmiddlewaretoken": {GONE}}}'),
        ("GET /login/v2/flow/abc-def_gh done", f"GET /login/v2/flow/{GONE} done"),
        ("Cookie: sessionid=abc; a=b", f"Cookie: {GONE}; a=b"),
        ("mail to alice.b+c@mail.example.org!", f"mail to {GONE}!"),
        (f"feed {FEED} of 3", f"feed {GONE} of 3"),
        (f"/play/{TOKEN}/x", f"{GONE}"),
        ("ERROR: no\nDETAIL:  Failing row contains (1, x).\nDone", f"ERROR: no\nDETAIL: {GONE}\nDone"),
        ("-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----", GONE),
        ("5 events of plays at 17", "5 events of plays at 17"),
        ("request 6fa459ea-ee8a-3ca4-894e-db77e160355e", "request 6fa459ea-ee8a-3ca4-894e-db77e160355e"),
        ("test_a_very_long_name_of_a_function_2", "test_a_very_long_name_of_a_function_2"),
    ],
)
def test_what_looks_like_a_secret_is_taken_out(line: str, left: str) -> None:
    assert redaction.text(line) == left


def test_secret_fields_are_never_shown_whatever_they_hold() -> None:
    for name in ("password", "Authorization", "HTTP_COOKIE", "csrf_token", "api_key", "email", "session"):
        assert redaction.value(name, "x") == GONE
    assert redaction.value("found", {"token": "x", "n": 1, "list": ["Bearer abcd"]}) == {
        "token": GONE,
        "n": 1,
        "list": [f"Bearer {GONE}"],
    }
    assert redaction.value("events", 3) == 3


@given(st.binary(min_size=18, max_size=64), st.text(max_size=20), st.text(max_size=20))
def test_no_token_gets_through_wherever_it_stands(token: bytes, before: str, after: str) -> None:
    text = base64.urlsafe_b64encode(token).decode().rstrip("=")
    classes = (str.islower, str.isupper, str.isdigit)
    if not all(any(map(of_class, text)) for of_class in classes):
        return  # as rare as one in millions, and indistinguishable from a word
    assert text not in redaction.text(f"{before} {text} {after}")
    assert text not in redaction.text(f"{before}?token={text}")


@pytest.mark.parametrize(
    "piece", ["a-", "a", "%", "a@", "\n", "a.", "?", "'token':", "Bearer ", "://", "-----BEGIN A-----"]
)
def test_no_line_takes_long(piece: str) -> None:
    line = "Bearer " + piece * (200_000 // len(piece))
    began = time.perf_counter()
    redaction.text(line)
    assert time.perf_counter() - began < 0.5


def test_of_a_long_line_beginning_and_end_are_kept() -> None:
    line = redaction.text("first token=x " + "word " * 100_000 + " last")
    assert line.startswith("first")
    assert line.endswith("last")
    assert len(line) < 2 * redaction.LONGEST


def test_what_fails_while_a_request_is_answered_ends_its_line_too() -> None:
    def fail(request: object) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Observed(fail)(RequestFactory().get("/"))
    assert logs.request.get() is None
