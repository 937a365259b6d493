"""Toasts: they report once, on the next page, what was done, with a way to undo it if there is one.

A toast is one of Django's messages. Its extra tags hold the address of the undo: a path of this site that
takes a POST without fields, so that the form works without JavaScript.
"""

from django.contrib import messages
from django.http import HttpRequest
from django.template.loader import render_to_string

from eventstore.dispatcher import Outcome

UNDO = "/history/undo"


def tell(request: HttpRequest, text: str, undo: str = "") -> None:
    """Show ``text`` on the next page; ``undo`` is the path that undoes the action."""
    messages.success(request, text, extra_tags=undo)


def undo_of(outcome: Outcome) -> str:
    """Return the path that undoes what a command has just recorded; "" if it recorded nothing."""
    return undo_between(outcome.version - len(outcome.events), outcome.version)


def undo_between(after: int, upto: int) -> str:
    """Return the path that undoes the events of these versions of a listener's stream."""
    return f"{UNDO}?after={after}&upto={upto}" if upto > after else ""


def render_toasts(request: HttpRequest) -> str:
    """Render the current toasts, with which htmx replaces the previous ones."""
    htmx = request.htmx  # type: ignore[attr-defined]
    context = {"messages": messages.get_messages(request), "swapped": True, "back": htmx.current_url_abs_path}
    return render_to_string("components/_toasts.html", context, request)
