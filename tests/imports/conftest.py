"""Bob moves here from another server, where his name is alice."""

from collections.abc import Iterator

import pytest
from pytest_django.fixtures import Settings

from accounts.models import User
from tests.factories import UserFactory
from tests.feeds.origin import Origin, allowed


@pytest.fixture
def origin(settings: Settings) -> Iterator[Origin]:
    with Origin() as running, allowed(settings, running):
        yield running


@pytest.fixture
def alice(stores: None) -> User:
    return UserFactory.create(username="alice")


@pytest.fixture
def bob(stores: None) -> User:
    return UserFactory.create(username="bob")
