"""The language of the pages: the listener's own setting, else what the browser asks for (Accept-Language)."""

from collections.abc import Callable
from contextlib import suppress

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import translation
from django.utils.cache import patch_vary_headers

# These ask no store who is asking: they must answer while one is away.
WITHOUT_LISTENER = ("/health/", "/metrics")
# Of the administration, only what comes with Django is translated: one language is better than two at once.
IN_ENGLISH = "/admin/"


class LanguageOfListener:
    """Answers in the language of whoever asks, and leaves the thread in its own: the API's answers, which
    leave this middleware out, are in English always. Comes after what knows the listener."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._answer = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with translation.override(_language(request)):
            response = self._answer(request)
            response.headers.setdefault("Content-Language", translation.get_language())
        patch_vary_headers(response, ["Accept-Language"])
        return response


def _language(request: HttpRequest) -> str:
    if request.path_info.startswith(IN_ENGLISH):
        return "en"
    own = ""
    if not request.path_info.startswith(WITHOUT_LISTENER):
        # that a store is away is for the page to tell, if it needs that store
        with suppress(OperationalError, InterfaceError):
            own = getattr(request.user, "language", "")
    return own or translation.get_language_from_request(request)
