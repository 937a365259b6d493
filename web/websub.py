"""``/websub/{callback}``: where hubs verify our subscriptions and push updates (``feeds.hubs``)."""

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, re_path
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from feeds import hubs

LONGEST_CHALLENGE = 2_000


@csrf_exempt
@require_http_methods(["GET", "POST"])
def callback(request: HttpRequest, name: str) -> HttpResponse:
    """Answer a push with 204, or 410 if no subscription has this name; answer a hub that verifies a
    subscription with its challenge, or 404 if we did not request it."""
    now = timezone.now()
    if request.method == "POST":
        return HttpResponse(status=204 if hubs.push(name, now) else 410)
    asked = request.GET.get
    mode, topic, challenge = asked("hub.mode"), asked("hub.topic", ""), asked("hub.challenge", "")
    if "\0" in topic:
        return _plain("", 404)
    if mode == "denied" and hubs.deny(name, topic, now):
        return _plain("")
    if mode == "subscribe" and 0 < len(challenge) <= LONGEST_CHALLENGE:
        lease = asked("hub.lease_seconds", "")
        if hubs.verify(
            name, topic, int(lease) if lease.isascii() and lease.isdigit() and len(lease) <= 10 else None, now
        ):
            return _plain(challenge)
    return _plain("", 404)


def _plain(text: str, status: int = 200) -> HttpResponse:
    return HttpResponse(text, status=status, content_type="text/plain; charset=utf-8")


paths: list[URLPattern] = [re_path(r"^websub/(?P<name>[A-Za-z0-9_-]{43})$", callback)]
