"""/subscriptions/import/…: import everything from another sync server, with its progress and its result."""

from datetime import timedelta
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID, uuid5

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe

from accounts import attempts, import_texts
from accounts.import_models import AlreadyRunning, ServerImport
from accounts.login_limits import too_many
from accounts.models import User
from accounts.pages import read_or_post
from feeds.imports import progress
from feeds.imports.progress import KINDS, Kind, Progress, Refusal
from jobs import imports
from web.forms import AddForm, ListFileForm
from web.import_forms import ServerForm
from web.read_your_writes import remember_position
from web.shortcuts import for_listeners

# imports that one listener may start: each of them could be used to guess a password elsewhere
MOST, WITHIN = 20, timedelta(hours=1)
# No result is shown sooner: the time that our own rules take to refuse an address would
# reveal what is in our network.
SOONEST: Final = timedelta(seconds=1)
# what each protocol can import
KINDS_OF: Final[dict[str, tuple[Kind, ...]]] = {"gpodder": KINDS, "nextcloud": ("podcasts", "episodes")}


class Step(NamedTuple):
    """One kind of data in an import: ``state`` is "done", "running" or "waiting". ``most``: how many there
    are, as far as that is known while it runs."""

    label: str | Promise
    state: str
    figures: str
    so_far: int
    most: int
    is_missed: bool


class RefusedRow(NamedTuple):
    what: str
    url: str
    why: str | Promise


@sensitive_post_parameters()
@read_or_post
@for_listeners
def begin(request: HttpRequest, user: User) -> HttpResponse:
    """Have a worker import what is on another server; sending the same form twice imports it once."""
    if request.method != "POST":
        return redirect("follow")
    form = ServerForm(request.POST)
    if not form.is_valid():
        return _form_again(request, form, 400)
    if (wait := attempts.count("imports", str(user.pk), MOST, WITHIN)) is not None:
        return too_many(request, wait)
    entered = form.cleaned_data
    number = uuid5(user.pk, f"import:{entered['number']}")
    now = timezone.now()
    try:
        row = ServerImport.objects.begin(
            number, user.pk, entered["server"], entered["name"], entered["password"], now
        )
    except AlreadyRunning:
        form.add_error(None, _("Another import is under way. This one can begin when it has ended."))
        return _form_again(request, form, 409)
    imports.order(row.pk)
    return redirect(_path(row))


@require_safe
@for_listeners
def shown(request: HttpRequest, user: User, import_id: UUID) -> HttpResponse:
    """Show the progress of an import, for which the page polls, and then its report."""
    row, now = get_object_or_404(ServerImport, user_id=user.pk, pk=import_id), timezone.now()
    found = progress.decode(bytes(row.progress))
    is_running = row.ended_at is None or now < row.started_at + SOONEST
    context = {
        "row": row,
        "path": _path(row),
        "host": urlsplit(row.server).netloc,
        "flavour": import_texts.FLAVOURS.get(found.flavour, ""),
        "is_running": is_running,
        "steps": [_step(found, kind, is_running) for kind in KINDS_OF.get(found.flavour, ())],
        "server_form": ServerForm(initial={"server": row.server, "name": row.name}),
        "failing": import_texts.ENDS.get(found.fault, "") if is_running and row.next_at > now else "",
        "end": import_texts.ENDS.get(row.error, import_texts.UNKNOWN_END) if row.error else "",
        "place": found.place,
        "has_news": any(found.of(kind).new for kind in KINDS),
        "is_short": found.is_short,
        "rows": [_row(refusal) for refusal in found.rows],
        "refused": sum(found.of(kind).refused for kind in KINDS),
    }
    page = render(request, "web/imports/import.html", context)
    if found.position and not is_running:
        remember_position(page, found.position)
    return page


@require_POST
@for_listeners
def cancel(request: HttpRequest, user: User, import_id: UUID) -> HttpResponse:
    """Stop the import; what has been imported by then stays."""
    row = get_object_or_404(ServerImport, user_id=user.pk, pk=import_id)
    row.cancel(timezone.now())
    return redirect(_path(row))


def running(user: User) -> dict[str, Any] | None:
    """Return what to show of an import in progress, or else of the latest one; None if there was none."""
    row = ServerImport.objects.filter(user_id=user.pk).order_by("-started_at").first()
    if row is None:
        return None
    return {"path": _path(row), "host": urlsplit(row.server).netloc, "ended_at": row.ended_at}


def _path(row: ServerImport) -> str:
    return f"/subscriptions/import/{row.pk}"


def _form_again(request: HttpRequest, form: ServerForm, status: int) -> HttpResponse:
    context = {"form": AddForm(), "file_form": ListFileForm(), "server_form": form}
    return render(request, "web/subscriptions/new.html", context, status=status)


def _step(found: Progress, kind: Kind, is_running: bool) -> Step:
    of, stages = found.of(kind), (*KINDS, "done")
    reached = stages.index(found.stage) if found.stage in stages else -1
    place = stages.index(kind)
    state = "done" if place < reached else "running" if place == reached and is_running else "waiting"
    so_far = of.new + of.known + of.refused
    figures = _("being fetched") if state == "running" and not so_far else _in_words(of)
    is_missed = kind in found.missed
    if is_missed:
        figures = " · ".join([figures, _("the rest could not be read")]) if so_far else _("could not be read")
    most = max(found.expected, so_far)
    return Step(import_texts.KINDS[kind], state, figures, so_far, most, is_missed)


def _in_words(of: progress.Counts) -> str:
    """Return the counts in words: "12 new · 3 there already"."""
    if not (of.new or of.known or of.refused):
        return _("nothing there")
    parts = [
        ngettext("%(number)s new", "%(number)s new", of.new) % {"number": number_format(of.new)},
        ngettext("%(number)s there already", "%(number)s there already", of.known)
        % {"number": number_format(of.known)},
        ngettext("%(number)s refused", "%(number)s refused", of.refused)
        % {"number": number_format(of.refused)},
    ]
    counts = (True, of.known, of.refused)
    return " · ".join(part for part, count in zip(parts, counts, strict=True) if count)


def _row(refusal: Refusal) -> RefusedRow:
    what = import_texts.ONES[refusal.kind] % {"number": refusal.number}
    return RefusedRow(
        what, refusal.text, import_texts.REFUSALS.get(refusal.code, import_texts.UNKNOWN_REFUSAL)
    )
