"""Routes /play and /rss directly to their views, by path or host name, without the middleware that pages need
(sessions, forms, messages)."""

from typing import Final

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from accounts.gates import GetResponse, views_alone

PREFIXES: Final = ("/play/", "/rss/")
PLAY_HOST: Final = "playgateway.play_host"


class PlayGate:
    """Sends requests with a play token straight to their view. The host
    ``PLAY_DOMAIN`` serves nothing else."""

    def __init__(self, get_response: GetResponse) -> None:
        self._others = get_response
        self._views = views_alone()

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not _names_play_host(request) and not request.path_info.startswith(PREFIXES):
            return self._others(request)
        try:
            host = request.get_host()
        except DisallowedHost:
            return self._others(request)  # the other middleware reports what is wrong
        if _without_port(host) == _without_port(settings.PLAY_DOMAIN):
            request.urlconf = PLAY_HOST
        response = self._views(request)
        response._has_been_logged = True  # type: ignore[attr-defined]
        return response


def _names_play_host(request: HttpRequest) -> bool:
    if not settings.PLAY_DOMAIN:
        return False
    return _without_port(request.META.get("HTTP_HOST", "")) == _without_port(settings.PLAY_DOMAIN)


def _without_port(host: str) -> str:
    """Return the host name without its port. An IPv6 address, which also has
    colons, is never a play domain."""
    return host.partition(":")[0].lower().rstrip(".")
