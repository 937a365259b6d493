"""Visitors with browsers, simulated by Django's test client, with CSRF checks as in production."""

from typing import TYPE_CHECKING, Any, TypeAlias

from django.test import Client

from accounts.models import User
from tests.factories import PASSWORD

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse

Response: TypeAlias = "_MonkeyPatchedWSGIResponse"  # exists in the type stubs only


class Visitor(Client):
    """A client that sends forms as a browser does: it gets the page first, and sends back its CSRF token."""

    def __init__(self, user: User | None = None, **headers: Any) -> None:
        super().__init__(enforce_csrf_checks=True, raise_request_exception=False, **headers)
        if user is not None:
            self.force_login(user, backend="django.contrib.auth.backends.ModelBackend")

    def send(self, path: str, fields: dict[str, Any], **headers: Any) -> Response:
        """POST the fields with the CSRF token that a page has set."""
        for page in ("/users/log_in", "/"):  # the first has a form for visitors, the second for listeners
            if "csrftoken" not in self.cookies:
                self.get(page, **headers)
        token = self.cookies["csrftoken"].value
        return self.post(path, {**fields, "csrfmiddlewaretoken": token}, **headers)


def logged_in(user: User) -> Client:
    """Return a client logged in as the user, without CSRF checks."""
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def account(name: str = "Alice", **fields: str) -> dict[str, str]:
    """Return the form fields of a new account."""
    return {"username": name, "email": "", "password1": PASSWORD, "password2": PASSWORD, **fields}


def text_of(response: Response) -> str:
    return response.content.decode()
