"""Reads that show what the reader has just done, though read models follow a moment later."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from projections import queries, replicas

# how far the log was after the last action of this browser
SEEN = "balados_position"
REMEMBERED = 60  # seconds; read models follow within one
PATIENCE = 1.0  # seconds that a page waits for each of them
LAST = 2**63 - 1


def remember_position(response: HttpResponse, position: int) -> None:
    """Have the next pages of this browser show at least what the log said at ``position``."""
    response.set_cookie(
        SEEN,
        str(position),
        max_age=REMEMBERED,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


@contextmanager
def caught_up(request: HttpRequest, *projectors: str) -> Iterator[None]:
    """In this block reads show what the browser has done, unless a projector takes longer than a second."""
    text = request.COOKIES.get(SEEN, "")
    is_position = text.isascii() and text.isdigit() and int(text) <= LAST
    with reached(int(text) if is_position else 0, *projectors):
        yield


@contextmanager
def reached(position: int, *projectors: str) -> Iterator[None]:
    """In this block reads show what the log said at ``position``, unless a projector takes longer than a
    second. Position 0 asks for nothing."""
    if not position:
        yield
        return
    for projector in projectors:
        with suppress(queries.Behind):
            queries.wait_for(projector, position, PATIENCE)
    with replicas.at_least(position):
        yield
