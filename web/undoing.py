"""/history/…/undo: undoing what was done, after a preview of what changes; also used by toasts."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import User
from accounts.pages import read_or_post
from eventstore import log, undo
from eventstore.dispatcher import DomainError
from eventstore.domain import history as events
from eventstore.domain.messages import Origin
from eventstore.domain.undoing import Change, Skipped
from eventstore.log import LAST_VERSION
from eventstore.reading import origin_of
from eventstore.undo import Chosen, NoSuchEvent, Undo, Undone, UndoRefused
from jobs.announcing import announce
from web import event_texts, undo_texts
from web.addresses import number_in
from web.forms import UndoForm
from web.history import (
    LOOKED_AT,
    UNDO_SINCE,
    Names,
    names_of,
    subjects_of,
)
from web.history_groups import Subject
from web.origins import Senders, choice_of, offered, source_of
from web.read_your_writes import redirect_after
from web.shortcuts import came_from, device_name, for_listeners, is_partial
from web.toasts import tell, undo_between

PATH: Final = "/history"
# the number of changes, and of events that stay, that are shown
MOST_SHOWN: Final = 100
REASONS: Final = {
    "later_changes": gettext_lazy("Something that was done later builds on it."),
    "too_old": gettext_lazy("What was before is not kept any more: single steps go after a while."),
    "nothing_to_undo": gettext_lazy("Everything is as it was before already."),
    "not_undoable": gettext_lazy("This cannot be taken back."),
}


class ChangeLine(NamedTuple):
    """A change in words: the future state, and the current one where that adds information."""

    icon: str
    what: str
    now: str
    subject: Subject | None


class StaysLine(NamedTuple):
    """An event that is not undone, and the reason; ``later`` are the later events that build on it."""

    icon: str
    what: str
    subject: Subject | None
    reason: str
    later: "list[LaterLine]"


class LaterLine(NamedTuple):
    icon: str
    what: str
    subject: Subject | None
    happened_at: datetime
    source: str


class KnownNames(NamedTuple):
    """The names of podcasts and episodes, and of apps and devices."""

    subjects: Mapping[Names, Subject]
    senders: Senders


class UndoPreview(NamedTuple):
    """What pages show of an undo; ``more`` and ``more_staying`` are the numbers of entries left out."""

    changes: list[ChangeLine]
    more: int
    staying: list[StaysLine]
    more_staying: int


@read_or_post
@for_listeners
def one(request: HttpRequest, user: User, event_id: UUID) -> HttpResponse:
    """Show what would change if an event were undone, or why it cannot be undone. A POST undoes it."""
    chosen, now = Chosen(event_id=event_id), timezone.now()
    context: dict[str, Any] = {"action": f"{PATH}/{event_id}/undo", "back": PATH}
    try:
        if request.method == "POST":
            return _done(request, _undo(request, user, chosen, now), came_from(request, PATH))
        found = undo.preview(user.pk, chosen, now)
    except NoSuchEvent:
        raise Http404 from None
    except UndoRefused as refused:
        found, context["refused"] = refused.undo, str(REASONS[refused.code])
    known = _known(user.pk, found, Senders(user.pk))
    context |= {"shown": _shown(found, known), "chosen": _later(found, _first(found), known)}
    context["since"] = _path_since(found)
    return _page(request, context)


@read_or_post
@for_listeners
def undo_range(request: HttpRequest, user: User) -> HttpResponse:
    """Show what would change if the events with versions after ``after`` up to ``upto`` were undone, except
    those on which later events build. A POST undoes them."""
    after, upto = _version(request, "after"), _version(request, "upto")
    back, now = came_from(request, PATH), timezone.now()
    chosen = Chosen(after=after, upto=upto)
    context: dict[str, Any] = {"action": request.get_full_path(), "back": PATH}
    try:
        if request.method == "POST":
            return _done(request, _undo(request, user, chosen, now), back)
        found = undo.preview(user.pk, chosen, now)
    except DomainError as refused:
        if request.method == "POST":
            tell(request, str(REASONS[refused.code]))
            return redirect(back)
        context["refused"] = str(REASONS[refused.code])
    else:
        context["shown"] = _shown(found, _known(user.pk, found, Senders(user.pk)))
    return _page(request, context)


@read_or_post
@for_listeners
def since(request: HttpRequest, user: User) -> HttpResponse:
    """Show what would change if everything that came from a device since some time
    were undone. A POST undoes it."""
    now, stream = timezone.now(), log.known_stream(user.pk)
    data = request.POST if request.method == "POST" else request.GET
    is_asked = "since" in data or "at" in data
    form = UndoForm(data if is_asked else None, initial=data.dict(), now=now)
    sources = log.history_sources(stream, LOOKED_AT) if stream is not None else []
    senders = Senders(user.pk)
    form.offer(offered(sources, data.get("device", ""), senders))
    context: dict[str, Any] = {"form": form, "action": UNDO_SINCE}
    if form.is_bound and form.is_valid():
        chosen = form.chosen()
        try:
            if request.method == "POST":
                return _done(request, _undo(request, user, chosen, now), PATH)
            found = undo.preview(user.pk, chosen, now)
            context["shown"] = _shown(found, _known(user.pk, found, senders))
            context["moment"] = chosen.since
        except DomainError as refused:
            context["refused"] = str(REASONS[refused.code])
    name = "_since" if is_partial(request, "found") else "since"
    return render(request, f"web/history/{name}.html", context, status=400 if form.errors else 200)


def _page(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """Answer with a preview: in the page's dialog, or on a page of its own."""
    name = "_undo" if is_partial(request, "dialog") else "undo"
    return render(request, f"web/history/{name}.html", context)


