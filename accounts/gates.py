"""A way to the views past the middlewares, for what needs none: the API, and what a play token opens."""

from collections.abc import Callable
from typing import Any, cast

from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import ResolverMatch, resolve, set_urlconf

GetResponse = Callable[[HttpRequest], HttpResponseBase]

# What answers an address in which nothing is named: to find it out takes as long as to read a
# token.
_of_fixed_address: dict[str, ResolverMatch] = {}


def views_alone() -> GetResponse:
    """What answers a request by its view, as Django does where there is no middleware at all."""
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
