"""The language and time zone of the pages: the listener's settings, else the language of Accept-Language,
and UTC, which static/modules/times.js puts into the browser's time zone."""

from collections.abc import Callable
from contextlib import suppress
from zoneinfo import ZoneInfo

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone, translation
from django.utils.cache import patch_vary_headers

# These ask no store who is asking: they must answer while one is away.
WITHOUT_LISTENER = ("/health/", "/metrics")
# Of the administration, only what comes with Django is translated: one language is better than two at once.
IN_ENGLISH = "/admin/"


class LanguageOfListener:
    """Answers in the language and time zone of whoever asks, and leaves the thread in its own: the API's
    answers, which leave this middleware out, are in English always. Comes after what knows the listener."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._answer = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        own = _settings(request)
        zone = ZoneInfo(own["time_zone"]) if own["time_zone"] else None
        with translation.override(_language(request, own["language"])), timezone.override(zone):
            response = self._answer(request)
            response.headers.setdefault("Content-Language", translation.get_language())
        patch_vary_headers(response, ["Accept-Language"])
        return response


def _settings(request: HttpRequest) -> dict[str, str]:
    """The listener's own, "" where there is none."""
    found = {"language": "", "time_zone": ""}
    if request.path_info.startswith(WITHOUT_LISTENER):
        return found
    # that a store is away is for the page to tell, if it needs that store
    with suppress(OperationalError, InterfaceError):
        return {name: getattr(request.user, name, "") for name in found}
    return found


def _language(request: HttpRequest, own: str) -> str:
    if request.path_info.startswith(IN_ENGLISH):
        return "en"
    return own or translation.get_language_from_request(request)
