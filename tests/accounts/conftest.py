import pytest

from tests.accounts.tokens import Kind, read_as_authorization, read_as_request
from tests.factories import authorization_claims, request_claims


@pytest.fixture(params=["authorization", "request"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind of token: a function that makes its valid claims, and the function that reads it."""
    if request.param == "request":
        return request_claims, read_as_request
    return authorization_claims, read_as_authorization
