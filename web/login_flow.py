"""The page on which a listener authorises an app that is waiting: login flow v2."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from accounts import login_flow
from accounts.models import User
from accounts.pages import read_or_post
from web.shortcuts import for_listeners


@read_or_post
@for_listeners
def let_in(request: HttpRequest, user: User, token: str) -> HttpResponse:
    """Ask whether to authorise the app, and with POST grant or deny it; opening the page does neither."""
    flow = login_flow.find(token, timezone.now())
    if flow is None:
        return render(request, "web/apps/flow_over.html", status=404)
    if request.method != "POST":
        return render(request, "web/apps/flow.html", {"flow": flow})
    is_granted = request.POST.get("decision") == "grant"
    if not login_flow.decide(flow, user if is_granted else None):
        return render(request, "web/apps/flow_over.html", status=404)
    return render(request, "web/apps/flow_done.html", {"flow": flow, "is_granted": is_granted})
