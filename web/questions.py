"""A question before something that cannot be taken back: a page of its own, or htmx's dialog."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from web.acting import is_partial


def ask(request: HttpRequest, **question: Any) -> HttpResponse:
    """``question`` fills in ``components/_dialog.html``."""
    name = "components/_dialog.html" if is_partial(request, "dialog") else "web/question.html"
    return render(request, name, question)
