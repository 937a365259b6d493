"""Answers that tell nothing: whatever a token does not open looks the same, and nothing of it is kept."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from playgateway import limits

METHODS: Final = ("GET", "HEAD")
# Web players on other pages may ask; a token is no cookie.
ANY_ORIGIN: Final = {"Access-Control-Allow-Origin": "*"}


def not_found() -> HttpResponse:
    """What anything that is not opened gets."""
    return _plain(404, "Not found.\n")


def not_a_token(request: HttpRequest) -> HttpResponse:
    """The same; for an address that guesses, 429."""
    waits = limits.guessing(request)
    return not_found() if waits is None else too_many(waits)


def too_many(waits: timedelta) -> HttpResponse:
    return _plain(429, "Too many requests.\n", {"Retry-After": str(int(waits.total_seconds()))})


def not_allowed() -> HttpResponse:
    return _plain(405, "", {"Allow": ", ".join(METHODS)})


def away() -> HttpResponse:
    """A store is away that is needed to know who asks, and for what."""
    return _plain(503, "This server cannot answer now. Try again.\n", {"Retry-After": "5"})


def headers() -> dict[str, str]:
    """What every answer carries: it is for one listener, and its address is his secret."""
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
