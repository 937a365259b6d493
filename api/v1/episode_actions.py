"""What apps did with episodes besides playing them."""

from django.urls import path
from msgspec import Struct
from rest_framework.request import Request
from rest_framework.response import Response

from api.answers import answer_entries
from api.fields import PageQuery
from api.operations import operation
from api.views import View
from eventstore.domain.episode_actions import EpisodeActionEntry
from projections.queries import EPISODE_ACTIONS


class EpisodeActions(Struct):
    episode_actions: list[EpisodeActionEntry]
    next_cursor: str | None


class EpisodeActionsView(View):
    scopes = {"GET": "user.plays.read"}

    @operation("List episode actions", answers={200: EpisodeActions})
    def get(self, request: Request, query: PageQuery) -> Response:
        """The newest download, deletion or mark as new of each episode, the oldest first, so that reading
        page by page misses none. Plays are listed with the plays."""
        return answer_entries(request, EPISODE_ACTIONS, query, EpisodeActions)


paths = [path("episode_actions", EpisodeActionsView.as_view())]
