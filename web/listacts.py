"""What is done to a playlist or a collection: adding, removing, ordering, and bringing a deleted one back."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts.models import User
from eventstore import dispatcher
from eventstore.dispatcher import Outcome
from eventstore.domain.errors import DomainError
from eventstore.domain.sync import SyncUserData
from web.acting import act, came_from, for_listeners, is_partial, send
from web.addresses import asked_feed, asked_item
from web.listing import page_of
from web.lists import Kind, Listed
from web.reading import caught_up, reached, redirect_after, remember_position
from web.toasts import render_toasts, tell

# the codes of what the domain refuses of lists that there are
DEFAULT_COLLECTION, NOT_SUBSCRIBED = "default_collection", "not_subscribed"
MOVES = ("up", "down", "top", "move")


@require_POST
@for_listeners
def add(request: HttpRequest, user: User, kind: Kind, list_id: UUID) -> HttpResponse:
    """Put what the query names into a list; with ``behind``, a key, behind that member, or with "" first."""
    with caught_up(request, kind.many):
        listed = kind.find(user.pk, list_id)
    names = _names(request, kind)
    said = {**_said(user.pk, kind, list_id, names), **names}
    try:
        outcome = act(request, user, kind.commands.add, **{kind.id: list_id}, **said)
    except DomainError as error:
        if error.code != NOT_SUBSCRIBED:  # the list was deleted meanwhile
            raise Http404 from None
        messages.error(request, _("Only podcasts that you follow go into a collection."))
        return redirect(came_from(request, listed.page))
    if outcome.events and "behind" in request.GET:
        rows = kind.members(outcome.user, list_id)
        keys, key = [kind.key(row) for row in rows], kind.digest(**names)
        place = _place(keys, key, "move", request.GET)
        outcome = _move(request, user, listed, rows, keys.index(key), place) or outcome
    if outcome.events:
        tell(request, _("Added to %(list)s.") % {"list": listed.name})
    return _back(request, listed, outcome)


@require_POST
@for_listeners
def remove(request: HttpRequest, user: User, kind: Kind, list_id: UUID) -> HttpResponse:
    """Take what the query names out of a list."""
    with caught_up(request, kind.many):
        listed = kind.find(user.pk, list_id)
    names = _names(request, kind)
    try:
        outcome = act(request, user, kind.commands.remove, **{kind.id: list_id}, **names)
    except DomainError:
        raise Http404 from None
    if outcome.events:
        text = _("Removed from %(list)s.") % {"list": listed.name}
        tell(request, text, undo=listed.path_to("add", names))
    return _back(request, listed, outcome)


@require_POST
@for_listeners
def arrange(request: HttpRequest, user: User, kind: Kind, list_id: UUID) -> HttpResponse:
    """Move or remove a member, whose key is the value of ``up``, ``down``, ``top``, ``move`` or ``remove``.
    ``move`` goes behind the member whose key ``behind`` is, or before ``ahead``, or first.

    The order is made of what is in the list now: whatever the page did not know of stays in it.
    """
    action = next((name for name in (*MOVES, "remove") if name in request.POST), None)
    if action is None:
        raise BadRequest
    with caught_up(request, kind.many, "subscriptions"):
        listed = kind.find(user.pk, list_id)
        rows = kind.members(dispatcher.state_of(user.pk).user, list_id)
    key, keys = request.POST[action], [kind.key(row) for row in rows]
    outcome, place = None, None
    if key not in keys:
        messages.info(request, _("It is not in the list any more."))
    elif action == "remove":
        outcome = _remove(request, user, listed, rows, keys.index(key))
    else:
        place = _place(keys, key, action, request.POST)
        outcome = _move(request, user, listed, rows, keys.index(key), place)
    return _arranged(request, user, listed, key, place, outcome)


@require_POST
@for_listeners
def restore(request: HttpRequest, user: User, kind: Kind, list_id: UUID) -> HttpResponse:
    """Bring a deleted list back, with all that was in it, in its order, under its name and visibility.

    As a device would that still has it: in one append, and with a time that wins.
    """
    known = getattr(dispatcher.state_of(user.pk).user, kind.many).get(str(list_id))
    if known is None or not kind.register.is_known(known):
        raise Http404
    if kind.register.is_on(known):
        return redirect(f"{kind.path}/{list_id}")
    now = timezone.now()
    entry: Any = kind.register.to_entry(str(list_id), known)
    entry = msgspec.structs.replace(entry, updated_at=max(now, known.deleted_at), deleted_at=None)
    outcome = send(request, SyncUserData(user_id=user.pk, now=now, **{kind.many: [entry]}))
    tell(request, kind.words.restored % {"list": known.name})
    return redirect_after(outcome.position, f"{kind.path}/{list_id}")


def _names(request: HttpRequest, kind: Kind) -> dict[str, str]:
    feed = {"feed": asked_feed(request)}
    return {**feed, "item": asked_item(request)} if kind.is_playlists else feed


def _said(user_id: UUID, kind: Kind, list_id: UUID, names: dict[str, str]) -> dict[str, Any]:
    """What was said of a member that is or was in a list."""
    known = getattr(dispatcher.state_of(user_id).user, kind.many).get(str(list_id))
    wanted = kind.digest(**names)
    members = kind.register.members
    found = (of for key, of in known.members.items() if members.key.digest(key) == wanted) if known else ()
    return {name: getattr(of, name) for of in found for name in members.beside_times}


def _remove(
    request: HttpRequest, user: User, listed: Listed, rows: Sequence[Any], place: int
) -> Outcome | None:
    kind = listed.kind
    names = kind.names(rows[place])
    try:
        outcome = act(request, user, kind.commands.remove, **{kind.id: listed.id}, **names)
    except DomainError as error:
        if error.code != DEFAULT_COLLECTION:  # the list was deleted meanwhile
            raise Http404 from None
        messages.error(request, _("This collection holds whatever you follow."))
        return None
    behind = kind.key(rows[place - 1]) if place else ""
    text = _("Removed from %(list)s.") % {"list": listed.name}
    tell(request, text, undo=listed.path_to("add", names, behind=behind))
    return outcome


def _place(keys: Sequence[str], key: str, move: str, near: Mapping[str, str]) -> int:
    """Where a member goes, counted without itself; where it is, if what it should go beside is gone."""
    place = keys.index(key)
    others = [each for each in keys if each != key]
    behind, ahead = near.get("behind", ""), near.get("ahead", "")
    match move:
        case "up":
            return max(0, place - 1)
        case "down":
            return min(len(others), place + 1)
        case "move" if behind:
            return others.index(behind) + 1 if behind in others else place
        case "move" if ahead:
            return others.index(ahead) if ahead in others else place
    return 0


def _move(
    request: HttpRequest, user: User, listed: Listed, rows: Sequence[Any], place: int, wanted: int
) -> Outcome | None:
    """Reorder a list; None where everything is in its place."""
    if wanted == place:
        return None
    kind, ordered = listed.kind, [*rows[:place], *rows[place + 1 :]]
    ordered.insert(wanted, rows[place])
    names = kind.order(ordered)
    try:
        return act(request, user, kind.commands.reorder, **{kind.id: listed.id, kind.name_many: names})
    except DomainError:  # deleted meanwhile
        raise Http404 from None


def _arranged(
    request: HttpRequest, user: User, listed: Listed, key: str, place: int | None, outcome: Outcome | None
) -> HttpResponse:
    """The page of the form, at the place of what was moved; for htmx what is in the list now."""
    kind, position = listed.kind, outcome.position if outcome else 0
    if not is_partial(request):
        response: HttpResponse = redirect(f"{came_from(request, listed.page)}#m-{key}")
    else:
        with reached(position, kind.many):
            context = page_of(user.pk, kind, listed.id, request.POST.get("after", ""))
        moved = next((each.shown.title for each in context["members"] if each.key == key), "")
        context.update(is_swapped=True, moved=moved, place=None if place is None else place + 1)
        response = render(request, "web/lists/_members.html", context)
        response.write(render_toasts(request))
    if position:
        remember_position(response, position)
    return response


def _back(request: HttpRequest, listed: Listed, outcome: Outcome) -> HttpResponse:
    return redirect_after(outcome.position, came_from(request, listed.page))
