"""The pages of last resort, which ask nothing of any store."""

import sys

import redis
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from accounts.addresses import other_host
from eventstore.dispatcher import Conflict
from projections.failures import in_maintenance, is_outage

RETRY_AFTER = 5  # seconds; a store restarts in about that time
IN_MAINTENANCE = 15  # seconds; one is copied in some minutes at most


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400; of a host name that is not ours it says so."""
    told = other_host(request) if isinstance(exception, DisallowedHost) else ""
    return HttpResponse(render_to_string("400.html", {"told": told}), status=400)


def server_error(request: HttpRequest) -> HttpResponse:
    """503 when a store is away or too many write at once, else 500."""
    error = sys.exc_info()[1]
    if error is not None and in_maintenance(error):
        page = HttpResponse(render_to_string("maintenance.html"), status=503)
        page["Retry-After"] = str(IN_MAINTENANCE)
        return page
    if isinstance(error, Exception) and (is_outage(error) or isinstance(error, redis.RedisError | Conflict)):
        page = HttpResponse(render_to_string("503.html"), status=503)
        page["Retry-After"] = str(RETRY_AFTER)
        return page
    return HttpResponse(render_to_string("500.html"), status=500)
