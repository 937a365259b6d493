"""Covers of podcasts and episodes, served from this server's own address."""

import time

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.http import require_safe

from feeds import covers
from jobs.covers import ask_for

FOR_EVER = "public, max-age=31536000, immutable"


@require_safe
def cover(request: HttpRequest, name: str, size: int) -> HttpResponse:
    """Serve the picture; while it is missing, have it fetched in the background and serve a generated cover
    of the design given by ``?or=``."""
    found = covers.cover_of(name)
    if found is None or size not in covers.SIZES:
        raise Http404
    kept = covers.read(found, size, time.time())
    if kept is None or kept[1]:
        ask_for(found)
    if kept is not None:
        return HttpResponse(kept[0], content_type="image/webp", headers={"Cache-Control": FOR_EVER})
    return _drawn(request.GET.get("or", ""), "no-cache", is_for_now=True)


@require_safe
def generated(request: HttpRequest, design: str) -> HttpResponse:
    """Serve a generated cover."""
    return _drawn(design, FOR_EVER)


def _drawn(design: str, cached: str, *, is_for_now: bool = False) -> HttpResponse:
    svg = covers.drawing(design, is_for_now=is_for_now)
    if svg is None:
        raise Http404
    return HttpResponse(svg, content_type="image/svg+xml", headers={"Cache-Control": cached})


paths = [
    path("covers/generated/<str:design>.svg", generated),
    path("covers/<str:name>/<int:size>.webp", cover),
]
