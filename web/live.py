"""Issues the ticket with which a page opens a live connection, to be notified of changes at once."""

import redis
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_POST

from accounts import tickets
from accounts.models import User
from web.shortcuts import for_listeners


@require_POST
@for_listeners
def ticket(request: HttpRequest, user: User) -> HttpResponse:
    """Return a ticket that is valid once, and the URL to send it to. Answers 404 if live connections are
    disabled, and 503 without Redis."""
    if not settings.LIVE:
        return HttpResponse(status=404)
    try:
        text = tickets.issue(request, user)
    except redis.RedisError:
        return HttpResponse(status=503)
    return JsonResponse({"ticket": text, "url": f"{settings.LIVE_URL}/api/v1/live"})
