"""The language of the pages: the listener's own setting, else what the browser asks for (Accept-Language)."""

from collections.abc import Callable
from typing import Any

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
    leave this middleware out, are in English always."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._answer = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        in_english = request.path_info.startswith(IN_ENGLISH)
        language = "en" if in_english else translation.get_language_from_request(request)
        with translation.override(language):
            response = self._answer(request)
            response.headers.setdefault("Content-Language", translation.get_language())
        patch_vary_headers(response, ["Accept-Language"])
        return response

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> None:
        """Change to the listener's own language, once it is known which page is asked for."""
        if request.path_info.startswith((*WITHOUT_LISTENER, IN_ENGLISH)):
            return
        language = getattr(request.user, "language", "")
        if language:
            translation.activate(language)
