"""Collections: subscribed feeds, grouped under a name and a color."""

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID, uuid4

from django.http import HttpResponse
from django.urls import path
from msgspec import Struct
from rest_framework.exceptions import NotFound
from rest_framework.request import Request

from api import answers, parameters
from api.answers import Success
from api.auth import caller_of
from api.bodies import MIB, Body
from api.clock import now
from api.faults import Fault
from api.fields import (
    PAGE,
    Color,
    Cursor,
    Description,
    Feed,
    ListId,
    Name,
    NewColor,
    PageSize,
    Time,
    named_twice,
)
from api.schema import operation
from api.views import View
from eventstore.dispatcher import Outcome
from eventstore.domain.collections import (
    AddFeedToCollection,
    CreateCollection,
    DeleteCollection,
    RemoveFeedFromCollection,
    ReorderCollection,
    UpdateCollection,
)
from eventstore.domain.identifiers import url_of_feed
from eventstore.domain.lists import is_in
from projections import lists
from projections.lists import CollectionFeedRow, CollectionRow
from projections.queries import Page

READ, WRITE = "user.collections.read", "user.collections.write"
MOST_FEEDS = 50_000


class Collection(Struct):
    """A collection without its feeds. The default one holds every feed that is subscribed to. `updated_at`:
    when its name, description, color, visibility or order last changed."""

    id: UUID
    name: str
    description: str | None
    color: str | None
    is_public: bool
    is_default: bool
    updated_at: datetime
    feed_count: int


class Collections(Struct):
    collections: list[Collection]
    next_cursor: str | None


class CollectionFeed(Struct):
    """A feed of a collection. Title and cover are null while the feed has not been fetched."""

    rss_source_feed: str
    feed_url: str
    rss_feed_title: str | None
    cover: str | None
    added_at: datetime


class CollectionWithFeeds(Struct):
    """Its feeds are in their order; the cursor leads to those that follow."""

    collection: Collection
    feeds: list[CollectionFeed]
    next_cursor: str | None


class CollectionWritten(Struct):
    """The collection as it stands, also where a later action had won already."""

    status: Success
    collection: Collection


class CollectionDeleted(Struct):
    status: Success
    id: UUID


class CollectionsQuery(Struct):
    limit: PageSize = PAGE
    cursor: Cursor | None = None


class CollectionBody(Struct):
    """`id`: the app's own choice; without it the server chooses one. Others see it only if it is public."""

    name: Name
    id: ListId | None = None
    description: Description | None = None
    color: Color | None = None
    is_public: bool = False


class CollectionChanges(Struct):
    """What is left out, or null, stays as it is; an empty description or color takes it away."""

    name: Name | None = None
    description: Description | None = None
    color: NewColor | None = None
    is_public: bool | None = None


class CollectionFeedBody(Struct):
    """`added_at` is for what was done offline."""

    rss_source_feed: Feed
    added_at: Time | None = None


class RemoveFeedQuery(Struct):
    removed_at: Time | None = None


class OrderedFeed(Struct):
    rss_source_feed: Feed


class CollectionOrder(Struct):
    """The feeds in their new order; those that are not named come after these."""

    feeds: list[OrderedFeed]

    def faults(self) -> Iterator[Fault]:
        names = [feed.rss_source_feed for feed in self.feeds]
        return named_twice(names, "feeds.{}.rss_source_feed")


class CollectionPath(Struct):
    collection_id: ListId


class CollectionFeedPath(Struct):
    collection_id: ListId
    feed: Feed


BODY = Body(CollectionBody)
CHANGES = Body(CollectionChanges)
FEED = Body(CollectionFeedBody)
ORDER = Body(CollectionOrder, 16 * MIB, MOST_FEEDS)


