"""What was done, told once on the next page, with a way to take it back where there is one.

A toast is one of Django's messages. Its extra tags are the address of the undo: one of our own that takes a
POST without fields, so that the form works without JavaScript.
"""

from django.contrib import messages
from django.http import HttpRequest
from django.template.loader import render_to_string

from eventstore.dispatcher import Outcome

UNDO = "/history/undo"


def tell(request: HttpRequest, text: str, undo: str = "") -> None:
    """Tell ``text`` on the page that is shown next; ``undo`` is the path that takes the action back."""
    messages.success(request, text, extra_tags=undo)


def undo_of(outcome: Outcome) -> str:
    """Where what a command has just recorded is undone; "" where it recorded nothing."""
    return undo_between(outcome.version - len(outcome.events), outcome.version)


def undo_between(after: int, upto: int) -> str:
    """Where the events of these versions of a listener's stream are undone."""
    return f"{UNDO}?after={after}&upto={upto}" if upto > after else ""


def render_toasts(request: HttpRequest) -> str:
    """What is to be told, as htmx puts it in the place of what was told before."""
    htmx = request.htmx  # type: ignore[attr-defined]
    context = {"messages": messages.get_messages(request), "swapped": True, "back": htmx.current_url_abs_path}
    return render_to_string("components/_toasts.html", context, request)
