"""The pages of playlists and collections: the overview of all, and one list with its members."""

from typing import Any
from urllib.parse import quote
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.models import User
from accounts.pages import read_or_post
from eventstore.domain.errors import DomainError
from eventstore.domain.playlists import queue_id
from web import collections, list_actions, playlists
from web.list_context import page_of
from web.lists import ListKind, ListSummary
from web.paging import cut
from web.read_your_writes import caught_up, redirect_after
from web.shortcuts import act, for_listeners, is_partial
from web.toasts import tell, undo_of

PAGE = 48


@require_safe
@for_listeners
def overview(request: HttpRequest, user: User, kind: ListKind) -> HttpResponse:
    """Show all lists of a kind by name, in pages; ``after`` is the id of the
    last list on the previous page."""
    with caught_up(request, kind.many, "subscriptions"):
        lists = kind.all_of(user.pk)
        page, following = cut(lists, lambda each: str(each.id), request.GET.get("after", ""), PAGE)
        shown = kind.pictures(user.pk, page)
    context = {
        "kind": kind,
        "lists": shown,
        "following": f"{kind.path}?after={following}" if following else "",
        "first": kind.path if "after" in request.GET else "",
    }
    return render(request, "web/lists/lists.html", context)


@require_safe
@for_listeners
def one(request: HttpRequest, user: User, kind: ListKind, list_id: UUID) -> HttpResponse:
    """Show a list and its members; ``after`` is the cursor, and ``arrange`` shows the
    controls for reordering on a phone."""
    if kind.is_playlists and list_id == queue_id(user.pk):
        return redirect("queue")
    with caught_up(request, kind.many, "plays", "subscriptions"):
        context = page_of(user.pk, kind, list_id, request.GET.get("after", ""))
        [context["list"]] = kind.pictures(user.pk, [context["list"]])
    listed: ListSummary = context["list"]
    context["is_arranged"] = "arrange" in request.GET
    context["public_path"] = f"/u/{quote(user.username)}{listed.path}" if listed.is_public else ""
    context["share"] = f"{settings.PUBLIC_URL}{context['public_path']}"
    return render(request, "web/lists/list.html", context)


@read_or_post
@for_listeners
def new(request: HttpRequest, user: User, kind: ListKind) -> HttpResponse:
    """Create a list. Sending the form twice creates only one."""
    if request.method != "POST":
        return _form(request, kind, kind.form(), None)
    form = kind.form(request.POST)
    if not form.is_valid():
        return _form(request, kind, form, None)
    list_id = form.new_id
    try:
        outcome = act(request, user, kind.commands.create, **{kind.id: list_id}, **form.command_fields())
    except DomainError:  # sent twice with different content, or created and changed since
        messages.info(request, str(kind.words.exists))
        return redirect(f"{kind.path}/{list_id}")
    if outcome.events:
        tell(request, kind.words.made % {"list": form.cleaned_data["name"]})
    return redirect_after(outcome.position, f"{kind.path}/{list_id}")


@read_or_post
@for_listeners
def edit(request: HttpRequest, user: User, kind: ListKind, list_id: UUID) -> HttpResponse:
    """Edit the name, description, visibility and colour of a list."""
    with caught_up(request, kind.many):
        listed = kind.find(user.pk, list_id)
    if request.method != "POST":
        initial = {**listed._asdict(), "is_public": "yes" if listed.is_public else "no"}
        return _form(request, kind, kind.form(initial=initial), listed)
    form = kind.form(request.POST, initial={"color": listed.color})
    if not form.is_valid():
        return _form(request, kind, form, listed)
    try:
        outcome = act(request, user, kind.commands.update, **{kind.id: list_id}, **form.command_fields())
    except DomainError:  # the list was deleted in the meantime
        raise Http404 from None
    if outcome.events:
        tell(request, _("Saved."), undo=undo_of(outcome))
    return redirect_after(outcome.position, listed.page)


@require_POST
@for_listeners
def delete(request: HttpRequest, user: User, kind: ListKind, list_id: UUID) -> HttpResponse:
    """Delete a list; the toast offers to restore it with its members. Sending it twice deletes it once."""
    with caught_up(request, kind.many):
        listed = kind.find_deleted(user.pk, list_id) or kind.find(user.pk, list_id)
    try:
        outcome = act(request, user, kind.commands.delete, **{kind.id: list_id})
    except DomainError:
        is_queue = listed.is_queue
        stays = _("Up next is always there: take out what is in it.")
        messages.error(
            request, stays if is_queue else _("This collection holds whatever you follow, and stays.")
        )
        return redirect(listed.page)
    if outcome.events:
        tell(request, kind.words.deleted % {"list": listed.name}, undo=undo_of(outcome))
    return redirect_after(outcome.position, kind.path)


def _form(request: HttpRequest, kind: ListKind, form: Any, listed: ListSummary | None) -> HttpResponse:
    is_dialog = is_partial(request)
    context = {
        "kind": kind,
        "form": form,
        "list": listed,
        "heading": kind.words.edit if listed else kind.words.new,
        "action": f"{listed.path}/edit" if listed else f"{kind.path}/new",
        "back": listed.page if listed else kind.path,
    }
    name = "_edit" if is_dialog else "edit"
    return render(request, f"web/lists/{name}.html", context, status=400 if form.errors else 200)


def _paths(kind: ListKind) -> list[URLPattern]:
    many, listed, of = kind.many, f"{kind.many}/<uuid:list_id>", {"kind": kind}
    return [
        path(many, overview, of, name=many),
        path(f"{many}/new", new, of),
        path(listed, one, of),
        path(f"{listed}/edit", edit, of),
        path(f"{listed}/delete", delete, of),
        path(f"{listed}/arrange", list_actions.arrange, of),
    ]


paths = [*_paths(playlists.KIND), *_paths(collections.KIND)]
