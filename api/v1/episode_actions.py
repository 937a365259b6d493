"""What apps did with episodes besides playing them."""

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
        user_id = caller_of(request).user_id
        return answer_page(
            request,
            "episode_actions",
            lambda: EPISODE_ACTIONS.page([user_id], {}, query.cursor, query.limit),
            _shown,
        )


def _shown(entries: list[EpisodeActionEntry], following: str | None) -> EpisodeActions:
    show_episodes(entries)
    return EpisodeActions(entries, following)


paths = [path("episode_actions", EpisodeActionsView.as_view())]
