"""What a page needs to be told of changes at once: a ticket for a live connection."""

import redis
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_POST

from accounts import tickets
from accounts.models import User
from web.acting import for_listeners


@require_POST
@for_listeners
def ticket(request: HttpRequest, user: User) -> HttpResponse:
    """A ticket that counts once, and where to send it. 404 where there are no live connections; 503 without
    Redis."""
    if not settings.LIVE:
        return HttpResponse(status=404)
    try:
        text = tickets.issue(request, user)
    except redis.RedisError:
        return HttpResponse(status=503)
    return JsonResponse({"ticket": text, "url": f"{settings.LIVE_URL}/api/v1/live"})
