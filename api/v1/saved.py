"""Episodes that a listener has saved ("liked"), and sharing an episode."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.urls import path
from msgspec import Struct
from rest_framework.request import Request
from rest_framework.response import Response

from api import answers
from api.answers import Done, Success, dispatch_and_answer, order
from api.auth import caller_of
from api.episodes import FeedQuery, ItemPath
from api.errors import FieldError, Invalid
from api.fields import Feed, PageQuery, Time
from api.operations import operation
from api.titles import UNTITLED, Titles, titles_for
from api.views import View
from eventstore.dispatcher import Outcome
from eventstore.domain import episodes
from eventstore.domain.identifiers import episode_key, shown_item
from eventstore.domain.saved import SaveEpisode, ShareEpisode, UnsaveEpisode
from projections import queries
from projections.queries import SavedEpisodeRow

READ, WRITE = "user.plays.read", "user.plays.write"


class SavedEpisode(Struct):
    """An episode that is, or was, saved. Titles and cover are null while the feed has not been fetched."""

    rss_source_feed: str
    rss_source_item: str
    guid: str
    enclosure_url: str
    rss_feed_title: str | None
    rss_item_title: str | None
    cover: str | None
    saved: bool
    saved_at: datetime | None
    unsaved_at: datetime | None


class SavedEpisodes(Struct):
    saved_episodes: list[SavedEpisode]
    next_cursor: str | None


class EpisodeWritten(Struct):
    """The current state of the episode, even if a later action had already won; null if it was never saved.
    Titles and cover are only in reads, and null here."""

    status: Success
    saved_episode: SavedEpisode | None


class SavedQuery(PageQuery):
    feed: Feed | None = None


class UnsaveQuery(FeedQuery):
    unsaved_at: Time | None = None


class SaveBody(Struct):
    """The feed may be in the query instead. `saved_at` is for what was done offline."""

    rss_source_feed: Feed | None = None
    saved_at: Time | None = None


class ShareBody(Struct):
    """The feed may be in the query instead. `shared_at` is for what was done offline."""

    rss_source_feed: Feed | None = None
    shared_at: Time | None = None


class SavedView(View):
    scopes = {"GET": READ}

    @operation("List saved episodes", answers={200: SavedEpisodes})
    def get(self, request: Request, query: SavedQuery) -> Response:
        """What the user has saved, the oldest first, so that reading page by page misses none."""
        user_id = caller_of(request).user_id
        return answers.answer_page(
            request,
            "saved",
            lambda: queries.saved_episodes(user_id, query.feed, query.cursor, query.limit),
            lambda rows, following: SavedEpisodes(_shown(user_id, rows), following),
        )


class SaveView(View):
    scopes = {"POST": WRITE, "DELETE": WRITE}

    @operation("Save an episode", bodiless=True, answers={200: EpisodeWritten})
    def post(self, request: Request, path: ItemPath, query: FeedQuery, body: SaveBody) -> Response:
        """Repeating it changes nothing. Of `saved_at` and `unsaved_at`, the later decides. The feed is given
        in the body or as `?feed=`."""
        feed = _one_feed(query.feed, body.rss_source_feed)
        command = order(request, SaveEpisode, feed=feed, item=path.item, at=body.saved_at)
        return dispatch_and_answer(request, command, lambda outcome: _written(outcome, command))

    @operation("Unsave an episode", answers={200: EpisodeWritten}, once=True)
    def delete(self, request: Request, path: ItemPath, query: UnsaveQuery) -> Response:
        """`unsaved_at` is for what was done offline. The feed is needed if nothing is known of the episode
        (422 `feed_required`), or if several of the user's feeds have the item (`ambiguous_item`)."""
        command = order(request, UnsaveEpisode, feed=query.feed, item=path.item, at=query.unsaved_at)
        return dispatch_and_answer(request, command, lambda outcome: _written(outcome, command))


class ShareView(View):
    scopes = {"POST": WRITE}

    @operation("Share an episode", bodiless=True, answers={200: Done})
    def post(self, request: Request, path: ItemPath, query: FeedQuery, body: ShareBody) -> Response:
        """Every share counts: an Idempotency-Key makes a repeat safe. The feed is given in the body or as
        `?feed=`."""
        feed = _one_feed(query.feed, body.rss_source_feed)
        command = order(request, ShareEpisode, feed=feed, item=path.item, at=body.shared_at)
        return dispatch_and_answer(request, command, lambda _: Done("success"))


def _one_feed(in_query: str | None, in_body: str | None) -> str:
    """Return the feed of the body or of the query. Raises ``Invalid`` if there is none, or two different
    ones."""
    feed = in_body or in_query
    if feed is None:
        raise Invalid(FieldError("required", "Give it here or as ?feed=.", "rss_source_feed"))
    if in_query not in (None, feed):
        raise Invalid(FieldError("invalid", "Not the rss_source_feed of the body.", "feed"))
    return feed


def _written(outcome: Outcome, command: SaveEpisode | UnsaveEpisode) -> EpisodeWritten:
    feed, item = episodes.find(outcome.user, command.feed, command.item)
    state = None if feed is None else outcome.user.saved.get(episode_key(feed, item))
    if state is None:
        return EpisodeWritten("success", None)
    shown = _episode(state.feed, item, UNTITLED, state.saved, state.saved_at, state.unsaved_at)
    return EpisodeWritten("success", shown)


def _shown(user_id: UUID, rows: Sequence[SavedEpisodeRow]) -> list[SavedEpisode]:
    titles = titles_for(user_id, rows)
    return [_episode(feed, item, titles, True, saved_at) for feed, item, saved_at in rows]


def _episode(
    feed: str,
    item: str,
    titles: Titles,
    saved: bool,
    saved_at: datetime | None,
    unsaved_at: datetime | None = None,
) -> SavedEpisode:
    described = titles.of_episode(feed, item)
    return SavedEpisode(feed, *shown_item(item), *described, saved, saved_at, unsaved_at)


paths = [
    path("episodes/saved", SavedView.as_view()),
    path("episodes/<path:item>/save", SaveView.as_view()),
    path("episodes/<path:item>/share", ShareView.as_view()),
]
