"""Calls views without middleware where none is needed: for the API, and for what a play token opens."""

from collections.abc import Callable
from typing import Any, cast

from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import ResolverMatch, resolve, set_urlconf

GetResponse = Callable[[HttpRequest], HttpResponseBase]

# Resolved views of paths without parameters: resolving a path takes as long as reading a token.
_of_fixed_address: dict[str, ResolverMatch] = {}


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
        return resolve(path)
    if (match := _of_fixed_address.get(path)) is None:
        match = resolve(path)
        if f"/{match.route}" == path:
            _of_fixed_address[path] = match
    return match
