from collections.abc import Iterator

import pytest
from pytest_django.fixtures import Settings

from tests.feeds.origin import Origin, allowed


@pytest.fixture
def origin(settings: Settings) -> Iterator[Origin]:
    """A server of feeds on loopback, which the client is allowed to fetch from."""
    with Origin() as running, allowed(settings, running):
        yield running
