"""The deletion event: parts of a history removed for good."""

from collections.abc import Iterator
from typing import ClassVar

import msgspec
from django.http import HttpResponse
from django.urls import path
from msgspec import Struct
from rest_framework.request import Request

from api import answers
from api.answers import Success
from api.auth import caller_of
from api.bodies import Body
from api.clock import now
from api.faults import Fault
from api.fields import Feed, Item
from api.parameters import command_id
from api.schema import operation, some_of
from api.views import View
from eventstore.domain.removal import RemoveEvents
from eventstore.log import Origin
from eventstore.removal import remove


class RemovalBody(Struct):
    """A feed with all its episodes, an episode, or an episode of one feed."""

    rules: ClassVar = some_of("feed", "item")

    feed: Feed | None = None
    item: Item | None = None

    def faults(self) -> Iterator[Fault]:
        if self.feed is None and self.item is None:
            yield Fault("required", "Give feed, item or both.", "feed")


class Removed(Struct):
    """`removed_events`: how many events held something of it (of checkpoints, each), and are gone."""

    status: Success
    removed_events: int


BODY = Body(RemovalBody)


class RemovalsView(View):
    scopes = {"POST": "user.write"}

    @operation("Remove from the history", body=RemovalBody, answers={200: Removed})
    def post(self, request: Request) -> HttpResponse:
        """For good: out of the history, the lists, the settings and everything public, as if it had never
        been. What other devices of the user still hold, they may send again. A token with a `jti` is accepted
        here once."""
        body = BODY.read(request)
        caller = caller_of(request)
        command = RemoveEvents(user_id=caller.user_id, feed=body.feed, item=body.item, now=now())
        answers.spend(request)
        removed = remove(
            command,
            Origin(caller.app_id, caller.device_id, caller.device_name),
            command_id=command_id(request._request, body),
            answer=lambda events: b"200" + msgspec.json.encode(Removed("success", events)),
        )
        return answers.stored(removed.answer, removed.position)


paths = [path("removals", RemovalsView.as_view())]
