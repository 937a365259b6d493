"""The devices that a listener's apps have registered."""

from django.urls import path
from msgspec import Struct
from rest_framework.request import Request
from rest_framework.response import Response

from api.answers import answer_entries
from api.fields import PageQuery
from api.operations import operation
from api.views import View
from eventstore.domain.devices import DeviceEntry
from projections.queries import DEVICES


class Devices(Struct):
    """`registered_at`: the day on which a device was last seen."""

    devices: list[DeviceEntry]
    next_cursor: str | None


class DevicesView(View):
    scopes = {"GET": "user.read"}

    @operation("List devices", answers={200: Devices})
    def get(self, request: Request, query: PageQuery) -> Response:
        """The devices of gpodder apps, in a stable order."""
        return answer_entries(request, DEVICES, query, Devices)


paths = [path("devices", DevicesView.as_view())]
