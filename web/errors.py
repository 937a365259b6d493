"""The error pages, which query no store."""

import logging
import re
import sys
from typing import Final, NamedTuple

import redis
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.template.loader import render_to_string
from django.utils.cache import add_never_cache_headers

from accounts.addresses import other_host
from eventstore.dispatcher import Conflict
from projections.failures import in_maintenance, is_outage

logger = logging.getLogger(__name__)

RETRY_AFTER = 5  # seconds; a store restarts in about that time
IN_MAINTENANCE = 15  # seconds; copying a store takes some minutes at most
# form fields that are never written into an error page
SECRET: Final = re.compile("password|token")
# the maximum number of characters of a form that an error page returns
MOST_TYPED = 100_000


class Typed(NamedTuple):
    """A submitted form that could not be processed: its ``fields`` as names and values, and whether these are
    complete, so that it can be sent again as it is."""

    path: str
    fields: list[tuple[str, str]]
    is_whole: bool


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 400; if the host name is not one of this server's, the page says so."""
    reason = other_host(request) if isinstance(exception, DisallowedHost) else ""
    return HttpResponse(render_to_string("400.html", {"reason": reason}), status=400)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 503 when a store is unavailable or too many write at once, else 500."""
    error = sys.exc_info()[1]
    if error is not None and in_maintenance(error):
        return _unavailable(request, "maintenance.html", IN_MAINTENANCE)
    if isinstance(error, Exception) and (is_outage(error) or isinstance(error, redis.RedisError | Conflict)):
        logger.warning(
            "503 unavailable: %s", type(error).__name__
        )  # a traceback for each request says no more
        return _unavailable(request, "503.html", RETRY_AFTER)
    return HttpResponse(render_to_string("500.html"), status=500)


def _unavailable(request: HttpRequest, template: str, wait: int) -> HttpResponse:
    """Answer 503 with what was typed."""
    typed = _typed(request)
    context = {"typed": typed, "csrf_token": get_token(request)} if typed else {}
    page = HttpResponse(render_to_string(template, context), status=503)
    page["Retry-After"] = str(wait)
    add_never_cache_headers(page)
    return page


def _typed(request: HttpRequest) -> Typed | None:
    """Return the submitted form without passwords and files; None if it is not known to come from one of our
    own pages, so that nobody is led to send what another site made up."""
    if request.method != "POST" or not getattr(request, "csrf_processing_done", False):
        return None
    sent = [(name, value) for name in request.POST for value in request.POST.getlist(name)]
    sent = [(name, value) for name, value in sent if name != "csrfmiddlewaretoken"]
    kept = [(name, value) for name, value in sent if not SECRET.search(name)]
    if sum(len(value) for _, value in kept) > MOST_TYPED:
        return None
    return Typed(request.get_full_path(), kept, is_whole=kept == sent and not request.FILES)
