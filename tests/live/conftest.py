"""A gateway on a port of its own, in a thread next to the test."""

from collections.abc import Callable, Iterator

import pytest
from pytest_django.fixtures import Settings

from accounts.models import User
from tests.api.conftest import phone, tablet
from tests.api.devices import Device
from tests.apps import App
from tests.live.sockets import Gateway, Socket

__all__ = ["phone", "tablet"]


@pytest.fixture(autouse=True)
def _switched_on(settings: Settings) -> None:
    settings.LIVE = True
    settings.API_FAILURES_PER_MINUTE = settings.API_REQUESTS_PER_MINUTE = 0


@pytest.fixture
def gateway(stores: None) -> Iterator[Gateway]:
    with Gateway() as running:
        yield running


@pytest.fixture
def bobs(bob: User) -> Device:
    App().grant(bob)
    return Device(bob.pk, device_id="phone-1")


@pytest.fixture
def connect(gateway: Gateway) -> Iterator[Callable[..., Socket]]:
    """``connect(device)`` opens an authenticated connection of a device; ``connect()`` opens one that has
    sent nothing yet."""
    made: list[Socket] = []

    def connect(device: Device | None = None, cursor: str | None = None, **headers: str) -> Socket:
        made.append(socket := Socket(gateway.port, **headers))
        if device is not None:
            socket.ready = socket.authenticate(device, cursor)
        return socket

    yield connect
    for each in made:
        each.close()
