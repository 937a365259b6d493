import pytest

from accounts.models import User
from tests.accounts.tokens import (
    Kind,
    authorization_claims,
    read_as_authorization,
    read_as_request,
    request_claims,
)


@pytest.fixture
def alice(stores: None) -> User:
    return User.objects.create_user("Alice", "alice@example.org")


@pytest.fixture
def bob(stores: None) -> User:
    return User.objects.create_user("Bob", "bob@example.org")


@pytest.fixture(params=["authorization", "request"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Both kinds of token: how its good claims are made, and how it is read."""
    if request.param == "request":
        return request_claims, read_as_request
    return authorization_claims, read_as_authorization
