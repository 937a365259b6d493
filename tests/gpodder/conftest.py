"""Apps of Alice's, and one of Bob's."""

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts.app_models import AppPassword
from accounts.models import User
from tests.gpodder.apps import PodcastApp


@pytest.fixture(autouse=True)
def _without_limits_of_addresses(settings: Settings) -> None:
    """Turn off the limit per address: all tests come from one address."""
    settings.PUBLIC_REQUESTS_PER_MINUTE = 0


def password_of(user: User, name: str = "") -> str:
    return AppPassword.objects.issue(user.pk, name, timezone.now())[1]


@pytest.fixture
def phone(alice: User) -> PodcastApp:
    return PodcastApp("alice", password_of(alice), "phone", agent="AntennaPod/3.11")


@pytest.fixture
def desk(alice: User) -> PodcastApp:
    return PodcastApp("alice", password_of(alice), "desk", agent="gPodder/3.11")


@pytest.fixture
def bobs(bob: User) -> PodcastApp:
    return PodcastApp("bob", password_of(bob), "phone", agent="Kasts/25")
