"""The chapters and the transcript of an episode: from its feed, or from a document that the feed links to."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from accounts import attempts
from accounts.models import User
from feeds import chapters, supplements
from feeds.browsing import EpisodeRow
from feeds.chapters import EpisodeChapter, stored_chapters
from feeds.models import FetchedDocument
from feeds.supplements import Kind
from feeds.transcripts import Segment, stored_segments
from jobs import documents
from web.addresses import asked_feed
from web.display import Chapter
from web.episode_details import find, seconds_in
from web.shortcuts import for_listeners, is_partial

MOST_CHAPTERS: Final = 500
# documents that one listener may have fetched, by pages and apps together
MOST, WITHIN = 60, timedelta(hours=1)
# length of a paragraph: paragraphs are easier to read, and to jump to, than the single lines of subtitles
LONGEST_PARAGRAPH: Final = 240  # characters
# seconds after which a page asks again whether the document has arrived, and for how long in total
POLL, PATIENCE = 2, 40
FAULTS: Final = {
    "unreadable": _("It is in a form that cannot be read."),
    "not_found": _("There is nothing at the address that the feed names."),
    "too_large": _("It is too large."),
}
UNKNOWN: Final = _("It could not be fetched. It can be tried again in five minutes.")
TOO_MANY: Final = _("You have had many fetched in a short time. Come back in an hour.")


class Paragraph(NamedTuple):
    """A paragraph of a transcript; ``start`` is in seconds."""

    start: int
    speaker: str
    text: str


def chapters_in_feed(row: EpisodeRow | None) -> list[Chapter]:
    """Return the chapters that the feed itself contains."""
    return [] if row is None else _listed(chapters.in_feed(row.extra))


def chapters_of(row: EpisodeRow | None, now: datetime) -> list[Chapter]:
    """Return the chapters in the feed, or else those of the document that the feed
    links to, if it has been fetched."""
    found = chapters_in_feed(row)
    if row is None or found:
        return found
    kept = _kept("chapters", row, now)
    if kept is None or kept.error:
        return []
    return _listed(stored_chapters(bytes(kept.content)))


def _listed(chapters: Sequence[EpisodeChapter]) -> list[Chapter]:
    return [Chapter.of(each) for each in chapters[:MOST_CHAPTERS]]


def paragraphs(segments: Sequence[Segment]) -> Iterator[Paragraph]:
    """Join segments of one speaker into paragraphs of limited length."""
    sentences: list[str] = []
    first = None
    for segment in segments:
        is_full = sentences and sum(map(len, sentences)) + len(segment.text) > LONGEST_PARAGRAPH
        if first is not None and (is_full or (segment.speaker or first.speaker) != first.speaker):
            yield Paragraph(int(first.start), first.speaker or "", " ".join(sentences))
            sentences, first = [], None
        first = first or segment
        sentences.append(segment.text)
    if first is not None:
        yield Paragraph(int(first.start), first.speaker or "", " ".join(sentences))


def names(kind: Kind, row: EpisodeRow | None) -> bool:
    """Whether the feed links to such a document for the episode."""
    return row is not None and supplements.source_of(kind, row.extra) is not None


@require_safe
@for_listeners
def transcript(request: HttpRequest, user: User, item: str) -> HttpResponse:
    """Show the transcript of an episode; for htmx a fragment of its page, which asks again while
    the document is being fetched."""
    return _document(request, user, item, "transcript")


@require_safe
@for_listeners
def chapter_list(request: HttpRequest, user: User, item: str) -> HttpResponse:
    """Show the chapters of a document that the feed links to, in the same way."""
    return _document(request, user, item, "chapters")


def _document(request: HttpRequest, user: User, item: str, kind: Kind) -> HttpResponse:
    found, now = find(user.pk, asked_feed(request), item), timezone.now()
    if found.row is None or not names(kind, found.row):
        raise Http404
    kept, waited = _kept(kind, found.row, now), seconds_in(request, "waited")
    context: dict[str, Any] = {"episode": found.episode, "kind": kind, "waited": (waited or 0) + POLL}
    if kept is None and waited is None:
        context["fault"] = _ask(user, kind, found.row)
    elif kept is None:
        context["fault"] = UNKNOWN if waited and waited >= PATIENCE else ""
    elif kept.error:
        context["fault"] = FAULTS.get(kept.error, UNKNOWN)
    else:
        context |= _contents(kind, found.row, kept, now)
    name = f"_{kind}" if is_partial(request) else "document"
    return render(request, f"web/episodes/{name}.html", context)


def _contents(kind: Kind, row: EpisodeRow, kept: FetchedDocument, now: datetime) -> dict[str, Any]:
    if kind == "chapters":
        return {"chapters": chapters_of(row, now)}
    source = supplements.source_of(kind, row.extra)
    segments = stored_segments(bytes(kept.content))
    return {"paragraphs": list(paragraphs(segments)), "spoken": source.language if source else None}


def _kept(kind: Kind, row: EpisodeRow, now: datetime) -> FetchedDocument | None:
    source = supplements.source_of(kind, row.extra)
    return None if source is None else supplements.find(kind, source.url, now)


def _ask(user: User, kind: Kind, row: EpisodeRow) -> str | Promise:
    """Have the document fetched; return why that is not done, or ""."""
    if attempts.limited("documents", str(user.pk), MOST, WITHIN) is not None:
        return TOO_MANY
    if attempts.is_away():
        return UNKNOWN
    documents.fetch.apply_async((kind, row.id), retry=False)
    return ""
