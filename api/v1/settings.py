"""The settings that a listener's apps store on the server."""

from django.urls import path
from msgspec import Struct
from rest_framework.request import Request
from rest_framework.response import Response

from api.answers import answer_entries
from api.fields import PageQuery
from api.operations import operation
from api.views import View
from eventstore.domain.settings import SettingsEntry
from projections.queries import SETTINGS


class AllSettings(Struct):
    """`settings` of each entry is a JSON object as text."""

    settings: list[SettingsEntry]
    next_cursor: str | None


class SettingsView(View):
    scopes = {"GET": "user.read"}

    @operation("List the settings of apps", answers={200: AllSettings})
    def get(self, request: Request, query: PageQuery) -> Response:
        """One entry for each scope: the account, a device, a podcast, an episode, or a podcast on a device.
        In a stable order."""
        return answer_entries(request, SETTINGS, query, AllSettings)


paths = [path("settings", SettingsView.as_view())]
