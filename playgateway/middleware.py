"""Routes /play and /rss directly to their views, by path or host name, without the middleware that pages need
(sessions, forms, messages)."""

from typing import Final

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from accounts.gates import GetResponse, is_for_us, views_alone

PREFIXES: Final = ("/play/", "/rss/")
MAIN_HOST, PLAY_HOST = "playgateway.urls", "playgateway.play_host"


class PlayGate:
    """Sends requests with a play token straight to their view. The host
    ``PLAY_DOMAIN`` serves nothing else."""

    def __init__(self, get_response: GetResponse) -> None:
        self._others = get_response
        self._views = views_alone()

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        names_play_host = is_play_host(request.META.get("HTTP_HOST", ""))
        if not names_play_host and not request.path_info.startswith(PREFIXES):
            return self._others(request)
        if not is_for_us(request):
            return self._others(request)  # the other middleware reports what is wrong
        # the few URLs that tokens open, not all of the instance: resolving took a tenth of a redirect's time
        request.urlconf = PLAY_HOST if names_play_host else MAIN_HOST
        response = self._views(request)
        response._has_been_logged = True  # type: ignore[attr-defined]
        return response


def is_play_host(host: str) -> bool:
    """Whether the Host header names the host ``PLAY_DOMAIN``."""
    return bool(settings.PLAY_DOMAIN) and _without_port(host) == _without_port(settings.PLAY_DOMAIN)


def _without_port(host: str) -> str:
    """Return the host name without its port. An IPv6 address, which also has
    colons, is never a play domain."""
    return host.partition(":")[0].lower().rstrip(".")
