"""What is done for every request: its id, its log line, its metrics. This is the outermost middleware."""

import logging
import os
import re
from bisect import bisect_left
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any, Final

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from balados import logs
from eventstore import counters

GetResponse = Callable[[HttpRequest], HttpResponseBase]

HEADER: Final = "X-Request-ID"
# UUIDs and the ids that proxies generate; a token never has this form
WELL_FORMED = re.compile(r"[0-9a-fA-F][0-9a-fA-F-]{6,34}[0-9a-fA-F]")
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
# upper bounds of the histogram's buckets, in seconds
CLASSES = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
# requested every few seconds by machines
QUIET = frozenset(("/health/live", "/health/ready", "/metrics"))
UNKNOWN, STATIC = "unknown", "static"

logger = logging.getLogger(__name__)


class Observed:
    """Gives the request its id, and logs its outcome afterwards.

    An address is logged as its route alone: what it contains (a feed, a token) is private.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self._answer = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        began = perf_counter()
        request.request_id = request_id = id_of(request.META)  # type: ignore[attr-defined]
        current = logs.request.set(request)
        try:
            response = self._answer(request)
            response.headers[HEADER] = request_id
            note(request.method, route_of(request), response.status_code, perf_counter() - began)
        finally:
            logs.request.reset(current)
        return response


def note(
    method: str | None, route: str, status: int, seconds: float, about: Mapping[str, object] = {}
) -> None:
    """Count an answered request and write its log line. ``about``: what ``logs.of_request`` says of it, where
    no thread is answering it."""
    method = method if method in METHODS else "OTHER"
    counters.add(
        (("requests", method, route, str(status)), 1),
        (("seconds", method, route, str(bisect_left(CLASSES, seconds))), 1),
        (("seconds_sum", method, route), seconds),
    )
    fields = {**about, "method": method, "route": route, "status": status, "ms": round(seconds * 1000, 2)}
    logger.log(_level(status, route), "request", extra={"fields": fields})


def route_of(request: HttpRequest) -> str:
    """Return the URL pattern that the address matched, without the values in it."""
    match = request.resolver_match
    if match is not None:
        return f"/{match.route}"
    return STATIC if request.path_info.startswith("/static/") else UNKNOWN


def id_of(meta: Mapping[str, Any]) -> str:
    """Return the id that a proxy gave the request, or a new one. ``meta``: its headers, as WSGI has them."""
    sent: str | None = meta.get("HTTP_X_REQUEST_ID")
    if sent is not None and WELL_FORMED.fullmatch(sent):
        return sent
    return os.urandom(8).hex()


def _level(status: int, route: str) -> int:
    if status >= 500:
        return logging.WARNING if status == 503 else logging.ERROR
    return logging.DEBUG if route in QUIET else logging.INFO
