"""Helpers that the account pages share."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.cache import add_never_cache_headers
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods

read_or_post = require_http_methods(["GET", "HEAD", "POST"])

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]


def private(view: View[P]) -> View[P]:
    """Decorate a view of a page with a token, a password or personal data: it is never cached and sends no
    Referer."""

    @wraps(view)
    def wrapped(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        response = view(request, *args, **kwargs)
        add_never_cache_headers(response)
        response["Referrer-Policy"] = "no-referrer"
        return response

    return wrapped


def safe_next(request: HttpRequest) -> str:
    """Return where to go after logging in: ``next`` if it is a page of this host, else the first page."""
    wanted = request.POST.get("next") or request.GET.get("next", "")
    return wanted if is_own_path(request, wanted) else settings.LOGIN_REDIRECT_URL


def is_own_path(request: HttpRequest, wanted: str) -> bool:
    """Whether ``wanted`` is the path of a page of this host, and nothing that a browser reads as another
    address."""
    own = url_has_allowed_host_and_scheme(wanted, allowed_hosts=None, require_https=request.is_secure())
    return own and wanted.startswith("/") and wanted.isprintable() and "\\" not in wanted


def spaced(fingerprint: str) -> str:
    """Return a fingerprint in groups of four characters, which are easier to compare by eye."""
    return " ".join(fingerprint[start : start + 4] for start in range(0, len(fingerprint), 4))
