"""Playlists: episodes in an order, with a name."""

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
from api.fields import PAGE, Cursor, Description, Feed, Item, ListId, Name, PageSize, Time, Title, named_twice
from api.schema import operation
from api.views import View
from eventstore.dispatcher import Outcome
from eventstore.domain.identifiers import parts_of_item
from eventstore.domain.lists import is_in
from eventstore.domain.playlists import (
    AddToPlaylist,
    CreatePlaylist,
    DeletePlaylist,
    RemoveFromPlaylist,
    ReorderPlaylist,
    UpdatePlaylist,
)
from projections import lists
from projections.lists import PlaylistItemRow, PlaylistRow
from projections.queries import Page

READ, WRITE = "user.playlists.read", "user.playlists.write"
MOST_ITEMS = 50_000


class Playlist(Struct):
    """A playlist without its episodes. `updated_at`: when its name, description, visibility or order last
    changed."""

    id: UUID
    name: str
    description: str | None
    is_public: bool
    updated_at: datetime
    item_count: int


class Playlists(Struct):
    playlists: list[Playlist]
    next_cursor: str | None


class PlaylistItem(Struct):
    """An episode of a playlist, with the titles that the app gave it."""

    rss_source_feed: str
    rss_source_item: str
    guid: str
    enclosure_url: str
    item_title: str | None
    feed_title: str | None
    added_at: datetime


class PlaylistWithItems(Struct):
    """Its episodes are in their order; the cursor leads to those that follow."""

    playlist: Playlist
    items: list[PlaylistItem]
    next_cursor: str | None


class PlaylistWritten(Struct):
    """The playlist as it stands, also where a later action had won already."""

    status: Success
    playlist: Playlist


class PlaylistDeleted(Struct):
    status: Success
    id: UUID


class PlaylistsQuery(Struct):
    limit: PageSize = PAGE
    cursor: Cursor | None = None


class PlaylistBody(Struct):
    """`id`: the app's own choice; without it the server chooses one. Others see it only if it is public."""

    name: Name
    id: ListId | None = None
    description: Description | None = None
    is_public: bool = False


class PlaylistChanges(Struct):
    """What is left out, or null, stays as it is; an empty description takes it away."""

    name: Name | None = None
    description: Description | None = None
    is_public: bool | None = None


class PlaylistItemBody(Struct):
    """`added_at` is for what was done offline."""

    rss_source_feed: Feed
    rss_source_item: Item
    item_title: Title | None = None
    feed_title: Title | None = None
    added_at: Time | None = None


class RemoveItemQuery(Struct):
    removed_at: Time | None = None


class OrderedItem(Struct):
    rss_source_item: Item


class PlaylistOrder(Struct):
    """The episodes in their new order; those that are not named come after these."""

    items: list[OrderedItem]

    def faults(self) -> Iterator[Fault]:
        names = [item.rss_source_item for item in self.items]
        return named_twice(names, "items.{}.rss_source_item")


class PlaylistPath(Struct):
    playlist_id: ListId


class PlaylistItemPath(Struct):
    playlist_id: ListId
    item: Item


BODY = Body(PlaylistBody)
CHANGES = Body(PlaylistChanges)
ITEM = Body(PlaylistItemBody)
ORDER = Body(PlaylistOrder, 16 * MIB, MOST_ITEMS)


class PlaylistsView(View):
    scopes = {"GET": READ, "POST": WRITE}

    @operation("List playlists", query=PlaylistsQuery, answers={200: Playlists})
    def get(self, request: Request) -> HttpResponse:
        """The user's playlists, in a stable order."""
        asked = parameters.query(PlaylistsQuery, request._request.GET)
        user_id = caller_of(request).user_id
        page = answers.page(request, "playlists", lambda: lists.playlists(user_id, asked.cursor, asked.limit))
        return answers.answer(Playlists([_shown(row) for row in page.rows], page.next), page.position)

    @operation(
        "Make a playlist",
        body=PlaylistBody,
        answers={201: PlaylistWritten, 200: PlaylistWritten},
        notes={200: "There was the same one already, and nothing changed."},
    )
    def post(self, request: Request) -> HttpResponse:
        """422 `playlist_exists` where the user has another of this id. A deleted one comes back."""
        body = BODY.read(request)
        command = CreatePlaylist(
            user_id=caller_of(request).user_id,
            playlist_id=body.id or uuid4(),
            name=body.name,
            description=body.description,
            is_public=body.is_public,
            now=now(),
        )

        def render(outcome: Outcome) -> tuple[int, Struct]:
            return 201 if outcome.events else 200, _written(outcome, command.playlist_id)

        return answers.write(request, command, render, body=body)


