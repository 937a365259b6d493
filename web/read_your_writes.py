"""Reads that show what the reader has just done, although read models lag slightly behind."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from projections import queries, replicas
from web.addresses import number_in

# cookie with the position of the log after the last action of this browser
SEEN = "balados_position"
REMEMBERED = 60  # seconds; read models catch up within one
PATIENCE = 1.0  # seconds that a page waits for all projectors together
LAST = 2**63 - 1


def remember_position(response: HttpResponse, position: int) -> None:
    """Make the next pages of this browser show at least the state of the log at ``position``."""
    response.set_cookie(
        SEEN,
        str(position),
        max_age=REMEMBERED,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def redirect_after(position: int, path: str) -> HttpResponse:
    """Redirect to a page that shows what was recorded up to ``position``."""
    response = redirect(path)
    remember_position(response, position)
    return response


def seen(request: HttpRequest) -> int:
    """Return the position of the log after the last action of this browser; 0 if unknown."""
    return number_in(request.COOKIES.get(SEEN, ""), LAST) or 0


@contextmanager
def caught_up(request: HttpRequest, *projectors: str) -> Iterator[None]:
    """Make reads in this block include what the browser has done. If a projector takes longer than a second,
    the page says that something is missing."""
    with reached(seen(request), *projectors) as is_current:
        if not is_current:
            messages.warning(request, _("What you did last is kept, and shows here in a moment."))
        yield


@contextmanager
def reached(position: int, *projectors: str) -> Iterator[bool]:
    """Make reads in this block include the log up to ``position``, unless a projector takes longer than a
    second; yields whether all of them do. Position 0 requires nothing."""
    if not position:
        yield True
        return
    until = time.monotonic() + PATIENCE
    late = [projector for projector in projectors if not _is_up_to(position, projector, until)]
    with replicas.at_least(position):
        yield not late


def _is_up_to(position: int, projector: str, until: float) -> bool:
    try:
        queries.wait_for(projector, position, until - time.monotonic())
    except queries.Behind:
        return False
    return True
