"""The language and time zone of the pages: the listener's settings, or else the language of Accept-Language
and UTC, which static/modules/times.js converts to the browser's time zone."""

from collections.abc import Callable
from contextlib import suppress
from zoneinfo import ZoneInfo

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone, translation
from django.utils.cache import patch_vary_headers

# These do not look up the listener: they must answer while a store is unavailable.
WITHOUT_LISTENER = ("/health/", "/metrics")
# In the administration only Django's own texts are translated, and one language is better than a mix of two.
IN_ENGLISH = "/admin/"


class LanguageOfListener:
    """Middleware that answers in the language and time zone of the listener, and then restores the thread's.

    The API's answers bypass this middleware and are always in English. It must come after the middleware that
    identifies the listener.
    """

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
    """Return the listener's own settings, "" for each that is not set."""
    found = {"language": "", "time_zone": ""}
    if request.path_info.startswith(WITHOUT_LISTENER):
        return found
    # if the page needs the store that is unavailable, the page itself reports that
    with suppress(OperationalError, InterfaceError):
        return {name: getattr(request.user, name, "") for name in found}
    return found


def _language(request: HttpRequest, own: str) -> str:
    if request.path_info.startswith(IN_ENGLISH):
        return "en"
    return own or translation.get_language_from_request(request)
