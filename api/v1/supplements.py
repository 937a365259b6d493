"""An episode's chapters and transcript, if its feed links to them: each in one shape, as text only."""

import time
from datetime import timedelta
from typing import Any, Final, Literal

from django.urls import path
from msgspec import Struct
from rest_framework.exceptions import NotFound, Throttled
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import attempts
from api import answers
from api.answers import Success
from api.auth import caller_of
from api.clock import now
from api.episodes import FeedQuery, ItemPath
from api.errors import ApiError
from api.operations import operation
from api.views import View
from eventstore.domain.naming import Episode as Named
from eventstore.domain.naming import EpisodeName, choose
from feeds import chapters, queries, supplements
from feeds.chapters import EpisodeChapter, stored_chapters
from feeds.models import Episode
from feeds.states import ERRORS, UNKNOWN
from feeds.supplements import Kind, Source
from feeds.transcripts import Segment, stored_segments
from jobs import celery_app
from projections.connect import run
from projections.queries import EPISODES_OF

SCOPE: Final = "user.plays.read"
TASK: Final = "jobs.documents.fetch"
PATIENCE, LOOK_EVERY, COME_AGAIN = 8.0, 0.1, 5
# limit of documents that are fetched for one listener within that time
MOST, WITHIN = 60, timedelta(hours=1)
FAULTS: Final = {
    404: "There is no such episode, or its feed provides none for it.",
    502: "The document could not be fetched or read; the error code says why.",
}
WORDS: Final = {
    **{code: text.replace("feed", "document") for code, text in ERRORS.items()},
    "unreadable": "It is in no form that can be read.",
}


class Chapters(Struct):
    """`start` is in seconds. `image` and `link` are addresses on publishers' servers."""

    chapters: list[EpisodeChapter]


class Transcript(Struct):
    """`language` is as given in the feed. `start` and `end` are in seconds; `speaker` is present if it is
    known."""

    language: str | None
    segments: list[Segment]


class BeingFetched(Struct):
    """The document is being fetched. Ask again."""

    status: Success
    state: Literal["queued"]


class _BeingFetched(Exception):
    pass


class SupplementView(View):
    scopes = {"GET": SCOPE}

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, _BeingFetched):
            body = BeingFetched("success", "queued")
            position = answers.account_position(self.request)
            response = answers.answer(body, position, 202)
            response.headers["Retry-After"] = str(COME_AGAIN)
            return response
        return super().handle_exception(exc)


class ChaptersView(SupplementView):
    @operation("Show chapters", answers={200: Chapters, 202: BeingFetched}, errors=FAULTS)
    def get(self, request: Request, path: ItemPath, query: FeedQuery) -> Response:
        """From the feed itself, or from the document that it links to, which is fetched when it is first
        asked for: that takes up to 8 seconds; the answer is 202 if it takes longer."""
        episode = _episode(request, query.feed, path.item)
        found = chapters.in_feed(episode.extra)
        if not found:
            _, content = _document(request, "chapters", episode)
            found = stored_chapters(content)
        return answers.answer(Chapters(found), answers.account_position(request))


class TranscriptView(SupplementView):
    @operation("Show a transcript", answers={200: Transcript, 202: BeingFetched}, errors=FAULTS)
    def get(self, request: Request, path: ItemPath, query: FeedQuery) -> Response:
        """From the document that the feed links to, as for chapters; of several documents, the one in the
        most informative format."""
        episode = _episode(request, query.feed, path.item)
        source, content = _document(request, "transcript", episode)
        segments = stored_segments(content)
        return answers.answer(Transcript(source.language, segments), answers.account_position(request))


def _episode(request: Request, feed: str | None, item: str) -> Episode:
    """Return the requested episode. Raises ``NotFound``, ``DomainError`` ``ambiguous_item``."""
    user_id = caller_of(request).user_id
    if feed is None:
        known = map(Named._make, run(EPISODES_OF, {"user": user_id}))
        feed, item = choose(known, EpisodeName(None, item))
    shows = queries.feeds_for(user_id, [feed])
    found = list(queries.episodes_of([(feed, item)], shows).values())
    if not found:
        raise NotFound("No such episode.")
    return Episode.objects.get(pk=found[0].id)


def _document(request: Request, kind: Kind, episode: Episode) -> tuple[Source, bytes]:
    """Return the source of the document, and what was read of it, as JSON. Raises ``ApiError``,
    ``Throttled``, ``_BeingFetched``."""
    source = supplements.source_of(kind, episode.extra)
    if source is None:
        raise ApiError(404, f"no_{kind}", f"The feed names no {kind} of this episode.")
    kept = supplements.find(kind, source.url, now())
    if kept is None:
        _ask(request, kind, episode)
        kept = _wait(kind, source)
    if kept.error:
        raise ApiError(502, kept.error, WORDS.get(kept.error, UNKNOWN))
    return source, bytes(kept.content)


def _ask(request: Request, kind: Kind, episode: Episode) -> None:
    """Have the document fetched. Raises ``Throttled``, and ``_BeingFetched`` if Redis is unavailable."""
    waits = attempts.limited("documents", str(caller_of(request).user_id), MOST, WITHIN)
    if waits is not None:
        raise Throttled(waits.total_seconds())
    if attempts.is_away():
        raise _BeingFetched
    celery_app.send_task(TASK, [kind, episode.pk], retry=False)


def _wait(kind: Kind, source: Source) -> Any:
    """Wait for the document and return it. Raises ``_BeingFetched``."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        kept = supplements.find(kind, source.url, now())
        if kept is not None:
            return kept
        time.sleep(LOOK_EVERY)
    raise _BeingFetched


paths = [
    path("episodes/<path:item>/chapters", ChaptersView.as_view()),
    path("episodes/<path:item>/transcript", TranscriptView.as_view()),
]
