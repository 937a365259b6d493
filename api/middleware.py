"""The gate of /api/: what an API with bearer tokens needs of middleware, instead of what the pages need.

Sessions, CSRF, messages and the pages' content security policy play no part in it, and are not run.
"""

import functools
import re
from collections.abc import Mapping
from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from accounts.addresses import other_host
from accounts.gates import GetResponse, is_for_us, views_alone
from api.errors import NO_ADDRESS, error_response
from api.parameters import IDEMPOTENCY_KEY, POSITION

PREFIX: Final = "/api/"
# Lists for podcast apps (api/gpodder/urls.py). They are next to the pages, whose addresses have no extension.
LIST: Final = re.compile(
    r"/(?:subscriptions/[\w.+@-]+(?:/[\w.-]+)?|toplist(?:/[0-9]+)?|suggestions/[0-9]+|search)\.[a-z]+"
    r"|/clientconfig\.json"
)
# Nextcloud's protocol (api/nextcloud.py), except the page on which a listener lets an app in.
NEXTCLOUD: Final = re.compile(
    r"(?:/index\.php)?/(?:apps/gpoddersync/.*|login/v2(?:/poll)?)|/status\.php|/ocs/v[12]\.php/cloud/user"
)
# An address names one item (5,464 characters at most) or one feed (2,736).
LONGEST_ADDRESS = 8 * 1024
# A browser does not send a token by itself, unlike a cookie: a page of another origin either has it or not,
# so any page may call (without credentials).
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": f"{POSITION}, ETag, Retry-After, WWW-Authenticate, X-Request-ID",
}
PREFLIGHT = {
    **CORS,
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
    "Access-Control-Allow-Headers": (
        f"Authorization, Content-Type, If-None-Match, {IDEMPOTENCY_KEY}, {POSITION}"
    ),
    "Access-Control-Max-Age": "86400",
}
POLICY = "default-src 'none'; frame-ancestors 'none'"


class ApiGate:
    """The first of MIDDLEWARE: requests for /api/ and for lists of podcast apps go straight to their view,
    all others go on to the rest of the middleware."""

    def __init__(self, get_response: GetResponse) -> None:
        self._pages = get_response
        self._views = views_alone()

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not _is_for_programs(request.path_info):
            return self._pages(request)
        if request.method == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in request.META:
            return _preflight()
        response = _refusal(request) or _in_shape(self._views(request))
        # set all at once: setting them one by one takes longer than reading the body of a play
        response.headers._store = {**_headers(), **response.headers._store}
        # Mistakes of callers are not worth logging; a 503 has been logged already (api/errors.py), and so has
        # a 500, with its traceback.
        response._has_been_logged = True  # type: ignore[attr-defined]
        if isinstance(response, HttpResponse):
            response.headers.setdefault("Content-Length", str(len(response.content)))
        return response


def _is_for_programs(path: str) -> bool:
    return path.startswith(PREFIX) or bool(LIST.fullmatch(path) or NEXTCLOUD.fullmatch(path))


def _preflight() -> HttpResponse:
    """Answer a CORS preflight, which a browser sends before a page of another origin may call; it is the same
    for every address."""
    response = HttpResponse(status=204, headers=PREFLIGHT)
    del response["Content-Type"]
    return response


def _refusal(request: HttpRequest) -> HttpResponse | None:
    """Return the answer to a request that no view needs to see, or None."""
    if not is_for_us(request):
        return error_response(400, "disallowed_host", other_host(request))
    query = request.META.get("QUERY_STRING", "")
    if len(request.path_info) + len(query) > LONGEST_ADDRESS:
        return error_response(414, "uri_too_long", f"An address has at most {LONGEST_ADDRESS:,} characters.")
    if query.count("&") >= settings.DATA_UPLOAD_MAX_NUMBER_FIELDS:
        return error_response(400, "bad_request", "The query has too many parameters.")
    return None


def _in_shape(response: HttpResponseBase) -> HttpResponseBase:
    """Replace the error pages that Django itself makes by errors in the API's shape."""
    if response.status_code < 400 or settings.DEBUG:
        return response
    if response.headers.get("Content-Type", "").startswith("application/json"):
        return response
    codes = {400: ("bad_request", "The request cannot be read."), 404: ("not_found", NO_ADDRESS)}
    code, detail = codes.get(response.status_code, ("error", "Server Error (500)"))
    return error_response(response.status_code, code, detail)


def with_headers(own: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the headers of an answer that does not come through the gate, given its own."""
    return list({**_headers(), **{name.lower(): (name, value) for name, value in own.items()}}.values())


@functools.cache
def _headers() -> dict[str, tuple[str, str]]:
    """Return the headers that every answer carries, in the form in which Django keeps them. An answer's own
    headers take precedence (the documentation page has a wider policy)."""
    headers = {
        **CORS,
        "Cache-Control": "no-store",
        "Content-Security-Policy": POLICY,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    if settings.SECURE_HSTS_SECONDS:
        headers["Strict-Transport-Security"] = f"max-age={settings.SECURE_HSTS_SECONDS}"
    return {name.lower(): (name, value) for name, value in headers.items()}
