"""Putting an episode into playlists, or a podcast into collections: boxes to tick, and a new list."""

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
from web.acting import act, came_from, is_partial
from web.listforms import ChoiceForm
from web.lists import Kind, Listed
from web.reading import remember_position
from web.toasts import render_toasts, tell, undo_between


class Choice(NamedTuple):
    """What is put into lists. ``names``: how commands name it; ``titles``: what they say of it. ``back``: its
    own page; ``path``: where the choice is made."""

    kind: Kind
    lists: list[Listed]
    holding: set[UUID]
    names: dict[str, str]
    titles: dict[str, Any]
    title: str
    back: str
    path: str


class Done(NamedTuple):
    """What came of it: the names of the lists that it was put into and taken from."""

    added: list[Listed]
    removed: list[Listed]
    outcomes: list[Outcome]

    @property
    def position(self) -> int:
        return max((each.position for each in self.outcomes), default=0)

    @property
    def undo(self) -> str:
        """Where all of it is undone; "" where another device did something between."""
        upto = max((each.version for each in self.outcomes), default=0)
        after = upto - sum(len(each.events) for each in self.outcomes)
        first = min((each.version - len(each.events) for each in self.outcomes), default=0)
        return undo_between(after, upto) if after == first else ""


def answer(request: HttpRequest, user: User, choice: Choice) -> HttpResponse:
    """The form, or what came of it."""
    if request.method != "POST":
        return _form(request, choice, ChoiceForm(), choice.holding)
    form = ChoiceForm(request.POST)
    if not form.is_valid():
        return _form(request, choice, form, form.ids("in"), status=400)
    done = _apply(request, user, choice, form)
    _tell(request, choice, done)
    response: HttpResponse
    if is_partial(request):  # nothing takes the place of the form: the dialog closes
        response = HttpResponse(render_toasts(request))
    else:
        response = redirect(came_from(request, choice.back))
    if done.position:
        remember_position(response, done.position)
    return response


def _form(
    request: HttpRequest, choice: Choice, form: ChoiceForm, ticked: set[UUID], status: int = 200
) -> HttpResponse:
    boxes = [(each, each.id in ticked, each.id in choice.holding) for each in choice.lists]
    # those that it is in come first, however many there are
    boxes.sort(key=lambda box: not box[2])
    context = {
        "choice": choice,
        "form": form,
        "boxes": boxes,
        "back": came_from(request, choice.back),
    }
    # htmx shows no answer that is a refusal
    is_dialog = is_partial(request)
    name = "_choose" if is_dialog else "choose"
    return render(request, f"web/lists/{name}.html", context, status=200 if is_dialog else status)


def _apply(request: HttpRequest, user: User, choice: Choice, form: ChoiceForm) -> Done:
    """Change what was changed in the form, and nothing that another device did meanwhile."""
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
    return Done(added, removed, outcomes)


def _make(
    request: HttpRequest, user: User, choice: Choice, form: ChoiceForm
) -> tuple[Listed, list[Outcome]] | None:
    """A new list with it."""
    kind, list_id, name = choice.kind, form.cleaned_data["id"], form.cleaned_data["name"]
    if list_id is None:
        return None
    try:
        made = act(request, user, kind.commands.create, **{kind.id: list_id}, name=name)
    except DomainError:  # sent twice, and renamed between
        return None
    outcome = _write(request, user, choice, kind.commands.add, list_id, **choice.titles)
    listed = Listed(kind, list_id, name, "", "", False, False, 1, [])
    return (listed, [made, outcome]) if outcome else None


def _write(
    request: HttpRequest,
    user: User,
    choice: Choice,
    command: Callable[..., Command],
    list_id: UUID,
    **more: Any,
) -> Outcome | None:
    """None where the list, or the subscription, went meanwhile."""
    try:
        return act(request, user, command, **{choice.kind.id: list_id}, **choice.names, **more)
    except DomainError:
        return None


def _tell(request: HttpRequest, choice: Choice, done: Done) -> None:
    """One sentence, with the way back."""
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
