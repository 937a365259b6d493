"""Actions on the members of a playlist or a collection: ordering and removing."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts.models import User
from eventstore import dispatcher
from eventstore.dispatcher import Outcome
from eventstore.domain.errors import DomainError
from web.list_context import page_of
from web.lists import ListKind, ListSummary
from web.read_your_writes import caught_up, reached, remember_position
from web.shortcuts import act, came_from, for_listeners, is_partial
from web.toasts import render_toasts, tell, undo_of

# error codes of the domain for lists that exist
DEFAULT_COLLECTION = "default_collection"
MOVES = ("up", "down", "top", "move")


@require_POST
@for_listeners
def arrange(request: HttpRequest, user: User, kind: ListKind, list_id: UUID) -> HttpResponse:
    """Move or remove a member, whose key is the value of ``up``, ``down``, ``top``, ``move`` or ``remove``.

    ``move`` puts it after the member whose key is ``behind``, or before the member whose key is
    ``ahead``, or first. The new order is based on the current members of the list, so that members which
    the page did not know of are kept.
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


def _remove(
    request: HttpRequest, user: User, listed: ListSummary, rows: Sequence[Any], place: int
) -> Outcome | None:
    kind = listed.kind
    names = kind.names(rows[place])
    try:
        outcome = act(request, user, kind.commands.remove, **{kind.id: listed.id}, **names)
    except DomainError as error:
        if error.code != DEFAULT_COLLECTION:  # the list was deleted in the meantime
            raise Http404 from None
        messages.error(request, _("This collection holds whatever you follow."))
        return None
    text = _("Removed from %(list)s.") % {"list": listed.name}
    tell(request, text, undo=undo_of(outcome))
    return outcome


def _place(keys: Sequence[str], key: str, move: str, near: Mapping[str, str]) -> int:
    """Return the new index of a member, not counting the member itself; its current index if the
    neighbour named no longer exists."""
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
    request: HttpRequest, user: User, listed: ListSummary, rows: Sequence[Any], place: int, wanted: int
) -> Outcome | None:
    """Reorder a list; None if nothing has to move."""
    if wanted == place:
        return None
    kind, ordered = listed.kind, [*rows[:place], *rows[place + 1 :]]
    ordered.insert(wanted, rows[place])
    names = kind.order(ordered)
    try:
        return act(request, user, kind.commands.reorder, **{kind.id: listed.id, kind.register.plural: names})
    except DomainError:  # the list was deleted in the meantime
        raise Http404 from None


def _arranged(
    request: HttpRequest,
    user: User,
    listed: ListSummary,
    key: str,
    place: int | None,
    outcome: Outcome | None,
) -> HttpResponse:
    """Redirect to the page of the form, at the member that was moved; for htmx return the
    current members of the list."""
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
