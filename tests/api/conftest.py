"""Users with their apps. Alice and Bob have let in the same app; Charlie has let in none."""

import pytest
from pytest_django.fixtures import Settings

from accounts.models import User
from projections import queries
from tests.api.devices import Device
from tests.apps import App


@pytest.fixture(autouse=True)
def _without_limits_of_addresses(settings: Settings) -> None:
    """Turn off the limits per address and app: all tests come from one address, and many from one app."""
    settings.API_FAILURES_PER_MINUTE = settings.PUBLIC_REQUESTS_PER_MINUTE = 0
    settings.API_REQUESTS_PER_MINUTE = 0


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait only briefly for projectors: none runs, and each wait would last its full 2 seconds."""

    def wait_for(projector: str, position: int, seconds: float = 2.0) -> int:
        assert seconds == 2.0
        return queries.wait_for(projector, position, 0.01)

    monkeypatch.setattr("api.answers.wait_for", wait_for)


@pytest.fixture
def phone(alice: User) -> Device:
    """Alice's phone, with every scope."""
    App().grant(alice)
    return Device(alice.pk, device_id="phone-1", device_name="Alice's phone")


@pytest.fixture
def tablet(alice: User, phone: Device) -> Device:
    """Alice's tablet: the same app on another device."""
    return Device(alice.pk, device_id="tablet-1", device_name="Alice's tablet")


@pytest.fixture
def bobs(bob: User) -> Device:
    App().grant(bob)
    return Device(bob.pk)
