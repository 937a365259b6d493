"""What a supervisor or a load balancer asks."""

from django.http import HttpRequest, HttpResponse


def live(request: HttpRequest) -> HttpResponse:
    """The process answers. It asks no store: one that is away must not get this process restarted."""
    return HttpResponse("live\n", content_type="text/plain", headers={"Cache-Control": "no-store"})