def _undo(request: HttpRequest, user: User, chosen: Chosen, now: datetime) -> Undone:
    done = undo.undo(user.pk, chosen, Origin(device_name=device_name(request)), now)
    announce(done.events)
    return done


def _done(request: HttpRequest, done: Undone, back: str) -> HttpResponse:
    staying = done.undo.plan.skipped if done.undo else []
    if not done.events:
        tell(request, str(REASONS[staying[0].reason] if staying else REASONS["nothing_to_undo"]))
        return redirect(back)
    text = _("Undone, but for what later changes build on.") if staying else _("Undone.")
    tell(request, text, undo=undo_between(done.version - len(done.events), done.version))
    return redirect_after(done.position, back)


def _version(request: HttpRequest, name: str) -> int:
    """Return a version from the query. Raises ``BadRequest`` if it is invalid."""
    version = number_in(request.GET.get(name, ""), LAST_VERSION)
    if version is None:
        raise BadRequest
    return version


def _known(user_id: UUID, found: Undo, senders: Senders) -> KnownNames:
    """Return the names for all that is shown of an undo: what it changes, what stays, and
    the first event that is undone."""
    changes, staying = found.plan.changes[:MOST_SHOWN], found.plan.skipped[:MOST_SHOWN]
    numbers = {number for one in staying for number in (one.number, *one.later[:MOST_SHOWN])}
    events = [found.history[number].event for number in numbers]
    events += [each.event for each in found.history if each.is_chosen][:1]
    names = {change.subject for change in changes} | {names_of(event) for event in events}
    return KnownNames(subjects_of(user_id, names), senders)


def _shown(found: Undo, known: KnownNames) -> UndoPreview:
    changes, staying = found.plan.changes[:MOST_SHOWN], found.plan.skipped[:MOST_SHOWN]
    return UndoPreview(
        [_change_line(change, known) for change in changes],
        len(found.plan.changes) - len(changes),
        [_stays(found, one, known) for one in staying],
        len(found.plan.skipped) - len(staying),
    )


def _change_line(change: Change, known: KnownNames) -> ChangeLine:
    icon, what, now = undo_texts.words_of(change)
    return ChangeLine(icon, what, now, known.subjects.get(change.subject))


def _stays(found: Undo, one: Skipped, known: KnownNames) -> StaysLine:
    event = found.history[one.number].event
    icon, what = event_texts.words_of(found.rows[one.number].type, event)
    later = [_later(found, number, known) for number in one.later[:MOST_SHOWN]]
    return StaysLine(icon, what, known.subjects.get(names_of(event)), str(REASONS[one.reason]), later)


def _later(found: Undo, number: int, known: KnownNames) -> LaterLine:
    row, event = found.rows[number], found.history[number].event
    icon, what = event_texts.words_of(row.type, event)
    at = events.happened_at(event) or row.recorded_at
    subject = known.subjects.get(names_of(event))
    return LaterLine(icon, what, subject, at, source_of(origin_of(row), known.senders))


def _first(found: Undo) -> int:
    """Return the number of the first event that was to be undone."""
    return next(number for number, one in enumerate(found.history) if one.is_chosen)


def _path_since(found: Undo) -> str:
    """Return the path that undoes everything that the same device did from this event on;
    "" if the device is not known."""
    row = found.rows[_first(found)]
    origin = origin_of(row)
    device = choice_of(origin.app_id, origin.device_id, origin.device_name)
    if not device:
        return ""
    return f"{UNDO_SINCE}?{urlencode({'device': device, 'since': row.recorded_at.isoformat()})}"
