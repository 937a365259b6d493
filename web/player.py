"""The player at the bottom of every page of a listener: what it plays, from which
position, and what comes next."""

from collections.abc import Callable
from typing import Final
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.models import User
from projections.connect import run
from web import devices
from web.addresses import asked_feed
from web.documents import chapters_of, names
from web.episode_details import find, seconds_in
from web.read_your_writes import reached, seen
from web.shortcuts import device_name, for_listeners
from web.upnext import Coming, NextRequest, coming

# seconds by which two positions have to differ before the listener is asked which one to use
APART: Final = 30
# the audio that a listener starts is the only thing that a browser loads from third parties
PLAYER: Final = b'<section class="player" id="player"'
AUDIO: Final = {"media-src": ["http:", "https:"]}
SPEED: Final = """
SELECT speed FROM "users"."play_statuses"
 WHERE user_id = %(user)s AND md5(rss_source_feed) = md5(%(feed)s) AND rss_source_feed = %(feed)s
   AND speed IS NOT NULL
 ORDER BY updated_at DESC LIMIT 1
"""


def allow_audio(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware: allow audio in the content security policy of pages that contain the player,
    as all pages of listeners do."""

    def answer(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if not response.streaming and PLAYER in response.content:
            known = getattr(response, "_csp_update", None) or {}
            response._csp_update = {**known, **AUDIO}  # type: ignore[attr-defined]
        return response

    return answer


@require_safe
@for_listeners
def load(request: HttpRequest, user: User, item: str) -> HttpResponse:
    """Return what the player shows and needs of an episode, as a fragment of a page.

    ``t``: where the listener wants it to start. ``here``: the position that this browser has already reached.
    What comes after the episode is requested separately by the player, so that it starts sooner.
    """
    feed = asked_feed(request)
    wanted, here = seconds_in(request, "t"), seconds_in(request, "here")
    with reached(seen(request), "plays"):
        found = find(user.pk, feed, item)
        known = devices.places(user.pk, feed, item, device_name(request)) if wanted is None else []
    start = next(place for place in (wanted, here, found.resume) if place is not None)
    context = {
        "found": found,
        "start": start,
        "further": devices.further(known, start, APART) if wanted is None else None,
        "speed": _speed(user.pk, feed),
        "now": int(timezone.now().timestamp() * 1_000),
        "chapters": chapters_of(found.row, timezone.now()),
        "has_transcript": names("transcript", found.row),
    }
    return render(request, "web/player/episode.html", context)


@require_safe
@for_listeners
def next_episode(request: HttpRequest, user: User, item: str) -> HttpResponse:
    """Redirect to the episode that comes next; 204 if there is none."""
    following = _following(request, user, item)
    if following is None:
        return HttpResponse(status=204)
    asked = request.GET.copy()
    for name in ("feed", "next"):
        asked.pop(name, None)
    return redirect(f"{following.episode.path_to_player}&{asked.urlencode()}".rstrip("&"))


@require_safe
@for_listeners
def following(request: HttpRequest, user: User, item: str) -> HttpResponse:
    """Return what comes after an episode, as a fragment of a page."""
    return render(request, "web/player/_next.html", {"following": _following(request, user, item)})


def _following(request: HttpRequest, user: User, item: str) -> Coming | None:
    with reached(seen(request), "plays", "playlists"):
        return coming(user.pk, find(user.pk, asked_feed(request), item), NextRequest.of(request))


def _speed(user_id: UUID, feed: str) -> float:
    """Return the speed at which the listener last heard an episode of this podcast."""
    row = run(SPEED, {"user": user_id, "feed": feed}).fetchone()
    return float(row[0]) if row else 1.0
