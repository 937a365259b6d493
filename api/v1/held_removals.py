"""Podcasts that a device wants to unfollow, so many at once that the listener is asked first."""

from typing import Annotated

from django.urls import path
from msgspec import Struct
from rest_framework.request import Request
from rest_framework.response import Response

from api.answers import Done, answer_entries, dispatch_and_answer
from api.auth import caller_of
from api.clock import now
from api.fields import Feed, PageQuery, meta
from api.operations import operation
from api.views import View
from eventstore.domain import unfollowing
from eventstore.domain.held_removals import HeldRemovalEntry
from eventstore.domain.identifiers import normalise_feed
from projections.queries import HELD_REMOVALS

AT_ONCE = 1_000


def all_normalised(feeds: list[str]) -> list[str]:
    """Return the feeds, normalised. Raises ``InvalidIdentifier`` for the first invalid one."""
    return [normalise_feed(feed) for feed in feeds]


class HeldRemovals(Struct):
    held_removals: list[HeldRemovalEntry]
    next_cursor: str | None


class SettleBody(Struct):
    """`confirm`: true unfollows these podcasts; false keeps following them, and the device is told of them
    again."""

    feeds: Annotated[
        list[Feed],
        meta("Feeds whose removal is held.", normalise=all_normalised, min_length=1, max_length=AT_ONCE),
    ]
    confirm: bool


class HeldRemovalsView(View):
    scopes = {"GET": "user.subscriptions.read", "POST": "user.subscriptions.write"}

    @operation("List held removals", answers={200: HeldRemovals})
    def get(self, request: Request, query: PageQuery) -> Response:
        """Podcasts that an app wanted to unfollow, so many at once that the user is asked first. They remain
        followed until the user decides. In a stable order."""
        return answer_entries(request, HELD_REMOVALS, query, HeldRemovals)

    @operation("Settle held removals", answers={200: Done})
    def post(self, request: Request, body: SettleBody) -> Response:
        """Podcasts that are not held are ignored. Held podcasts that are not settled within 14 days remain
        followed."""
        order = unfollowing.confirm if body.confirm else unfollowing.discard
        command = order(caller_of(request).user_id, body.feeds, now())
        return dispatch_and_answer(request, command, lambda _: Done("success"))


paths = [path("held_removals", HeldRemovalsView.as_view())]
