import pytest
from pytest_django.fixtures import Settings

from tests.api.conftest import bobs, phone, tablet
from tests.projections.conftest import connection, project

__all__ = ["bobs", "connection", "phone", "project", "tablet"]


@pytest.fixture(autouse=True)
def _without_limits_of_addresses(settings: Settings) -> None:
    """Lift the limits on requests per address, because all tests use one address."""
    settings.API_FAILURES_PER_MINUTE = settings.PUBLIC_REQUESTS_PER_MINUTE = 0
