"""Calls views without middleware where none is needed: for the API, and for what a play token opens."""

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, NamedTuple, Protocol, cast
from uuid import UUID

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import ResolverMatch, resolve, set_urlconf

GetResponse = Callable[[HttpRequest], HttpResponseBase]


class DirectAnswer(NamedTuple):
    """An answer that needed no view. For the log: ``route``, its URL pattern, and ``by``, the user and the
    app that sent the request, where an app did."""

    route: str
    status: int
    headers: list[tuple[str, str]]
    content: bytes = b""
    by: tuple[UUID, str] | None = None


class Shortcut(Protocol):
    """Answers some requests from the event loop, without a thread: those of which it is certain that a view
    would answer the same."""

    async def answer(self, environment: dict[str, Any], body: BytesIO) -> DirectAnswer | None:
        """Answer a request, given as its WSGI environment; None if it is for Django. In that case nothing has
        changed but the environment, which may say what has been done already."""


# Resolved views of paths without parameters, by URL configuration and path: resolving a path takes as long as
# reading a token.
_of_fixed_address: dict[tuple[str | None, str], ResolverMatch] = {}
# Limit of the host names remembered below: a valid name may come with any port.
MOST_HOSTS = 100
_hosts: dict[str | None, object] = {}


def is_for_us(request: HttpRequest) -> bool:
    """Whether the Host header names this instance. The few values that do are remembered, with the setting
    that they were compared with."""
    host = request.META.get("HTTP_HOST")
    if is_remembered(host):
        return True
    try:
        request.get_host()
    except DisallowedHost:
        return False
    if len(_hosts) >= MOST_HOSTS:
        _hosts.clear()
    _hosts[host] = settings.ALLOWED_HOSTS
    return True


def is_remembered(host: str | None) -> bool:
    """Whether the Host header is one that has been found to name this instance."""
    return _hosts.get(host) is settings.ALLOWED_HOSTS


def has_body(environment: Mapping[str, Any]) -> bool:
    """Whether a request, given as its WSGI environment, has a body."""
    has_length = environment.get("CONTENT_LENGTH", "0") not in ("", "0")
    return has_length or "HTTP_TRANSFER_ENCODING" in environment


def views_alone() -> GetResponse:
    """Return a handler that answers a request by its view alone, as Django does without any middleware."""
    return cast(GetResponse, convert_exception_to_response(_answer))


def _answer(request: HttpRequest) -> HttpResponseBase:
    request.resolver_match = match = _resolved(request)
    response: Any = match.func(request, *match.args, **match.kwargs)
    return cast(HttpResponseBase, response.render() if hasattr(response, "render") else response)


def _resolved(request: HttpRequest) -> ResolverMatch:
    path, urlconf = request.path_info, getattr(request, "urlconf", None)
    if urlconf is not None:
        set_urlconf(urlconf)  # as Django does, until the next request
    if (match := _of_fixed_address.get((urlconf, path))) is None:
        match = resolve(path, urlconf)
        if f"/{match.route}" == path:
            _of_fixed_address[urlconf, path] = match
    return match
