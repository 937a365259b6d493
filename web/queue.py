"""/queue: what the listener hears next, in order, and the menu that adds an episode to it."""

from typing import Any, Final
from urllib.parse import quote, urlencode
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.models import User
from accounts.pages import is_own_path, read_or_post
from eventstore import dispatcher
from eventstore.dispatcher import Outcome
from eventstore.domain import upnext
from eventstore.domain.errors import DomainError
from eventstore.domain.identifiers import episode_key
from eventstore.domain.playlists import (
    REGISTER,
    AddToPlaylist,
    ClearPlaylist,
    PlaylistEntry,
    RemoveFromPlaylist,
    queue_id,
)
from eventstore.domain.sync import SyncUserData
from feeds.queries import episodes_of
from projections import lists as reads
from projections import queries
from web import humanize, visible_feeds
from web.addresses import asked_feed, asked_item, in_path
from web.display import Episode
from web.list_context import page_of
from web.list_forms import PlaylistForm
from web.playlists import KIND, LONGEST_TITLE
from web.read_your_writes import caught_up, redirect_after
from web.shortcuts import act, came_from, for_listeners, is_partial, send
from web.toasts import tell, undo_of

PATH: Final = "/queue"
PLACES: Final = ("first", "last")


@require_safe
@for_listeners
def queue(request: HttpRequest, user: User) -> HttpResponse:
    """Show the queue, or how to add something to it. ``after`` is the cursor, and ``arrange`` shows the
    controls for reordering on a phone."""
    with caught_up(request, "playlists", "plays"):
        context = _page(user.pk, request.GET.get("after", ""))
    listed = context.get("list")
    public_path = f"/u/{quote(user.username)}{listed.path}" if listed and listed.is_public else ""
    context |= {
        "kind": KIND,
        "is_queue": True,
        "is_arranged": "arrange" in request.GET,
        "public_path": public_path,
    }
    return render(request, "web/queue/queue.html", context)


@require_POST
@for_listeners
def add(request: HttpRequest, user: User) -> HttpResponse:
    """Add the episode given in the query, at the beginning or the end according to ``place``."""
    place = request.GET.get("place", "")
    if place not in PLACES:
        raise BadRequest
    feed, item = asked_feed(request), asked_item(request)
    episode = _episode(user.pk, feed, item)
    outcome = act(
        request,
        user,
        AddToPlaylist,
        playlist_id=queue_id(user.pk),
        feed=feed,
        item=item,
        item_title=episode.title[:LONGEST_TITLE] or None,
        feed_title=episode.podcast[:LONGEST_TITLE] or None,
        place=place,
    )
    _tell_added(request, outcome, place)
    return redirect_after(outcome.position, came_from(request, PATH))


@require_POST
@for_listeners
def remove(request: HttpRequest, user: User) -> HttpResponse:
    """Remove the episode given in the query; the toast offers to put it back in its place."""
    names = {"feed": asked_feed(request), "item": asked_item(request)}
    try:
        outcome = act(request, user, RemoveFromPlaylist, playlist_id=queue_id(user.pk), **names)
    except DomainError:  # it was never in the queue
        raise Http404 from None
    if outcome.events:
        tell(request, _("Taken out of Up next."), undo=undo_of(outcome))
    return redirect_after(outcome.position, came_from(request, PATH))


@require_POST
@for_listeners
def clear(request: HttpRequest, user: User) -> HttpResponse:
    """Remove everything; the toast offers to undo it."""
    outcome = act(request, user, ClearPlaylist, playlist_id=queue_id(user.pk))
    if outcome.events:
        tell(request, _("Up next is empty now."), undo=undo_of(outcome))
    return redirect_after(outcome.position, PATH)


@read_or_post
@for_listeners
def save(request: HttpRequest, user: User) -> HttpResponse:
    """Create a playlist from the content of the queue. Sending the form twice creates only one."""
    if request.method != "POST":
        today = date_format(timezone.localdate())
        return _form(request, PlaylistForm(initial={"name": _("Up next, %(day)s") % {"day": today}}))
    form = PlaylistForm(request.POST)
    if not form.is_valid():
        return _form(request, form)
    list_id, state = form.new_id, dispatcher.state_of(user.pk).user
    if str(list_id) in state.playlists:
        messages.info(request, str(KIND.words.exists))
        return redirect(f"{KIND.path}/{list_id}")
    known, now = state.playlists.get(str(queue_id(user.pk))), timezone.now()
    items = upnext.entries(known, REGISTER.arranged(known), now) if known else []
    entry = PlaylistEntry(list_id, updated_at=now, items=items, **form.command_fields())
    outcome = send(request, SyncUserData(user_id=user.pk, now=now, playlists=[entry]))
    tell(request, KIND.words.made % {"list": entry.name})
    return redirect_after(outcome.position, f"{KIND.path}/{list_id}")


@require_safe
@for_listeners
def menu(request: HttpRequest, user: User, item: str) -> HttpResponse:
    """Show what can be done with an episode in a list: in the page's dialog, or on a page of its own."""
    feed = asked_feed(request)
    with caught_up(request, "playlists", "plays"):
        episode = _episode(user.pk, feed, item)
        holding = reads.PLAYLISTS.containing(user.pk, episode_key(feed, item))
    is_dialog = is_partial(request)
    back = request.htmx.current_url_abs_path if is_dialog else request.GET.get("back")  # type: ignore[attr-defined]
    context = {
        "episode": episode,
        "key": episode_key(feed, item),
        "is_queued": queue_id(user.pk) in holding,
        "path_out": _path_out(feed, item),
        "back": back if back and is_own_path(request, back) else episode.path,
    }
    return render(request, f"web/queue/{'_menu' if is_dialog else 'menu'}.html", context)


def _page(user_id: UUID, after: str) -> dict[str, Any]:
    try:
        return page_of(user_id, KIND, queue_id(user_id), after)
    except Http404:  # nothing was ever added
        return {}


def _episode(user_id: UUID, feed: str, item: str) -> Episode:
    """Return the episode. Raises ``Http404`` if neither its feed nor a play or playlist
    of the listener mentions it."""
    known = visible_feeds.known_feeds(user_id, feed)
    found = episodes_of([(feed, item)], known).get((feed, item))
    play = queries.play_statuses_of(user_id, [(feed, item)]).get((feed, item))
    if found is None and play is None and not reads.PLAYLISTS.containing(user_id, episode_key(feed, item)):
        raise Http404
    title = (found.title if found else "") or humanize.episode_name(item)
    podcast = known[feed].title if feed in known else ""
    return Episode(feed, item, title, podcast, played=bool(play and play.played))


def _tell_added(request: HttpRequest, outcome: Outcome, place: str) -> None:
    if not outcome.events:
        messages.info(request, _("It is in Up next already."))
        return
    text = _("Comes next.") if place == "first" else _("Added to Up next.")
    tell(request, text, undo=undo_of(outcome))


def _path_out(feed: str, item: str) -> str:
    """Return the path that removes an episode from the queue."""
    return f"{PATH}/remove?{urlencode({'feed': in_path(feed), 'item': in_path(item)})}"


def _form(request: HttpRequest, form: PlaylistForm) -> HttpResponse:
    context = {
        "kind": KIND,
        "form": form,
        "heading": _("Save as a playlist"),
        "action": f"{PATH}/save",
        "back": PATH,
    }
    name = "_edit" if is_partial(request) else "edit"
    return render(request, f"web/lists/{name}.html", context, status=400 if form.errors else 200)
