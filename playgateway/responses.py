"""Responses that reveal nothing: whatever a token does not open looks the same, and nothing may be cached."""

from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from playgateway import limits

METHODS: Final = ("GET", "HEAD")
# Web players on other sites may send requests; a token, unlike a cookie, is not sent automatically.
ANY_ORIGIN: Final = {"Access-Control-Allow-Origin": "*"}


def not_found() -> HttpResponse:
    """Return the response for anything that a token does not open."""
    return _plain(404, "Not found.\n")


def not_a_token(request: HttpRequest) -> HttpResponse:
    """Return the same response as ``not_found``, or 429 if the client address has guessed too many tokens."""
    waits = limits.guessing(request)
    return not_found() if waits is None else too_many(waits)


def too_many(waits: timedelta) -> HttpResponse:
    return _plain(429, "Too many requests.\n", {"Retry-After": str(int(waits.total_seconds()))})


def not_allowed() -> HttpResponse:
    return _plain(405, "", {"Allow": ", ".join(METHODS)})


def away() -> HttpResponse:
    """Return 503: a store is unavailable that is needed to know who asks, and for what."""
    return _plain(503, "This server cannot answer now. Try again.\n", {"Retry-After": "5"})


def redirect(location: str) -> HttpResponse:
    """Return the redirect to an episode's file. ``location`` is ASCII and has no control characters:
    nothing else looks at it."""
    response = HttpResponse(status=302)
    # all at once: setting one header after the other takes half of the time of a response
    response.headers._store = {name.lower(): (name, value) for name, value in of_redirect(location)}
    return response


def of_redirect(location: str) -> list[tuple[str, str]]:
    """Return the headers of a redirect."""
    return [*_of_redirects(settings.SECURE_HSTS_SECONDS), ("Location", location)]


@cache
def _of_redirects(hsts_seconds: int) -> list[tuple[str, str]]:
    return list({**headers(), **ANY_ORIGIN, "Content-Length": "0"}.items())


def headers() -> dict[str, str]:
    """Return the headers of every response: it is for one listener only, and its address is his secret."""
    found = {
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Robots-Tag": "noindex",
    }
    if settings.SECURE_HSTS_SECONDS:
        found["Strict-Transport-Security"] = f"max-age={settings.SECURE_HSTS_SECONDS}"
    return found


def _plain(status: int, text: str, more: Mapping[str, str] = {}) -> HttpResponse:
    response = HttpResponse(text, "text/plain; charset=utf-8", status, headers={**headers(), **more})
    response["Content-Length"] = str(len(response.content))
    return response
