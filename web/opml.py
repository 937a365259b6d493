"""Lists of podcasts as files: export as OPML, and import from other programs."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.models import User
from accounts.pages import read_or_post
from eventstore import dispatcher, log, retention
from feeds import libraries
from feeds.opml import MEDIA_TYPE, BadRow, FeedList, OpmlRefused, read_opml
from web.forms import CUT_OFF, FAULTS, OPML_FAULTS, UNUSABLE, AddForm, ListFileForm
from web.import_forms import ServerForm
from web.read_your_writes import remember_position
from web.shortcuts import for_listeners, send

# the number of refused rows that are shown
MOST_SHOWN = 500
REASONS = {**FAULTS, "cut_off": CUT_OFF}


@require_safe
@for_listeners
def take_out(request: HttpRequest, user: User) -> HttpResponse:
    """Export what the listener follows; with ``include=secret`` also the feed
    addresses that contain a secret."""
    with_secrets = request.GET.get("include") == "secret"
    document = libraries.export_of(dispatcher.state_of(user.pk).read_whole(), with_secrets=with_secrets)
    headers = {"Content-Disposition": 'attachment; filename="balados-subscriptions.opml"'}
    return HttpResponse(document, content_type=f"{MEDIA_TYPE}; charset=utf-8", headers=headers)


@read_or_post
@for_listeners
def bring(request: HttpRequest, user: User) -> HttpResponse:
    """Follow what a file lists, and report what was new, what was already followed,
    and what was refused and why."""
    if request.method != "POST":
        return redirect("follow")
    form = ListFileForm(request.POST, request.FILES)
    listed = _read(form) if form.is_valid() else None
    if listed is None:
        forms = {"form": AddForm(), "file_form": form, "server_form": ServerForm()}
        return render(request, "web/subscriptions/new.html", forms, status=400)
    known = dispatcher.state_of(user.pk).read_whole()
    found = libraries.import_of(listed, known, timezone.now(), with_folders=True)
    outcome = send(request, found.command)
    if outcome.events:
        retention.note_growth(log.stream_of(user.pk), settings.CHECKPOINT_EVERY)
    context = {
        "imported": found.new,
        "already": found.known,
        "folders": found.folders,
        "bad": [_refused(row) for row in listed.bad[:MOST_SHOWN]],
        "bad_count": len(listed.bad),
    }
    page = render(request, "web/subscriptions/imported.html", context)
    remember_position(page, outcome.position)
    return page


def _read(form: ListFileForm) -> FeedList | None:
    """Return the list in the file; None if it is refused, with the reason added to the form."""
    file = form.cleaned_data["file"]
    try:
        return read_opml(file.read(), file.content_type or "")
    except OpmlRefused as refusal:
        form.add_error("file", OPML_FAULTS[refusal.code])
        return None


def _refused(row: BadRow) -> dict[str, Any]:
    return {"line": row.line, "url": row.url, "why": REASONS.get(row.code, UNUSABLE)}
