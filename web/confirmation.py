"""Asks for confirmation before something that cannot be undone: on a page of its own, or in htmx's dialog."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from web.shortcuts import is_partial


def ask(request: HttpRequest, **question: Any) -> HttpResponse:
    """Ask; ``question`` is the context of ``components/_dialog.html``."""
    name = "components/_dialog.html" if is_partial(request, "dialog") else "web/question.html"
    return render(request, name, question)
