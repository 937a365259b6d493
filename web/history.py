"""/history: what a listener did, the newest arrival first, from where, and whether it still holds."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts import grants
from accounts.models import User
from eventstore import dispatcher, log
from eventstore.domain import history as events
from eventstore.domain.messages import Event
from eventstore.domain.topics import OF_EVENT
from eventstore.log import LAST_VERSION, RecordedEvent
from eventstore.reading import decoded, origin_of
from eventstore.streams import StreamUnreadable
from feeds.queries import episodes_of, feeds_for
from projections.queries import InvalidCursor, decode_cursor, encode_cursor
from web import deeds, words
from web.acting import for_listeners
from web.addresses import in_path
from web.forms import HistoryForm

PAGE = 60
# events looked at for a page of one kind
LOOKED_AT = 2_000
# an event that arrived so much later than it happened says both
LATE: Final = timedelta(minutes=2)


class Subject(NamedTuple):
    """The podcast or episode that something was done with: what leads there."""

    title: str
    path: str
    podcast: str = ""


class Line(NamedTuple):
    """An event in words. ``arrived_at``: where it came much later than it happened. ``holds``: whether what
    it said is still so; None where it cannot be told."""

    icon: str
    what: str
    subject: Subject | None
    happened_at: datetime
    arrived_at: datetime | None
    source: str
    holds: bool | None


@require_safe
@for_listeners
def history(request: HttpRequest, user: User) -> HttpResponse:
    """A page of it; ``kind`` is the topic of what is shown, ``before`` goes on."""
    form = HistoryForm(request.GET)
    if not form.is_valid():
        raise BadRequest
    rows, following = _rows(user.pk, form.cleaned_data["kind"], _version(form.cleaned_data["before"]))
    context = {
        "form": form,
        "lines": _lines(user.pk, rows),
        "following": form.address("/history", before=following) if following else "",
        "first": form.address("/history") if form.cleaned_data["before"] else "",
        "searched": form.cleaned_data["kind"],
    }
    return render(request, "web/history/history.html", context)


def _rows(user_id: UUID, kind: str, before: int) -> tuple[list[RecordedEvent], str]:
    """The events of a page, and the cursor of the next, or ""."""
    stream = log.known_stream(user_id)
    if stream is None:
        return [], ""
    most = LOOKED_AT if kind else PAGE
    read = log.read_history(stream, before, most + 1)
    found = [row for row in read[:most] if not kind or deeds.topic_of(row.type) == kind][:PAGE]
    if len(found) == PAGE and (len(read) > most or found[-1].version != read[-1].version):
        return found, encode_cursor(str(found[-1].version))
    return found, encode_cursor(str(read[most - 1].version)) if len(read) > most else ""


def _version(cursor: str) -> int:
    """Raises ``BadRequest`` for text that no page gave out."""
    if not cursor:
        return LAST_VERSION
    try:
        text = decode_cursor(cursor)
    except InvalidCursor:
        raise BadRequest from None
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= LAST_VERSION):
        raise BadRequest
    return int(text)


def _lines(user_id: UUID, rows: Sequence[RecordedEvent]) -> list[Line]:
    read = [decoded(row) for row in rows]
    subjects = _subjects(user_id, [event for event in read if event is not None])
    holding = _holding(user_id, read)
    apps = {grant.app_id: grant.name for grant in grants.list_grants(user_id)}
    return [
        _line(row, event, subjects.get(_names(event)) if event else None, holds, apps)
        for row, event, holds in zip(rows, read, holding, strict=True)
    ]


def _line(
    row: RecordedEvent, event: Event | None, subject: Subject | None, holds: bool | None, apps: dict[str, str]
) -> Line:
    icon, what = deeds.words_of(row.type, event)
    happened_at = (events.happened_at(event) if event else None) or row.recorded_at
    origin = origin_of(row)
    source = [apps.get(origin.app_id or "", origin.app_id or ""), origin.device_name or ""]
    is_late = row.recorded_at - happened_at > LATE
    return Line(
        icon,
        what,
        subject,
        happened_at,
        row.recorded_at if is_late else None,
        " · ".join(each for each in source if each),
        holds,
    )


def _holding(user_id: UUID, read: Sequence[Event | None]) -> list[bool | None]:
    """Of each event whether what it said is still so."""
    told: list[bool | None] = [None] * len(read)
    with suppress(StreamUnreadable):
        state = dispatcher.state_of(user_id)
        state.fetch(events.keys(event for event in read if event is not None and type(event) in OF_EVENT))
        for number, event in enumerate(read):
            found = events.in_effect(state.user, event) if event is not None else None
            told[number] = found.holds if found else None
    return told


def _names(event: Event) -> tuple[str | None, str | None]:
    return getattr(event, "rss_source_feed", None), getattr(event, "rss_source_item", None)


def _subjects(user_id: UUID, read: Sequence[Event]) -> dict[tuple[str | None, str | None], Subject]:
    """What the events name, by feed and item."""
    names = {_names(event) for event in read}
    known = feeds_for(user_id, {feed for feed, item in names})
    episodes = episodes_of(names, known)
    found: dict[tuple[str | None, str | None], Subject] = {}
    for feed, item in names:
        if feed is None:
            continue
        podcast = (known[feed].title if feed in known else "") or words.host_of(feed)
        if item is None:
            found[feed, item] = Subject(podcast, f"/podcasts/{in_path(feed)}")
            continue
        episode = episodes.get((feed, item))
        title = (episode.title if episode else "") or words.episode_name(item)
        path = f"/episodes/{in_path(item)}?feed={in_path(feed)}"
        found[feed, item] = Subject(title, path, podcast)
    return found
