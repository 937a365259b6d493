"""How far each episode was played."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from django.urls import path
from msgspec import Struct
from rest_framework.request import Request
from rest_framework.response import Response

from api import answers
from api.answers import Success, dispatch_and_answer, order, origin_of
from api.auth import caller_of
from api.clock import now
from api.episodes import FeedQuery, ItemPath, NamedEpisode, show_episodes
from api.fields import Feed, Flag, PageQuery, Position, Speed, Time
from api.operations import operation
from api.titles import UNTITLED, Titles, titles_for
from api.views import View
from eventstore import elsewhere
from eventstore.dispatcher import Origin, Outcome
from eventstore.domain import episodes
from eventstore.domain.identifiers import episode_key
from eventstore.domain.plays import REGISTER, PlayCommand, PlayEntry, RecordPlay, UpdatePosition
from projections import queries


class PlayStatus(PlayEntry, frozen=True, kw_only=True):
    """How far an episode was played. Titles and cover are null while the feed has not been fetched."""

    guid: str
    enclosure_url: str
    rss_feed_title: str | None
    rss_item_title: str | None
    cover: str | None


class PlayStatuses(Struct):
    play_statuses: list[PlayStatus]
    next_cursor: str | None


class Newer(Struct):
    """What another device reported about the episode for a time after that of what was sent. `device`: its
    name; null if that is not known."""

    position: int
    played: bool
    updated_at: datetime
    device: str | None


class PlayWritten(Struct):
    """The current status, even if a later play had already won: `newer` then says which, if another device
    reported it. Ask the user where to continue. Titles and cover are only in reads, and null here."""

    status: Success
    play_status: PlayStatus
    newer: Newer | None


class PlaysQuery(PageQuery):
    feed: Feed | None = None
    played: Flag | None = None
    updated_since: Time | None = None


class PlayBody(NamedEpisode, kw_only=True):
    """`played_at` is for what was played offline; without it the server's clock counts. `speed` is null if
    none is given."""

    rss_source_feed: Feed
    position: Position
    played: bool
    speed: Speed | None = None
    played_at: Time | None = None


class PositionBody(Struct):
    """`rss_source_feed` is needed for an episode of which nothing is known yet; it may be in the query
    instead. Without `speed`, the speed does not change."""

    position: Position
    speed: Speed | None = None
    rss_source_feed: Feed | None = None
    updated_at: Time | None = None


class PlaysView(View):
    scopes = {"GET": "user.plays.read", "POST": "user.plays.write"}

    @operation("List play statuses", answers={200: PlayStatuses})
    def get(self, request: Request, query: PlaysQuery) -> Response:
        """What the user played, the oldest change first, so that reading page by page misses none."""
        user_id = caller_of(request).user_id
        return answers.answer_page(
            request,
            "plays",
            lambda: queries.play_statuses(
                user_id, query.feed, query.played, query.updated_since, query.cursor, query.limit
            ),
            lambda rows, following: PlayStatuses(_shown(user_id, rows), following),
        )

    @operation("Record a play", answers={200: PlayWritten})
    def post(self, request: Request, body: PlayBody) -> Response:
        """Every play is recorded; the latest decides the status."""
        command = play_of(caller_of(request).user_id, now(), body)
        here = origin_of(request)
        return dispatch_and_answer(request, command, lambda outcome: written(outcome, command, here))


class PositionView(View):
    scopes = {"PUT": "user.plays.write"}

    @operation("Move the position", answers={200: PlayWritten})
    def put(self, request: Request, path: ItemPath, query: FeedQuery, body: PositionBody) -> Response:
        """`played` does not change. The item may be in any of the four spellings; the URL-safe one needs no
        percent-encoding. Without a feed, 422 `feed_required` if nothing is known of the episode, and
        `ambiguous_item` if several of the user's feeds have it."""
        command = order(
            request,
            UpdatePosition,
            item=path.item,
            position=body.position,
            speed=body.speed,
            at=body.updated_at,
            feed=body.rss_source_feed or query.feed,
        )
        here = origin_of(request)
        return dispatch_and_answer(request, command, lambda outcome: written(outcome, command, here))


def play_of(user_id: UUID, moment: datetime, body: PlayBody) -> RecordPlay:
    """Return the command that a body stands for."""
    assert body.rss_source_item is not None  # filled in from the parts where those were sent
    return RecordPlay(
        user_id=user_id,
        now=moment,
        feed=body.rss_source_feed,
        item=body.rss_source_item,
        position=body.position,
        played=body.played,
        speed=body.speed,
        at=body.played_at,
    )


def _shown(user_id: UUID, entries: Sequence[PlayEntry]) -> list[PlayStatus]:
    titles = titles_for(user_id, entries)
    return [_status(entry, titles) for entry in entries]


def _status(entry: PlayEntry, titles: Titles) -> PlayStatus:
    feed_title, item_title, cover = titles.of_episode(entry.rss_source_feed, entry.rss_source_item)
    show_episodes([entry])
    return PlayStatus(
        **msgspec.structs.asdict(entry),
        rss_feed_title=feed_title,
        rss_item_title=item_title,
        cover=cover,
    )


def written(outcome: Outcome, command: PlayCommand, here: Origin) -> PlayWritten:
    """Return the answer to a command; ``here``: where it came from."""
    feed, item = episodes.find(outcome.user, command.feed, command.item)
    assert feed is not None  # the command could not be decided without it
    key = episode_key(feed, item)
    status = msgspec.structs.replace(outcome.user.plays[key], item=item)
    found = elsewhere.newer(outcome.user, outcome.version, command, here)
    newer = None if found is None else Newer(*found)
    return PlayWritten("success", _status(REGISTER.to_entry(key, status), UNTITLED), newer)


paths = [
    path("plays", PlaysView.as_view()),
    path("plays/<path:item>/position", PositionView.as_view()),
]
