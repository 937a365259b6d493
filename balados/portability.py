"""/settings/data: exports all data of a listener as one file, and imports such a file. This module joins the
pages and the API, which do not import each other: the file format is the API's."""

import msgspec
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe
from msgspec import Struct
from rest_framework.exceptions import APIException

from accounts.models import User
from accounts.pages import read_or_post
from api.errors import FieldError, Invalid
from api.parsers import decode
from api.v1.export import DISPOSITION, MOST_ENTRIES, ImportBody, document, parts_of
from api.v1.listening import import_of
from api.validation import Refusal
from eventstore import log, retention
from eventstore.domain import sync
from projections import exposure
from web.forms import EXPORT_FAULTS, ExportFileForm, ListFileForm
from web.read_your_writes import caught_up, remember_position
from web.shortcuts import for_listeners, send

# the most faults of a file that are shown
MOST_SHOWN = 100


class Merged(Struct):
    """The outcome of an import: numbers of events and conflicts, and the entries that were refused because of
    their addresses."""

    recorded: int
    conflicts: int
    refused: list[Refusal]


@read_or_post
@for_listeners
def data(request: HttpRequest, user: User) -> HttpResponse:
    """Show the page for exports and imports; a POST merges an export into the account."""
    if request.method != "POST":
        return _page(request, ExportFileForm())
    form = ExportFileForm(request.POST, request.FILES)
    faults: list[FieldError] = []
    if form.is_valid():
        try:
            body = decode(ImportBody, form.cleaned_data["file"].read(), MOST_ENTRIES)
        except Invalid as error:
            faults = list(error.errors)
            form.add_error("file", EXPORT_FAULTS["invalid"])
        except APIException:
            form.add_error("file", EXPORT_FAULTS["unreadable"])
    if not form.is_valid():
        return _page(request, form, faults, status=400)
    return _merge(request, user, body)


@require_safe
@for_listeners
def take_out(request: HttpRequest, user: User) -> HttpResponse:
    """Return the API's export as a file; ``events=false`` leaves out the history of events."""
    with caught_up(request, "public_events"):
        activity = exposure.activity(user.pk)
    content, _position = document(user.pk, activity, with_events=request.GET.get("events") != "false")
    headers = {"Content-Disposition": DISPOSITION}
    return HttpResponse(content, content_type="application/json", headers=headers)


def _merge(request: HttpRequest, user: User, body: ImportBody) -> HttpResponse:
    heard = send(request, import_of(body.listening, user.pk, timezone.now()))
    merged = Merged(len(heard.events), 0, body.refused)
    for part in parts_of(body, user.pk, timezone.now()):
        outcome = send(request, part)
        merged.recorded += len(outcome.events)
        merged.conflicts += sum(1 for _ in sync.conflicts(outcome.user, part))
    if merged.recorded:
        retention.note_growth(log.stream_of(user.pk), settings.CHECKPOINT_EVERY)
    page = render(request, "web/account/imported.html", msgspec.structs.asdict(merged))
    remember_position(page, outcome.position)
    return page


def _page(
    request: HttpRequest, form: ExportFileForm, faults: list[FieldError] | None = None, status: int = 200
) -> HttpResponse:
    shown = [{"place": fault.attr or "", "code": fault.code} for fault in (faults or [])[:MOST_SHOWN]]
    context = {"form": form, "list_form": ListFileForm(auto_id="list_%s"), "faults": shown}
    return render(request, "web/account/data.html", context, status=status)