class CollectionsView(View):
    scopes = {"GET": READ, "POST": WRITE}

    @operation("List collections", query=CollectionsQuery, answers={200: Collections})
    def get(self, request: Request) -> HttpResponse:
        """The user's collections, in a stable order."""
        asked = parameters.query(CollectionsQuery, request._request.GET)
        user_id = caller_of(request).user_id
        page = answers.page(
            request, "collections", lambda: lists.collections(user_id, asked.cursor, asked.limit)
        )
        return answers.answer(Collections([_shown(row) for row in page.rows], page.next), page.position)

    @operation(
        "Make a collection",
        body=CollectionBody,
        answers={201: CollectionWritten, 200: CollectionWritten},
        notes={200: "There was the same one already, and nothing changed."},
    )
    def post(self, request: Request) -> HttpResponse:
        """422 `collection_exists` where the user has another of this id. A deleted one comes back."""
        body = BODY.read(request)
        command = CreateCollection(
            user_id=caller_of(request).user_id,
            collection_id=body.id or uuid4(),
            name=body.name,
            description=body.description,
            color=body.color,
            is_public=body.is_public,
            now=now(),
        )

        def render(outcome: Outcome) -> tuple[int, Struct]:
            return 201 if outcome.events else 200, _written(outcome, command.collection_id)

        return answers.write(request, command, render, body=body)


class CollectionView(View):
    scopes = {"GET": READ, "PATCH": WRITE, "DELETE": WRITE}

    @operation(
        "Show a collection", path=CollectionPath, query=CollectionsQuery, answers={200: CollectionWithFeeds}
    )
    def get(self, request: Request, collection_id: str) -> HttpResponse:
        """The collection with a page of its feeds."""
        list_id = parameters.named(CollectionPath, collection_id=collection_id).collection_id
        asked = parameters.query(CollectionsQuery, request._request.GET)
        user_id = caller_of(request).user_id

        def read() -> Page[tuple[CollectionRow, Page[CollectionFeedRow]]]:
            found = lists.collection(user_id, list_id)
            feeds = lists.collection_feeds(user_id, list_id, asked.cursor, asked.limit)
            return Page([(row, feeds) for row in found.rows], None, min(found.position, feeds.position))

        page = answers.page(request, "collections", read)
        if not page.rows:
            raise NotFound
        [(row, feeds)] = page.rows
        shown = CollectionWithFeeds(_shown(row), [_shown_feed(feed) for feed in feeds.rows], feeds.next)
        return answers.answer(shown, page.position)

    @operation(
        "Change a collection", path=CollectionPath, body=CollectionChanges, answers={200: CollectionWritten}
    )
    def patch(self, request: Request, collection_id: str) -> HttpResponse:
        """Name, description, color, who sees it. 422 `collection_not_found` where there is none."""
        list_id = parameters.named(CollectionPath, collection_id=collection_id).collection_id
        body = CHANGES.read(request)
        command = UpdateCollection(
            user_id=caller_of(request).user_id,
            collection_id=list_id,
            name=body.name,
            description=body.description,
            color=body.color,
            is_public=body.is_public,
            now=now(),
        )
        return answers.write(request, command, lambda done: (200, _written(done, list_id)), body=body)

    @operation("Delete a collection", path=CollectionPath, answers={200: CollectionDeleted})
    def delete(self, request: Request, collection_id: str) -> HttpResponse:
        """Repeating it changes nothing. 422 `collection_not_found` where there never was one,
        `default_collection` for the one of all subscriptions. A token with a `jti` is accepted here once."""
        list_id = parameters.named(CollectionPath, collection_id=collection_id).collection_id
        command = DeleteCollection(user_id=caller_of(request).user_id, collection_id=list_id, now=now())
        answers.spend(request)
        return answers.write(request, command, lambda _: (200, CollectionDeleted("success", list_id)))