class PlaylistView(View):
    scopes = {"GET": READ, "PATCH": WRITE, "DELETE": WRITE}

    @operation("Show a playlist", path=PlaylistPath, query=PlaylistsQuery, answers={200: PlaylistWithItems})
    def get(self, request: Request, playlist_id: str) -> HttpResponse:
        """The playlist with a page of its episodes."""
        list_id = parameters.named(PlaylistPath, playlist_id=playlist_id).playlist_id
        asked = parameters.query(PlaylistsQuery, request._request.GET)
        user_id = caller_of(request).user_id

        def read() -> Page[tuple[PlaylistRow, Page[PlaylistItemRow]]]:
            found = lists.playlist(user_id, list_id)
            items = lists.playlist_items(user_id, list_id, asked.cursor, asked.limit)
            return Page([(row, items) for row in found.rows], None, min(found.position, items.position))

        page = answers.page(request, "playlists", read)
        if not page.rows:
            raise NotFound
        [(row, items)] = page.rows
        shown = PlaylistWithItems(_shown(row), [_shown_item(item) for item in items.rows], items.next)
        return answers.answer(shown, page.position)

    @operation("Change a playlist", path=PlaylistPath, body=PlaylistChanges, answers={200: PlaylistWritten})
    def patch(self, request: Request, playlist_id: str) -> HttpResponse:
        """Its name, its description, who sees it. 422 `playlist_not_found` where there is none."""
        list_id = parameters.named(PlaylistPath, playlist_id=playlist_id).playlist_id
        body = CHANGES.read(request)
        command = UpdatePlaylist(
            user_id=caller_of(request).user_id,
            playlist_id=list_id,
            name=body.name,
            description=body.description,
            is_public=body.is_public,
            now=now(),
        )
        return answers.write(request, command, lambda done: (200, _written(done, list_id)), body=body)

    @operation("Delete a playlist", path=PlaylistPath, answers={200: PlaylistDeleted})
    def delete(self, request: Request, playlist_id: str) -> HttpResponse:
        """Repeating it changes nothing. 422 `playlist_not_found` where there never was one. A token with a
        `jti` is accepted here once."""
        list_id = parameters.named(PlaylistPath, playlist_id=playlist_id).playlist_id
        command = DeletePlaylist(user_id=caller_of(request).user_id, playlist_id=list_id, now=now())
        answers.spend(request)
        return answers.write(request, command, lambda _: (200, PlaylistDeleted("success", list_id)))


class PlaylistItemsView(View):
    scopes = {"POST": WRITE}

    @operation(
        "Add to a playlist",
        path=PlaylistPath,
        body=PlaylistItemBody,
        answers={201: PlaylistWritten, 200: PlaylistWritten},
        notes={200: "It was in it already, and nothing changed."},
    )
    def post(self, request: Request, playlist_id: str) -> HttpResponse:
        """An episode is in a playlist once. Of `added_at` and `removed_at`, the later decides."""
        list_id = parameters.named(PlaylistPath, playlist_id=playlist_id).playlist_id
        body = ITEM.read(request)
        command = AddToPlaylist(
            user_id=caller_of(request).user_id,
            playlist_id=list_id,
            feed=body.rss_source_feed,
            item=body.rss_source_item,
            item_title=body.item_title,
            feed_title=body.feed_title,
            now=now(),
            at=body.added_at,
        )

        def render(outcome: Outcome) -> tuple[int, Struct]:
            return 201 if outcome.events else 200, _written(outcome, list_id)

        return answers.write(request, command, render, body=body, at=body.added_at)


class PlaylistItemView(View):
    scopes = {"DELETE": WRITE}

    @operation(
        "Remove from a playlist",
        path=PlaylistItemPath,
        query=RemoveItemQuery,
        answers={200: PlaylistWritten},
    )
    def delete(self, request: Request, playlist_id: str, item: str) -> HttpResponse:
        """`removed_at` is for what was done offline. 422 `item_not_in_playlist` where it never was in it. A
        token with a `jti` is accepted here once."""
        named = parameters.named(PlaylistItemPath, playlist_id=playlist_id, item=item)
        at = parameters.query(RemoveItemQuery, request._request.GET).removed_at
        command = RemoveFromPlaylist(
            user_id=caller_of(request).user_id,
            playlist_id=named.playlist_id,
            item=named.item,
            now=now(),
            at=at,
        )
        answers.spend(request)
        return answers.write(request, command, lambda done: (200, _written(done, named.playlist_id)), at=at)


class PlaylistOrderView(View):
    scopes = {"PUT": WRITE}

    @operation("Order a playlist", path=PlaylistPath, body=PlaylistOrder, answers={200: PlaylistWritten})
    def put(self, request: Request, playlist_id: str) -> HttpResponse:
        """422 `item_not_in_playlist` where one of them never was in it; those that were taken out meanwhile
        have no place. At most 50,000."""
        list_id = parameters.named(PlaylistPath, playlist_id=playlist_id).playlist_id
        body = ORDER.read(request)
        command = ReorderPlaylist(
            user_id=caller_of(request).user_id,
            playlist_id=list_id,
            items=tuple(item.rss_source_item for item in body.items),
            now=now(),
        )
        return answers.write(request, command, lambda done: (200, _written(done, list_id)), body=body)


def _shown(row: PlaylistRow) -> Playlist:
    return Playlist(row.id, row.name, row.description, row.is_public, row.updated_at, row.items)


def _shown_item(row: PlaylistItemRow) -> PlaylistItem:
    guid, enclosure_url = parts_of_item(row.rss_source_item)
    return PlaylistItem(
        row.rss_source_feed,
        row.rss_source_item,
        guid,
        enclosure_url,
        row.item_title,
        row.feed_title,
        row.added_at,
    )


def _written(outcome: Outcome, playlist_id: UUID) -> PlaylistWritten:
    of = outcome.user.playlists[str(playlist_id)]
    count = sum(map(is_in, of.items.values()))
    row = PlaylistRow(playlist_id, of.name, of.description, of.is_public, of.updated_at, count)
    return PlaylistWritten("success", _shown(row))


paths = [
    path("playlists", PlaylistsView.as_view()),
    path("playlists/<path:playlist_id>/items/<path:item>", PlaylistItemView.as_view()),
    path("playlists/<path:playlist_id>/items", PlaylistItemsView.as_view()),
    path("playlists/<path:playlist_id>/order", PlaylistOrderView.as_view()),
    path("playlists/<path:playlist_id>", PlaylistView.as_view()),
]
