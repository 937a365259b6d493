"""Removing parts of a history for good, by a deletion event."""

from typing import ClassVar

from django.urls import path
from msgspec import Struct
from rest_framework.request import Request
from rest_framework.response import Response

from api import answers
from api.answers import Success
from api.episodes import FeedOrEpisode
from api.operations import operation
from api.parameters import command_id
from api.views import View
from eventstore.domain.removal import RemoveEvents
from eventstore.removal import remove


class RemovalBody(FeedOrEpisode):
    """A feed with all its episodes, or an episode of a feed. The feed may be left out if only one of the
    user's feeds has the item (422 `ambiguous_item`)."""

    at_least_one: ClassVar = ("feed", "item")


class Removed(Struct):
    """`removed_events`: how many events contained something of it and are gone; each such checkpoint counts
    as one."""

    status: Success
    removed_events: int


class RemovalsView(View):
    scopes = {"POST": "user.write"}

    @operation("Remove from the history", answers={200: Removed}, once=True)
    def post(self, request: Request, body: RemovalBody) -> Response:
        """Removed for good from the history, the lists, the settings and everything public, as if it had
        never been there. What other devices of the user still have, they may send again."""
        command = answers.order(request, RemoveEvents, feed=body.feed, item=body.item)
        removed = remove(
            command,
            answers.origin_of(request),
            command_id=command_id(request),
            answer=lambda events: answers.stored(Removed("success", events)),
        )
        return answers.restored(removed.answer, removed.position)


paths = [path("removals", RemovalsView.as_view())]
