"""Requests that an app has no scope for count towards its limit like those that it may send."""

import pytest
import redis
from pytest_django.fixtures import Settings

from accounts.models import User
from tests.api.devices import Device, code_of, play
from tests.apps import App


@pytest.fixture
def reader(alice: User, settings: Settings) -> Device:
    """An app with a scope for reading, limited to three requests a minute."""
    settings.API_REQUESTS_PER_MINUTE = 3
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        for key in client.scan_iter("balados:attempts:requests:*"):
            client.delete(key)
    app = App(iss="org.example.reader")
    app.grant(alice, scopes=("user.plays.read",))
    return Device(alice.pk, app)


def test_a_request_refused_for_its_scope_is_counted(reader: Device) -> None:
    answers = [reader.post("plays", play()) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [403, 403, 403, 429]
    assert code_of(answers[-1]) == "throttled"


def test_a_method_that_is_none_is_405_whatever_the_view_calls_its_own(reader: Device) -> None:
    assert reader.send("SCOPES", "plays", b"").status_code == 405
