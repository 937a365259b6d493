"""People at their browsers, as Django's test client plays them: with CSRF checks, as in earnest."""

from typing import TYPE_CHECKING, Any, TypeAlias

from django.test import Client

from accounts.models import User
from tests.factories import PASSWORD

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse

Response: TypeAlias = "_MonkeyPatchedWSGIResponse"  # known to the type stubs alone


class Visitor(Client):
    """Sends forms as a browser does: gets the page first, and sends back its CSRF token."""

    def __init__(self, user: User | None = None, **headers: Any) -> None:
        super().__init__(enforce_csrf_checks=True, raise_request_exception=False, **headers)
        if user is not None:
            self.force_login(user, backend="django.contrib.auth.backends.ModelBackend")

    def send(self, path: str, fields: dict[str, Any], **headers: Any) -> Response:
        """POST with the CSRF token that a page has given."""
        for page in ("/users/log_in", "/"):  # the first has a form for strangers, the second for listeners
            if "csrftoken" not in self.cookies:
                self.get(page, **headers)
        token = self.cookies["csrftoken"].value
        return self.post(path, {**fields, "csrfmiddlewaretoken": token}, **headers)


def logged_in(user: User) -> Client:
    """The user's browser, without CSRF checks."""
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def account(name: str = "Alice", **fields: str) -> dict[str, str]:
    """The fields of a new account."""
    return {"username": name, "email": "", "password1": PASSWORD, "password2": PASSWORD, **fields}


def text_of(response: Response) -> str:
    return response.content.decode()
