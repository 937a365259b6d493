"""/episodes/{item}: an episode to listen to, its notes, and marking it as played."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.models import User
from eventstore.domain.plays import RecordPlay
from eventstore.domain.saved import SaveEpisode, ShareEpisode, UnsaveEpisode
from feeds import browsing, html
from feeds.browsing import EpisodeRow
from feeds.chapters import seconds
from projections import queries
from web import devices, labels, privacy_levels
from web.addresses import asked_feed, in_path, is_web
from web.display import Chapter
from web.documents import chapters_in_feed, names
from web.episode_details import EpisodeDetails, find, seconds_in
from web.read_your_writes import caught_up, remember_position
from web.shortcuts import act, came_from, device_name, for_listeners, is_partial
from web.show_notes import with_places
from web.toasts import render_toasts, tell, undo_of

MOST_PEOPLE, MOST_SOUNDBITES = 30, 20


class Person(NamedTuple):
    """Somebody who took part in an episode. ``link``: the address of a page about them, or ""."""

    name: str
    role: str
    link: str


@require_safe
@for_listeners
def episode(request: HttpRequest, user: User, item: str) -> HttpResponse:
    """Show an episode of the feed given by ``feed``; ``t`` is where to start, in seconds."""
    feed, wanted = asked_feed(request), seconds_in(request, "t")
    with caught_up(request, "plays", "saved", "subscriptions", "privacy"):
        found = find(user.pk, feed, item)
        is_saved = queries.saved_of(user.pk, feed, item)
        privacy = privacy_levels.of_episode(user.pk, feed, item)
    start = found.resume if wanted is None else wanted
    chapters = chapters_in_feed(found.row)
    context = {
        **found._asdict(),
        "is_saved": is_saved,
        "privacy": privacy,
        "start": start,
        "plays_from": found.episode.path if wanted is None else f"{found.episode.path}&t={wanted}",
        "share": f"{settings.PUBLIC_URL}{found.episode.path}",
        "chapters": chapters,
        "chapters_elsewhere": not chapters and names("chapters", found.row),
        "has_transcript": names("transcript", found.row),
        "places": devices.places(user.pk, feed, item, device_name(request)),
        "in_history": urlencode({"feed": feed}),
        **_from_feed(found),
    }
    return render(request, "web/episodes/episode.html", context)


@require_POST
@for_listeners
def played(request: HttpRequest, user: User, item: str) -> HttpResponse:
    """Mark the episode as played; the toast offers to restore the previous state."""
    feed = asked_feed(request)
    before = queries.play_statuses_of(user.pk, [(feed, item)]).get((feed, item))
    position = before.position if before else 0
    outcome = act(request, user, RecordPlay, feed=feed, item=item, position=position, played=True)
    tell(request, _("Marked as played."), undo=undo_of(outcome))
    return _back(request, feed, item, outcome.position)


@require_POST
@for_listeners
def unplayed(request: HttpRequest, user: User, item: str) -> HttpResponse:
    """Mark the episode as not played, to continue at ``position``."""
    feed, position = asked_feed(request), seconds_in(request, "position") or 0
    outcome = act(request, user, RecordPlay, feed=feed, item=item, position=position, played=False)
    tell(request, _("Marked as not played."), undo=undo_of(outcome))
    return _back(request, feed, item, outcome.position)


@require_POST
@for_listeners
def save(request: HttpRequest, user: User, item: str) -> HttpResponse:
    """Add the episode to the saved ones; repeating it changes nothing."""
    feed = asked_feed(request)
    outcome = act(request, user, SaveEpisode, feed=feed, item=item)
    tell(request, _("Saved."), undo=undo_of(outcome))
    return _back(request, feed, item, outcome.position)


@require_POST
@for_listeners
def unsave(request: HttpRequest, user: User, item: str) -> HttpResponse:
    """Remove the episode from the saved ones."""
    feed = asked_feed(request)
    outcome = act(request, user, UnsaveEpisode, feed=feed, item=item)
    tell(request, _("No longer saved."), undo=undo_of(outcome))
    return _back(request, feed, item, outcome.position)


@require_POST
@for_listeners
def share(request: HttpRequest, user: User, item: str) -> HttpResponse:
    """Record that the episode was shared; each time counts."""
    feed = asked_feed(request)
    outcome = act(request, user, ShareEpisode, feed=feed, item=item)
    tell(request, _("Noted in your history as shared."))
    return _back(request, feed, item, outcome.position)


def _from_feed(found: EpisodeDetails) -> dict[str, Any]:
    """Return what the feed says about the episode beyond what every list shows."""
    row = found.row
    if row is None:
        return {}
    notes = html.safe_html(row.description)
    if found.audio:
        notes = with_places(notes, found.episode.path, row.duration)
    return {
        "notes": notes,
        "link": row.link if is_web(row.link) else "",
        "people": list(_people(row.extra)),
        "soundbites": list(_soundbites(row)),
    }


def _people(extra: Mapping[str, Any]) -> Iterator[Person]:
    for element in browsing.occurrences(extra, "person")[:MOST_PEOPLE]:
        link = str(element.get("href", ""))
        role = labels.role(str(element.get("role", "")))
        yield Person(str(element.get("text", "")), role, link if is_web(link) else "")


def _soundbites(row: EpisodeRow) -> Iterator[Chapter]:
    """Yield the soundbites, which are passages that the publisher picked out."""
    for element in browsing.occurrences(row.extra, "soundbite")[:MOST_SOUNDBITES]:
        start = seconds(element.get("startTime"))
        if start is not None:
            yield Chapter(int(start), str(element.get("text") or row.title))


def _back(request: HttpRequest, feed: str, item: str, position: int) -> HttpResponse:
    """Redirect to the page on which the form was sent. For htmx the row disappears and the toast is shown."""
    if is_partial(request):
        response = HttpResponse(render_toasts(request))
    else:
        page = f"/episodes/{in_path(item)}?feed={in_path(feed)}"
        response = redirect(came_from(request, page))
    remember_position(response, position)
    return response