class CollectionFeedsView(View):
    scopes = {"POST": WRITE}

    @operation(
        "Add to a collection",
        path=CollectionPath,
        body=CollectionFeedBody,
        answers={201: CollectionWritten, 200: CollectionWritten},
        notes={200: "It was in it already, and nothing changed."},
    )
    def post(self, request: Request, collection_id: str) -> HttpResponse:
        """A feed that the user subscribes to, else 422 `not_subscribed`. Of `added_at` and `removed_at`, the
        later decides."""
        list_id = parameters.named(CollectionPath, collection_id=collection_id).collection_id
        body = FEED.read(request)
        command = AddFeedToCollection(
            user_id=caller_of(request).user_id,
            collection_id=list_id,
            feed=body.rss_source_feed,
            now=now(),
            at=body.added_at,
        )

        def render(outcome: Outcome) -> tuple[int, Struct]:
            return 201 if outcome.events else 200, _written(outcome, list_id)

        return answers.write(request, command, render, body=body, at=body.added_at)


class CollectionFeedView(View):
    scopes = {"DELETE": WRITE}

    @operation(
        "Remove from a collection",
        path=CollectionFeedPath,
        query=RemoveFeedQuery,
        answers={200: CollectionWritten},
    )
    def delete(self, request: Request, collection_id: str, feed: str) -> HttpResponse:
        """`removed_at` is for what was done offline. 422 `feed_not_in_collection` where it never was in it,
        `default_collection` for the one of all subscriptions. A token with a `jti` is accepted here once."""
        named = parameters.named(CollectionFeedPath, collection_id=collection_id, feed=feed)
        at = parameters.query(RemoveFeedQuery, request._request.GET).removed_at
        command = RemoveFeedFromCollection(
            user_id=caller_of(request).user_id,
            collection_id=named.collection_id,
            feed=named.feed,
            now=now(),
            at=at,
        )
        answers.spend(request)
        return answers.write(request, command, lambda done: (200, _written(done, named.collection_id)), at=at)


class CollectionOrderView(View):
    scopes = {"PUT": WRITE}

    @operation(
        "Order a collection", path=CollectionPath, body=CollectionOrder, answers={200: CollectionWritten}
    )
    def put(self, request: Request, collection_id: str) -> HttpResponse:
        """422 `feed_not_in_collection` where one of them never was in it; those that were taken out meanwhile
        have no place. At most 50,000."""
        list_id = parameters.named(CollectionPath, collection_id=collection_id).collection_id
        body = ORDER.read(request)
        command = ReorderCollection(
            user_id=caller_of(request).user_id,
            collection_id=list_id,
            feeds=tuple(feed.rss_source_feed for feed in body.feeds),
            now=now(),
        )
        return answers.write(request, command, lambda done: (200, _written(done, list_id)), body=body)


def _shown(row: CollectionRow) -> Collection:
    return Collection(
        row.id,
        row.name,
        row.description,
        row.color,
        row.is_public,
        row.is_default,
        row.updated_at,
        row.feeds,
    )


def _shown_feed(row: CollectionFeedRow) -> CollectionFeed:
    return CollectionFeed(row.rss_source_feed, url_of_feed(row.rss_source_feed), None, None, row.added_at)


def _written(outcome: Outcome, collection_id: UUID) -> CollectionWritten:
    of = outcome.user.collections[str(collection_id)]
    if of.is_default:
        count = sum(one.active for one in outcome.user.subscriptions.values())
    else:
        count = sum(map(is_in, of.feeds.values()))
    row = CollectionRow(
        collection_id,
        of.name,
        of.description,
        of.color,
        of.is_public,
        of.is_default,
        of.updated_at,
        count,
    )
    return CollectionWritten("success", _shown(row))


paths = [
    path("collections", CollectionsView.as_view()),
    path("collections/<path:collection_id>/feeds/<path:feed>", CollectionFeedView.as_view()),
    path("collections/<path:collection_id>/feeds", CollectionFeedsView.as_view()),
    path("collections/<path:collection_id>/order", CollectionOrderView.as_view()),
    path("collections/<path:collection_id>", CollectionView.as_view()),
]
