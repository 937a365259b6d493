"""/history: what a listener did, the latest arrival first, from where it came, and
whether it is still in effect."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import urlencode
from uuid import UUID

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_safe

from accounts.models import User
from eventstore import dispatcher, log
from eventstore.domain import history as events
from eventstore.domain import undoing
from eventstore.domain.messages import Event, Origin
from eventstore.domain.topics import OF_EVENT
from eventstore.domain.user import User as State
from eventstore.history_filter import HistoryFilter, HistorySource
from eventstore.log import LAST_VERSION, RecordedEvent
from eventstore.reading import decoded, origin_of, read_by_id
from eventstore.streams import StreamUnreadable
from eventstore.undo import CAUSE
from feeds.queries import episodes_of, feeds_for
from projections.queries import InvalidCursor, decode_cursor, encode_cursor
from web import event_texts, humanize, lists
from web.addresses import in_path, number_in
from web.forms import HistoryForm
from web.history_groups import HistoryLine, Subject, belong_together, stretches
from web.origins import Senders, offered, origin_of_choice, source_of
from web.shortcuts import for_listeners, is_partial

PAGE = 40
# the same where a page would end within what one sync said
LONGEST_PAGE: Final = 100
UNDO_SINCE: Final = "/history/undo-since"
# the number of latest events whose devices and podcasts are offered as choices
LOOKED_AT = 2_000
MOST_OFFERED = 100
# an event that arrived this much later than it happened shows both times
LATE: Final = timedelta(minutes=2)
# number of versions before the page's latest event in which to look for what an event replaced
REPLACED_WITHIN = 2_000


# a feed and an item, as far as an event names them
Names: TypeAlias = tuple[str | None, str | None]


class Undos(NamedTuple):
    """What undos took back: the ids of the events, and the words of some of them."""

    taken_back: frozenset[str]
    words: Mapping[str, str]


class LineContext(NamedTuple):
    """The context for wording lines: the names of apps and devices, what each event replaced, what undos took
    back, and the current state."""

    senders: Senders
    replaced: Mapping[int, str]
    undone: Undos
    now: State | None


@require_safe
@for_listeners
def history(request: HttpRequest, user: User) -> HttpResponse:
    """Show a page of the history, filtered by ``kind``, ``device`` and ``feed``; ``before`` is the cursor."""
    form = HistoryForm(request.GET)
    if not form.is_valid():
        raise BadRequest
    wanted, stream = form.cleaned_data, log.known_stream(user.pk)
    rows, following = _rows(stream, wanted) if stream is not None else ([], "")
    sources = log.history_sources(stream, LOOKED_AT) if stream is not None else []
    senders = Senders(user.pk)
    events_read = [decoded(row) for row in rows]
    feeds = _feeds_offered(sources, wanted["feed"])
    names = {names_of(event) for event in events_read if event is not None}
    subjects = subjects_of(user.pk, names | {(feed, None) for feed in feeds})
    form.offer(
        offered(sources, wanted["device"], senders),
        sorted(((feed, subjects[feed, None].title) for feed in feeds), key=lambda each: each[1].casefold()),
    )
    context = {
        "form": form,
        "stretches": stretches(_lines(user.pk, stream, rows, events_read, subjects, senders)),
        "following": form.address("/history", before=following) if following else "",
        "first": form.address("/history") if wanted["before"] else "",
        "searched": bool(wanted["kind"] or wanted["device"] or wanted["feed"]),
        "undo_all": f"{UNDO_SINCE}?{urlencode({'device': wanted['device']})}",
    }
    name = "_lines" if is_partial(request, "found") else "history"
    return render(request, f"web/history/{name}.html", context)


def _rows(stream: int, wanted: Mapping[str, str]) -> tuple[list[RecordedEvent], str]:
    """Return the events of a page, and the cursor of the next page, or ""."""
    sender = origin_of_choice(wanted["device"])
    only = HistoryFilter(
        types=event_texts.stored_names(wanted["kind"]) if wanted["kind"] else None,
        device_id=sender.device_id,
        device_name=sender.device_name,
        app_id=sender.app_id,
        feed=wanted["feed"] or None,
    )
    rows = log.read_history(stream, _version(wanted["before"]), LONGEST_PAGE + 1, only)
    size = min(PAGE, len(rows))
    while size < min(len(rows), LONGEST_PAGE) and belong_together(rows[size], rows[size - 1]):
        size += 1
    return rows[:size], encode_cursor(str(rows[size - 1].version)) if len(rows) > size else ""


def _feeds_offered(sources: Sequence[HistorySource], chosen: str) -> list[str]:
    named = dict.fromkeys(each.feed for each in sources if each.feed)
    return list(dict.fromkeys([*([chosen] if chosen else []), *named]))[:MOST_OFFERED]


def _version(cursor: str) -> int:
    """Decode a cursor. Raises ``InvalidCursor`` for text that is not a cursor of these pages."""
    if not cursor:
        return LAST_VERSION
    version = number_in(decode_cursor(cursor), LAST_VERSION)
    if not version:
        raise InvalidCursor(cursor)
    return version


def _lines(
    user_id: UUID,
    stream: int | None,
    rows: Sequence[RecordedEvent],
    read: Sequence[Event | None],
    subjects: Mapping[Names, Subject],
    senders: Senders,
) -> list[HistoryLine]:
    if stream is None:
        return []
    context = LineContext(
        senders, _replaced(stream, rows, read), undos_of(stream, rows), _known(user_id, read)
    )
    return [
        _line(row, event, subjects.get(names_of(event)) if event else None, context)
        for row, event in zip(rows, read, strict=True)
    ]


def _replaced(stream: int, rows: Sequence[RecordedEvent], read: Sequence[Event | None]) -> dict[int, str]:
    """Return what each event replaced on its arrival, in words, by its version: for plays and privacy, if
    that was said shortly before."""
    replacing = [event for event in read if event is not None and event_texts.before_words(event)]
    items = list({item for event in replacing if (item := names_of(event)[1]) is not None})
    if not rows or not replacing:
        return {}
    newest = rows[0].version
    only = HistoryFilter(types=event_texts.REPLACING, items=items or None, since=newest - REPLACED_WITHIN)
    earlier = log.read_history(stream, newest, REPLACED_WITHIN, only) if items else []
    known: dict[int, Event] = {row.version: event for row in earlier if (event := decoded(row)) is not None}
    known |= {
        row.version: event for row, event in zip(rows, read, strict=True) if event in replacing and event
    }
    found: dict[int, str] = {}
    current: dict[tuple[str, Names], Event] = {}
    for version, event in sorted(known.items()):
        key = event_texts.topic_of_event(event), names_of(event)
        before = current.get(key)
        if before is not None and events.happened_at(before) > events.happened_at(event):  # type: ignore[operator]
            continue
        if before is not None:
            found[version] = event_texts.before_words(before)
        current[key] = event
    return found


def _line(
    row: RecordedEvent, event: Event | None, subject: Subject | None, context: LineContext
) -> HistoryLine:
    before, origin = context.replaced.get(row.version, ""), origin_of(row)
    list_name, holds = _list_name(context.now, event), _holds(context.now, event)
    # starting again without having made any progress does not count as marking as not begun
    is_again = bool(before) and event is not None and before != event_texts.before_words(event)
    icon, what = event_texts.words_of(row.type, event, is_again=is_again, list_name=list_name)
    if origin.cause == CAUSE:
        icon, what = "undo-2", undid(origin, what, context.undone)
    happened_at = (events.happened_at(event) if event else None) or row.recorded_at
    is_late = row.recorded_at - happened_at > LATE
    return HistoryLine(
        icon,
        what,
        before,
        subject,
        happened_at,
        row.recorded_at if is_late else None,
        source_of(origin, context.senders),
        holds,
        f"/history/{row.event_id}/undo" if holds and event and _is_change(event, before) else "",
        row.event_id in context.undone.taken_back,
        row.version,
        row.recorded_at,
    )


def _is_change(event: Event, before: str) -> bool:
    """Whether there is something to undo: not where an event repeats what was known."""
    return undoing.is_change(event) and not (before and before == event_texts.before_words(event))


def undos_of(stream: int, rows: Sequence[RecordedEvent]) -> Undos:
    """Return what the undos among some events took back."""
    taken_back = [event_id for row in rows for event_id in origin_of(row).undoes]
    first = [undoes[0] for row in rows if (undoes := origin_of(row).undoes)]
    known = {
        row.event_id: event_texts.words_of(row.type, decoded(row))[1] for row in read_by_id(stream, first)
    }
    return Undos(frozenset(taken_back), known)


def undid(origin: Origin, what: str, undone: Undos) -> str:
    """Return an undo in words; ``what`` describes the undoing event itself, for when the event
    taken back is no longer kept."""
    words_then = undone.words.get(origin.undoes[0]) if origin.undoes else None
    if words_then is None:
        return _("By an undo: %(what)s") % {"what": what}
    more = len(origin.undoes) - 1
    if not more:
        return _("Undid: %(what)s") % {"what": words_then}
    text = ngettext("Undid: %(what)s and %(count)s more", "Undid: %(what)s and %(count)s more", more)
    return text % {"what": words_then, "count": number_format(more)}


def _known(user_id: UUID, read: Sequence[Event | None]) -> State | None:
    """Return the current state of everything that the events are about; None if it cannot be determined."""
    with suppress(StreamUnreadable):
        state = dispatcher.state_of(user_id)
        state.fetch(events.keys(event for event in read if event is not None and type(event) in OF_EVENT))
        return state.user
    return None


def _holds(state: State | None, event: Event | None) -> bool | None:
    """Whether what an event said is still in effect."""
    found = events.in_effect(state, event) if state is not None and event is not None else None
    return found.holds if found else None


def _list_name(state: State | None, event: Event | None) -> str:
    """Return the current name of the list that an event is about, or ""."""
    for many, field in (("playlists", "playlist_id"), ("collections", "collection_id")):
        list_id = getattr(event, field, None)
        if state is not None and list_id is not None and (found := getattr(state, many).get(str(list_id))):
            return lists.name_of(found)
    return ""


def names_of(event: Event) -> Names:
    return getattr(event, "rss_source_feed", None), getattr(event, "rss_source_item", None)


def subjects_of(user_id: UUID, names: Collection[Names]) -> dict[Names, Subject]:
    """Return the titles of feeds and items, and the paths of their pages."""
    known = feeds_for(user_id, {feed for feed, item in names})
    episodes = episodes_of(names, known)
    found: dict[Names, Subject] = {}
    for feed, item in names:
        if feed is None:
            continue
        podcast = (known[feed].title if feed in known else "") or humanize.host_of(feed)
        if item is None:
            found[feed, item] = Subject(podcast, f"/podcasts/{in_path(feed)}")
            continue
        episode = episodes.get((feed, item))
        title = (episode.title if episode else "") or humanize.episode_name(item)
        path = f"/episodes/{in_path(item)}?feed={in_path(feed)}"
        found[feed, item] = Subject(title, path, podcast)
    return found
