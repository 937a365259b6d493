"""The settings that a listener's apps store on the server."""

from django.urls import path
from msgspec import Struct
from rest_framework.request import Request
from rest_framework.response import Response

from api.answers import answer_page
from api.auth import caller_of
from api.episodes import show_episodes
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
        user_id = caller_of(request).user_id
        read = lambda: SETTINGS.page([user_id], {}, query.cursor, query.limit)  # noqa: E731
        return answer_page(request, "settings", read, _shown)


def _shown(entries: list[SettingsEntry], following: str | None) -> AllSettings:
    show_episodes(entries)
    return AllSettings(entries, following)


paths = [path("settings", SettingsView.as_view())]
