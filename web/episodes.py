"""/episodes/{item}: an episode to listen to, its notes, and marking it as played."""

from typing import Any

from django.conf import settings
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.models import User
from eventstore.domain.identifiers import InvalidIdentifier, normalise_feed, parts_of_item
from eventstore.domain.plays import PlayEntry, RecordPlay
from eventstore.domain.saved import SaveEpisode, UnsaveEpisode
from feeds import browsing, html
from feeds.browsing import EpisodeRow
from feeds.chapters import in_feed
from feeds.queries import EpisodeShown, FeedShown, episodes_of
from projections import queries
from web import levels, shown, sight
from web.acting import act, came_from, for_listeners, is_partial
from web.addresses import in_path
from web.reading import caught_up, remember_position
from web.shown import Chapter
from web.toasts import render_toasts, tell

LONGEST_POSITION = 2**31 - 1
MOST_CHAPTERS = 500
WEB = ("http://", "https://")
# the one thing that a browser asks a third party for: the audio that its listener starts
AUDIO = {"media-src": ["http:", "https:"]}


@require_safe
@for_listeners
def episode(request: HttpRequest, user: User, item: str) -> HttpResponse:
    """An episode of the feed that ``feed`` names; ``t`` is where to begin, in seconds."""
    feed = _feed(request)
    with caught_up(request, "plays", "saved", "subscriptions", "privacy"):
        play = queries.play_statuses_of(user.pk, [(feed, item)]).get((feed, item))
        known = sight.known_feeds(user.pk, feed)
        found = episodes_of([(feed, item)], known).get((feed, item))
        if play is None and found is None:
            raise Http404
        context = _shown(feed, item, play, known.get(feed), found)
        context["is_saved"] = queries.saved_of(user.pk, feed, item)
        context["privacy"] = levels.of_episode(user.pk, feed, item)
    start = _seconds(request, "t") if "t" in request.GET else context["resume"]
    context["start"] = start
    context["share"] = f"{settings.PUBLIC_URL}{context['episode'].path}&t={start}"
    page = render(request, "web/episodes/episode.html", context)
    page._csp_update = AUDIO  # type: ignore[attr-defined]
    return page


@require_POST
@for_listeners
def played(request: HttpRequest, user: User, item: str) -> HttpResponse:
    """Mark it as played; the toast puts back what was known of it."""
    feed = _feed(request)
    before = queries.play_statuses_of(user.pk, [(feed, item)]).get((feed, item))
    position = before.position if before else 0
    outcome = act(request, user, RecordPlay, feed=feed, item=item, position=position, played=True)
    undo = f"/episodes/{in_path(item)}/unplayed?feed={in_path(feed)}&position={position}"
    tell(request, _("Marked as played."), undo=undo)
    return _back(request, feed, item, outcome.position)


@require_POST
@for_listeners
def unplayed(request: HttpRequest, user: User, item: str) -> HttpResponse:
    """Mark it as not played; it goes on at ``position``."""
    feed, position = _feed(request), _seconds(request, "position")
    outcome = act(request, user, RecordPlay, feed=feed, item=item, position=position, played=False)
    tell(request, _("Marked as not played."))
    return _back(request, feed, item, outcome.position)


@require_POST
@for_listeners
def save(request: HttpRequest, user: User, item: str) -> HttpResponse:
    """Keep it among the saved ones; repeating it changes nothing."""
    feed = _feed(request)
    outcome = act(request, user, SaveEpisode, feed=feed, item=item)
    tell(request, _("Saved."), undo=f"/episodes/{in_path(item)}/unsave?feed={in_path(feed)}")
    return _back(request, feed, item, outcome.position)


@require_POST
@for_listeners
def unsave(request: HttpRequest, user: User, item: str) -> HttpResponse:
    """Take it from the saved ones."""
    feed = _feed(request)
    outcome = act(request, user, UnsaveEpisode, feed=feed, item=item)
    tell(request, _("No longer saved."), undo=f"/episodes/{in_path(item)}/save?feed={in_path(feed)}")
    return _back(request, feed, item, outcome.position)


def _shown(
    feed: str, item: str, play: PlayEntry | None, known: FeedShown | None, found: EpisodeShown | None
) -> dict[str, Any]:
    podcast = shown.podcast_of(feed, browsing.summaries([feed]).get(feed) if known else None)
    row = browsing.episode(found.id) if found else None
    listed = shown.episode_of(row, podcast, play) if row else None
    if listed is None:
        assert play is not None
        listed = shown.heard(play, known, found)
    listed = listed._replace(item=item)
    address = row.enclosure_url if row else parts_of_item(item)[1]
    return {
        "episode": listed,
        "podcast": podcast,
        "audio": address if address.startswith(WEB) else "",
        "notes": html.safe_html(row.description) if row else "",
        "row": row,
        "link": row.link if row and row.link.startswith(WEB) else "",
        "chapters": _chapters(row),
        "resume": 0 if listed.played else listed.position,
    }


def _chapters(row: EpisodeRow | None) -> list[Chapter]:
    """Those that stand in the feed itself."""
    return [Chapter.of(told) for told in in_feed(row.extra)[:MOST_CHAPTERS]] if row else []


def _back(request: HttpRequest, feed: str, item: str, position: int) -> HttpResponse:
    """Back to the page of the form. For htmx the row goes, and the toast comes."""
    if is_partial(request):
        response = HttpResponse(render_toasts(request))
    else:
        page = f"/episodes/{in_path(item)}?feed={in_path(feed)}"
        response = redirect(came_from(request, page))
    remember_position(response, position)
    return response


def _feed(request: HttpRequest) -> str:
    """The feed that the address names. Raises ``Http404`` where it names none."""
    try:
        return normalise_feed(request.GET.get("feed", ""))
    except InvalidIdentifier:
        raise Http404 from None


def _seconds(request: HttpRequest, name: str) -> int:
    """Raises ``BadRequest`` for what is no position."""
    text = request.GET.get(name, "0")
    if not (text.isascii() and text.isdigit() and len(text) < 11 and int(text) <= LONGEST_POSITION):
        raise BadRequest
    return int(text)
