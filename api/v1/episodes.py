"""Episodes that a listener saved ("liked"), and sharing one."""

from datetime import datetime

from django.http import HttpResponse
from django.urls import path
from msgspec import Struct
from rest_framework.request import Request

from api import answers, parameters
from api.answers import Success
from api.auth import caller_of
from api.bodies import Body
from api.clock import now
from api.errors import Invalid
from api.faults import Fault
from api.fields import PAGE, Cursor, Feed, Item, PageSize, Time
from api.schema import operation
from api.views import View
from eventstore.dispatcher import Outcome
from eventstore.domain.episodes import SaveEpisode, ShareEpisode, UnsaveEpisode
from eventstore.domain.identifiers import parts_of_item
from projections import queries

READ, WRITE = "user.plays.read", "user.plays.write"


class SavedEpisode(Struct):
    """An episode that is, or was, saved. Titles are null while the feed has not been fetched."""

    rss_source_feed: str
    rss_source_item: str
    guid: str
    enclosure_url: str
    rss_feed_title: str | None
    rss_item_title: str | None
    saved: bool
    saved_at: datetime | None
    unsaved_at: datetime | None


class SavedEpisodes(Struct):
    saved_episodes: list[SavedEpisode]
    next_cursor: str | None


class EpisodeWritten(Struct):
    """The episode as it stands, also where a later action had won already; null where it was never saved."""

    status: Success
    saved_episode: SavedEpisode | None


class EpisodeShared(Struct):
    status: Success


class SavedQuery(Struct):
    feed: Feed | None = None
    limit: PageSize = PAGE
    cursor: Cursor | None = None


class FeedQuery(Struct):
    feed: Feed | None = None


class UnsaveQuery(Struct):
    feed: Feed | None = None
    unsaved_at: Time | None = None


class SaveBody(Struct):
    """The feed may stand in the query instead. `saved_at` is for what was done offline."""

    rss_source_feed: Feed | None = None
    saved_at: Time | None = None


class ShareBody(Struct):
    """The feed may stand in the query instead. `shared_at` is for what was done offline."""

    rss_source_feed: Feed | None = None
    shared_at: Time | None = None


class ItemPath(Struct):
    item: Item


SAVE = Body(SaveBody)
SHARE = Body(ShareBody)


class SavedView(View):
    scopes = {"GET": READ}

    @operation("List saved episodes", query=SavedQuery, answers={200: SavedEpisodes})
    def get(self, request: Request) -> HttpResponse:
        """What the user has saved, the oldest first, so that a walk through the pages misses none."""
        asked = parameters.query(SavedQuery, request._request.GET)
        user_id = caller_of(request).user_id
        page = answers.page(
            request,
            "episodes",
            lambda: queries.saved_episodes(user_id, asked.feed, asked.cursor, asked.limit),
        )
        listed = [_shown(row.rss_source_feed, row.rss_source_item, True, row.saved_at) for row in page.rows]
        return answers.answer(SavedEpisodes(listed, page.next), page.position)


class SaveView(View):
    scopes = {"POST": WRITE, "DELETE": WRITE}

    @operation(
        "Save an episode",
        path=ItemPath,
        query=FeedQuery,
        body=SaveBody,
        bodiless=True,
        answers={200: EpisodeWritten},
    )
    def post(self, request: Request, item: str) -> HttpResponse:
        """Repeating it changes nothing. Of `saved_at` and `unsaved_at`, the later decides. The feed is given
        in the body or as `?feed=`."""
        item = parameters.named(ItemPath, item=item).item
        body = SAVE.read_if_any(request)
        feed = _feed(request, body.rss_source_feed)
        command = SaveEpisode(
            user_id=caller_of(request).user_id, feed=feed, item=item, now=now(), at=body.saved_at
        )
        return answers.write(
            request, command, lambda o: (200, _written(o, item)), body=body, at=body.saved_at
        )

    @operation("Unsave an episode", path=ItemPath, query=UnsaveQuery, answers={200: EpisodeWritten})
    def delete(self, request: Request, item: str) -> HttpResponse:
        """`unsaved_at` is for what was done offline; an episode of which nothing is known then needs its
        feed (422 `feed_required`). A token with a `jti` is accepted here once."""
        item = parameters.named(ItemPath, item=item).item
        asked = parameters.query(UnsaveQuery, request._request.GET)
        command = UnsaveEpisode(
            user_id=caller_of(request).user_id, item=item, now=now(), at=asked.unsaved_at, feed=asked.feed
        )
        answers.spend(request)
        return answers.write(request, command, lambda o: (200, _written(o, item)), at=asked.unsaved_at)


class ShareView(View):
    scopes = {"POST": WRITE}

    @operation(
        "Share an episode",
        path=ItemPath,
        query=FeedQuery,
        body=ShareBody,
        bodiless=True,
        answers={200: EpisodeShared},
    )
    def post(self, request: Request, item: str) -> HttpResponse:
        """Every share counts: an Idempotency-Key makes a repeat safe. The feed is given in the body or as
        `?feed=`."""
        item = parameters.named(ItemPath, item=item).item
        body = SHARE.read_if_any(request)
        feed = _feed(request, body.rss_source_feed)
        command = ShareEpisode(
            user_id=caller_of(request).user_id, feed=feed, item=item, now=now(), at=body.shared_at
        )
        return answers.write(
            request, command, lambda outcome: (200, EpisodeShared("success")), body=body, at=body.shared_at
        )


def _feed(request: Request, in_body: str | None) -> str:
    """The feed of the body or of the query. Raises ``Invalid`` for none, and for two."""
    in_query = parameters.query(FeedQuery, request._request.GET).feed
    feed = in_body or in_query
    if feed is None:
        raise Invalid([Fault("required", "Give it here or as ?feed=.", "rss_source_feed")])
    if in_query not in (None, feed):
        raise Invalid([Fault("invalid", "Not the rss_source_feed of the body.", "feed")])
    return feed


def _written(outcome: Outcome, item: str) -> EpisodeWritten:
    state = outcome.user.saved_episodes.get(item)
    if state is None:
        return EpisodeWritten("success", None)
    return EpisodeWritten("success", _shown(state.feed, item, state.saved, state.saved_at, state.unsaved_at))


def _shown(
    feed: str, item: str, saved: bool, saved_at: datetime | None, unsaved_at: datetime | None = None
) -> SavedEpisode:
    guid, enclosure_url = parts_of_item(item)
    return SavedEpisode(
        rss_source_feed=feed,
        rss_source_item=item,
        guid=guid,
        enclosure_url=enclosure_url,
        rss_feed_title=None,
        rss_item_title=None,
        saved=saved,
        saved_at=saved_at,
        unsaved_at=unsaved_at,
    )


paths = [
    path("episodes/saved", SavedView.as_view()),
    path("episodes/<path:item>/save", SaveView.as_view()),
    path("episodes/<path:item>/share", ShareView.as_view()),
]
