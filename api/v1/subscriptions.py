"""The feeds that a listener follows."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Annotated, ClassVar, Literal, NamedTuple
from uuid import UUID

import msgspec
from django.http import HttpResponse
from django.urls import path
from msgspec import Struct
from rest_framework.request import Request
from rest_framework.response import Response

from api import answers
from api.answers import Success, dispatch_and_answer, order
from api.auth import caller_of
from api.episodes import FeedPath
from api.errors import FieldError
from api.fields import Feed, FeedUrl, PageQuery, SourceId, Time, meta
from api.operations import operation
from api.titles import Enriched, address, enriched
from api.views import View
from eventstore.dispatcher import Outcome
from eventstore.domain import subscriptions
from eventstore.domain.identifiers import url_of_feed
from eventstore.domain.subscriptions import Subscribe, Unsubscribe
from feeds import queries as feeds
from feeds.queries import FeedListed
from projections import queries
from projections.queries import SubscriptionRow
from projections.unchanged import Unless

# answers that a process keeps, and the bytes of the largest: at most 8 MiB
MOST_KEPT, LARGEST_KEPT = 128, 64 * 1024


class Subscription(Struct):
    """A feed that is, or was, followed. Title and cover are null while the feed has not been fetched.
    `moved_to`: its present address, if that is another. `enriched`: null if the operator says nothing about
    it."""

    rss_source_feed: str
    feed_url: str
    rss_source_id: str | None
    rss_feed_title: str | None
    cover: str | None
    moved_to: str | None
    enriched: Enriched | None
    subscribed_at: datetime | None
    unsubscribed_at: datetime | None


class Subscriptions(Struct):
    subscriptions: list[Subscription]
    next_cursor: str | None


class SubscriptionWritten(Struct):
    """The current state of the subscription, even if a later action had already won. Title, cover, `moved_to`
    and `enriched` are only in reads, and null here."""

    status: Success
    subscription: Subscription


class SubscriptionsQuery(PageQuery):
    include: (
        Annotated[Literal["removed"], meta("`removed`: include feeds that are no longer followed.")] | None
    ) = None


class SubscriptionBody(Struct):
    """A feed to follow, given by its identifier or by its URL, which is converted to the identifier."""

    at_least_one: ClassVar = ("rss_source_feed", "feed_url")

    rss_source_feed: Feed | None = None
    feed_url: FeedUrl | None = None
    rss_source_id: SourceId | None = None
    subscribed_at: Time | None = None

    def errors(self) -> Iterator[FieldError]:
        if None not in (self.rss_source_feed, self.feed_url) and self.rss_source_feed != self.feed_url:
            yield FieldError("invalid", "Not the URL of rss_source_feed.", "feed_url")


class UnsubscribeQuery(Struct):
    unsubscribed_at: Time | None = None


class Kept(NamedTuple):
    """The body of an answer, and what it was made from: the version of the feeds, the digest of the rows."""

    feed_version: bytes | None
    digest: int | None
    body: bytes


class Place:
    """Where the newest answer to one question is kept."""

    kept: Kept | None = None


class SubscriptionsView(View):
    scopes = {"GET": "user.subscriptions.read", "POST": "user.subscriptions.write"}

    @operation("List subscriptions", answers={200: Subscriptions})
    def get(self, request: Request, query: SubscriptionsQuery) -> HttpResponse:
        """The feeds that the user follows, in a stable order."""
        wanted = caller_of(request).user_id, query.include is not None, query.cursor, query.limit
        place, feed_version = place_of(*wanted), feeds.version()
        kept = place.kept
        if kept is None or kept.feed_version != feed_version:
            kept = None
        read = Unless(kept and kept.digest)
        page = answers.page(request, "subscriptions", lambda: queries.subscriptions(*wanted, read=read))
        if kept is None or kept.digest != read.digest:
            body = msgspec.json.encode(Subscriptions(_shown(page.rows), page.next))
            kept = Kept(feed_version, read.digest, body)
            place.kept = kept if len(body) <= LARGEST_KEPT else None
        return answers.ready(kept.body, page.position)

    @operation(
        "Follow a feed",
        answers={201: SubscriptionWritten, 200: SubscriptionWritten},
        notes={200: "The feed was already followed; nothing changed."},
    )
    def post(self, request: Request, body: SubscriptionBody) -> Response:
        """Repeating it changes nothing. Of `subscribed_at` and `unsubscribed_at`, the later decides."""
        feed = body.rss_source_feed or body.feed_url
        assert feed is not None
        command = order(request, Subscribe, feed=feed, source_id=body.rss_source_id, at=body.subscribed_at)
        return dispatch_and_answer(request, command, lambda outcome: _written(outcome, feed), creates=True)


class SubscriptionView(View):
    scopes = {"DELETE": "user.subscriptions.write"}

    @operation("Unfollow a feed", answers={200: SubscriptionWritten}, once=True)
    def delete(self, request: Request, path: FeedPath, query: UnsubscribeQuery) -> Response:
        """The feed may be in any of the four spellings; the URL-safe one needs no percent-encoding.

        `unsubscribed_at` is for what was done offline. 422 `not_subscribed` if it was never followed.
        """
        command = order(request, Unsubscribe, feed=path.feed, at=query.unsubscribed_at)
        return dispatch_and_answer(request, command, lambda outcome: _written(outcome, path.feed))


@lru_cache(maxsize=MOST_KEPT)
def place_of(user_id: UUID, removed: bool, cursor: str | None, limit: int) -> Place:
    """Return where the newest answer to a question is kept."""
    return Place()


def _shown(rows: Sequence[SubscriptionRow]) -> list[Subscription]:
    known = feeds.listed(row.rss_source_feed for row in rows)
    return [_subscription(row, _visible(row, known.get(row.rss_source_feed))) for row in rows]


def _visible(row: SubscriptionRow, known: FeedListed | None) -> FeedListed | None:
    """Return what is known of a feed, unless it is secret and the listener no longer follows it."""
    return None if known is None or (known.is_secret and not row.active) else known


def _subscription(row: SubscriptionRow, known: FeedListed | None) -> Subscription:
    return Subscription(
        rss_source_feed=row.rss_source_feed,
        feed_url=url_of_feed(row.rss_source_feed),
        rss_source_id=row.rss_source_id,
        rss_feed_title=(known and known.title) or None,
        cover=known and address(known.cover),
        moved_to=known and known.moved_to,
        enriched=known and enriched(known),
        subscribed_at=row.subscribed_at,
        unsubscribed_at=row.unsubscribed_at,
    )


def _written(outcome: Outcome, feed: str) -> SubscriptionWritten:
    state: subscriptions.Subscription = outcome.user.subscriptions[feed]
    row = SubscriptionRow(feed, state.source_id, state.subscribed_at, state.unsubscribed_at)
    return SubscriptionWritten("success", _subscription(row, None))


paths = [
    path("subscriptions", SubscriptionsView.as_view()),
    path("subscriptions/<path:feed>", SubscriptionView.as_view()),
]
