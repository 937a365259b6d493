"""The address for live connections; the live process (live/) serves the connections themselves."""

from typing import Annotated

from django.conf import settings
from django.urls import path
from msgspec import Struct
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from api.fields import meta
from api.operations import operation
from api.views import PublicView

PATH = "/api/v1/live"
Url = Annotated[str, meta("The URL of a WebSocket.", example="wss://balados.example/api/v1/live")]


class LiveAddress(Struct):
    url: Url


class LiveView(PublicView):
    @operation(
        "Find the live connection",
        answers={200: LiveAddress},
        errors={404: "The operator has switched live connections off."},
    )
    def get(self, request: Request) -> Response:
        """A WebSocket on which commands are sent, and on which changes by other devices are reported at once:
        docs/apps.md describes its messages. 404 if the operator has switched it off."""
        if not settings.LIVE:
            raise NotFound
        return Response(LiveAddress(f"{settings.LIVE_URL}{PATH}"))


paths = [path("live", LiveView.as_view())]
