"""Putting an episode into playlists, or a podcast into collections:
checkboxes, and a field for a new list."""

from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from accounts.models import User
from eventstore.dispatcher import Outcome
from eventstore.domain.errors import DomainError
from eventstore.domain.messages import Command
from web.list_forms import ChoiceForm
from web.lists import ListKind, ListSummary
from web.read_your_writes import remember_position
from web.shortcuts import act, came_from, is_partial
from web.toasts import render_toasts, tell, undo_between


class MembershipForm(NamedTuple):
    """What is put into lists. ``names`` identifies it in commands, ``titles`` are the titles that they carry;
    ``back`` is its own page, ``path`` the page of this form."""

    kind: ListKind
    lists: list[ListSummary]
    holding: set[UUID]
    names: dict[str, str]
    titles: dict[str, Any]
    title: str
    back: str
    path: str


class MembershipChange(NamedTuple):
    """The result: the lists to which it was added, and those from which it was removed."""

    added: list[ListSummary]
    removed: list[ListSummary]
    outcomes: list[Outcome]

    @property
    def position(self) -> int:
        return max((each.position for each in self.outcomes), default=0)

    @property
    def undo(self) -> str:
        """Return the address at which all of it can be undone; "" if another device
        changed something in between."""
        upto = max((each.version for each in self.outcomes), default=0)
        after = upto - sum(len(each.events) for each in self.outcomes)
        first = min((each.version - len(each.events) for each in self.outcomes), default=0)
        return undo_between(after, upto) if after == first else ""


def answer(request: HttpRequest, user: User, choice: MembershipForm) -> HttpResponse:
    """Show the form, or apply it."""
    if request.method != "POST":
        return _form(request, choice, ChoiceForm(), choice.holding)
    form = ChoiceForm(request.POST)
    if not form.is_valid():
        return _form(request, choice, form, form.ids("in"), status=400)
    done = _apply(request, user, choice, form)
    _tell(request, choice, done)
    response: HttpResponse
    if is_partial(request):  # nothing replaces the form: the dialog closes
        response = HttpResponse(render_toasts(request))
    else:
        response = redirect(came_from(request, choice.back))
    if done.position:
        remember_position(response, done.position)
    return response


def _form(
    request: HttpRequest, choice: MembershipForm, form: ChoiceForm, ticked: set[UUID], status: int = 200
) -> HttpResponse:
    boxes = [(each, each.id in ticked, each.id in choice.holding) for each in choice.lists]
    # the lists that contain it come first, however many there are
    boxes.sort(key=lambda box: not box[2])
    context = {
        "choice": choice,
        "form": form,
        "boxes": boxes,
        "back": came_from(request, choice.back),
    }
    # htmx does not show responses with an error status
    is_dialog = is_partial(request)
    name = "_choose" if is_dialog else "choose"
    return render(request, f"web/lists/{name}.html", context, status=200 if is_dialog else status)


def _apply(request: HttpRequest, user: User, choice: MembershipForm, form: ChoiceForm) -> MembershipChange:
    """Apply what was changed in the form, leaving alone what another device changed in the meantime."""
    ticked, was = form.ids("in"), form.ids("was")
    added, removed, outcomes = [], [], []
    commands = choice.kind.commands
    for each in choice.lists:
        if each.id in ticked - was:
            outcome = _write(request, user, choice, commands.add, each.id, **choice.titles)
            added += [each] if outcome and outcome.events else []
        elif each.id in was - ticked:
            outcome = _write(request, user, choice, commands.remove, each.id)
            removed += [each] if outcome and outcome.events else []
        else:
            continue
        outcomes += [outcome] if outcome else []
    made = _make(request, user, choice, form) if form.cleaned_data["name"] else None
    if made is not None:
        added.append(made[0])
        outcomes += made[1]
    return MembershipChange(added, removed, outcomes)


def _make(
    request: HttpRequest, user: User, choice: MembershipForm, form: ChoiceForm
) -> tuple[ListSummary, list[Outcome]] | None:
    """Create a new list that contains it."""
    kind, list_id, name = choice.kind, form.cleaned_data["id"], form.cleaned_data["name"]
    if list_id is None:
        return None
    try:
        made = act(request, user, kind.commands.create, **{kind.id: list_id}, name=name)
    except DomainError:  # the form was sent twice, and the list renamed in between
        return None
    outcome = _write(request, user, choice, kind.commands.add, list_id, **choice.titles)
    listed = ListSummary(kind, list_id, name, "", "", False, False, 1, [])
    return (listed, [made, outcome]) if outcome else None


def _write(
    request: HttpRequest,
    user: User,
    choice: MembershipForm,
    command: Callable[..., Command],
    list_id: UUID,
    **more: Any,
) -> Outcome | None:
    """Dispatch the command; return None if the list or the subscription no longer exists."""
    try:
        return act(request, user, command, **{choice.kind.id: list_id}, **choice.names, **more)
    except DomainError:
        return None


def _tell(request: HttpRequest, choice: MembershipForm, done: MembershipChange) -> None:
    """Tell the listener what happened in one sentence, with a link to undo it."""
    added, removed = done.added, done.removed
    match (len(added), len(removed)):
        case (0, 0):
            messages.info(request, _("Nothing changed."))
        case (1, 0):
            tell(request, _("Added to %(list)s.") % {"list": added[0].name}, undo=done.undo)
        case (0, 1):
            tell(request, _("Removed from %(list)s.") % {"list": removed[0].name}, undo=done.undo)
        case _:
            tell(request, _("Saved."), undo=done.undo)
