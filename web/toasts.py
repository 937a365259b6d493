"""What was done, told once on the next page, with a way to take it back where there is one.

A toast is one of Django's messages. Its extra tags are the address of the undo: one of our own that takes a
POST without fields, so that the form works without JavaScript.
"""

from django.contrib import messages
from django.http import HttpRequest


def tell(request: HttpRequest, text: str, undo: str = "") -> None:
    """Tell ``text`` on the page that is shown next; ``undo`` is the path that takes the action back."""
    messages.success(request, text, extra_tags=undo)
