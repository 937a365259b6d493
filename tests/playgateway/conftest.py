"""Every test starts as if Redis and the event store had not been unavailable recently."""

from collections.abc import Iterator

import pytest
import redis
from django.conf import settings as configuration
from pytest_django.fixtures import Settings

from accounts import attempts
from accounts.models import User
from balados.celery import app as celery
from playgateway import promptly, seeking, sessions, tokens, window
from playgateway.tasks import QUEUE
from tests.playgateway.players import Player

assert celery  # tasks are sent to the Redis of the tests


REDIS = configuration.REDIS_URL  # the real address, whatever a test changes in the setting


@pytest.fixture(autouse=True)
def _as_at_the_start(stores: None, settings: Settings) -> Iterator[None]:
    settings.API_FAILURES_PER_MINUTE = 0
    forget()
    yield
    forget()


def forget() -> None:
    sessions.send()
    window._away_until = 0.0
    promptly.pause(0)
    attempts._away_until = 0.0
    tokens._noted.clear()
    seeking._known.clear()
    with redis.Redis.from_url(REDIS) as client:
        client.delete(QUEUE, "default")
        for pattern in (f"{window.PREFIX}*", f"{attempts.PREFIX}*"):
            for key in client.scan_iter(pattern):
                client.delete(key)


@pytest.fixture
def radio(alice: User) -> Player:
    return Player(alice)
