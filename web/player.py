"""The player at the bottom of every page of a listener: what it plays, from where, and what comes after."""

from collections.abc import Callable
from typing import Final
from urllib.parse import urlencode
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.models import User
from eventstore.domain.identifiers import guid_key_of
from feeds import browsing
from feeds.browsing import EpisodeRow
from projections import lists, queries
from projections.connect import run
from web import devices, shown, words
from web.acting import device_name, for_listeners
from web.addresses import asked_feed
from web.documents import chapters_of, names
from web.found import Found, find, seconds_in
from web.reading import reached, seen
from web.shown import Episode, Podcast

# seconds by which two places have to differ for the listener to be asked which he means
APART: Final = 30
# members of a playlist, and episodes of a podcast, that are looked at for the one that comes next
MOST_MEMBERS, MOST_NEWER = 1_000, 50
# the one thing that a browser asks a third party for: the audio that its listener starts
PLAYER: Final = b'<section class="player" id="player"'
AUDIO: Final = {"media-src": ["http:", "https:"]}
SPEED: Final = """
SELECT speed FROM "users"."play_statuses"
 WHERE user_id = %(user)s AND md5(rss_source_feed) = md5(%(feed)s) AND rss_source_feed = %(feed)s
   AND speed IS NOT NULL
 ORDER BY updated_at DESC LIMIT 1
"""


def allow_audio(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware: where a page has the player, as all pages of listeners do, the policy allows audio."""

    def answer(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if not response.streaming and PLAYER in response.content:
            told = getattr(response, "_csp_update", None) or {}
            response._csp_update = {**told, **AUDIO}  # type: ignore[attr-defined]
        return response

    return answer


@require_safe
@for_listeners
def load(request: HttpRequest, user: User, item: str) -> HttpResponse:
    """What the player shows and needs of an episode, as a piece of a page.

    ``t``: where the listener wants it to begin. ``here``: where this browser is in it already. ``from``: the
    playlist that it was started from.
    """
    feed = asked_feed(request)
    wanted, here = seconds_in(request, "t"), seconds_in(request, "here")
    with reached(seen(request), "plays"):
        found = find(user.pk, feed, item)
        known = devices.places(user.pk, feed, item, device_name(request)) if wanted is None else []
        following = _following(user.pk, found, request.GET.get("from", ""))
    start = next(place for place in (wanted, here, found.resume) if place is not None)
    context = {
        "found": found,
        "start": start,
        "further": devices.further(known, start, APART) if wanted is None else None,
        "speed": _speed(user.pk, feed),
        "now": int(timezone.now().timestamp() * 1_000),
        "chapters": chapters_of(found.row, timezone.now()),
        "following": following,
        "has_transcript": names("transcript", found.row),
    }
    return render(request, "web/player/episode.html", context)


@require_safe
@for_listeners
def next_episode(request: HttpRequest, user: User, item: str) -> HttpResponse:
    """On to what comes after an episode; 204 where nothing does."""
    with reached(seen(request), "plays", "playlists"):
        found = find(user.pk, asked_feed(request), item)
        following = _following(user.pk, found, request.GET.get("from", ""))
    if following is None:
        return HttpResponse(status=204)
    started_from = {"from": request.GET["from"]} if request.GET.get("from") else {}
    return redirect(f"{following.path_to_player}&{urlencode(started_from)}".rstrip("&"))


def _speed(user_id: UUID, feed: str) -> float:
    """How fast the listener last heard an episode of this podcast."""
    row = run(SPEED, {"user": user_id, "feed": feed}).fetchone()
    return float(row[0]) if row else 1.0


def _following(user_id: UUID, found: Found, playlist: str) -> Episode | None:
    """What comes after an episode: the next of the playlist that it was started from, else of its podcast."""
    if playlist:
        return _in_playlist(user_id, found, playlist)
    return None if found.row is None else _in_podcast(user_id, found.podcast, found.row)


def _in_playlist(user_id: UUID, found: Found, playlist: str) -> Episode | None:
    """The next one there that was not played to the end."""
    try:
        members = lists.playlist_items(user_id, UUID(playlist), limit=MOST_MEMBERS).rows
    except ValueError:
        return None
    own = found.episode.feed, guid_key_of(found.episode.item)
    names = [(row.rss_source_feed, row.rss_source_item) for row in members]
    place = next((n for n, (feed, item) in enumerate(names) if (feed, guid_key_of(item)) == own), len(names))
    plays = queries.play_statuses_of(user_id, names[place + 1 :])
    for row, name in zip(members[place + 1 :], names[place + 1 :], strict=True):
        if name not in plays or not plays[name].played:
            title = row.item_title or words.episode_name(row.rss_source_item)
            return Episode(*name, title, row.feed_title or "")
    return None


def _in_podcast(user_id: UUID, podcast: Podcast, row: EpisodeRow) -> Episode | None:
    """The next newer one that was not played to the end."""
    newer = browsing.episodes(row.feed_id, MOST_NEWER, after=(row.sort_at, row.id), oldest_first=True)
    plays = queries.play_statuses_of(user_id, [(podcast.feed, each.item) for each in newer if each.item])
    for each in newer:
        episode = shown.episode_of(each, podcast, plays.get((podcast.feed, each.item or "")))
        if episode is not None and each.enclosure_url and not episode.played:
            return episode
    return None
