"""/podcasts/{feed}/privacy, /episodes/{item}/privacy: who sees what a listener
does with it, and changing that."""

from uuid import UUID

from django.conf import settings
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.pages import is_own_path, read_or_post
from eventstore.domain import privacy
from eventstore.domain.identifiers import episode_key
from eventstore.domain.privacy import ChangePrivacy, ClearPrivacy
from feeds import browsing
from feeds.queries import episodes_of
from projections import exposure, lists, queries
from projections.exposure import Scope
from web import display, humanize, privacy_levels, visible_feeds
from web.addresses import asked_feed
from web.privacy_levels import EffectiveLevel
from web.read_your_writes import caught_up, remember_position
from web.shortcuts import act, came_from, for_listeners, is_partial
from web.toasts import render_toasts, tell, undo_of


@read_or_post
@for_listeners
def of_podcast(request: HttpRequest, user: User, feed: str) -> HttpResponse:
    """Show the choice of a level for a podcast; a POST with ``level`` sets it, an empty value clears it."""
    visible_feeds.look(user.pk, feed)
    return _choose(request, user, (feed, None))


@read_or_post
@for_listeners
def of_episode(request: HttpRequest, user: User, item: str) -> HttpResponse:
    """Show the same for an episode of the feed given by ``feed``."""
    feed = asked_feed(request)
    if not _may_see(user.pk, feed, item):
        raise Http404
    return _choose(request, user, (feed, item))


def _may_see(user_id: UUID, feed: str, item: str) -> bool:
    """Whether the listener played the episode or added it to a playlist, or it
    is in a feed that he may see."""
    if queries.play_statuses_of(user_id, [(feed, item)]):
        return True
    if episodes_of([(feed, item)], visible_feeds.known_feeds(user_id, feed)):
        return True
    return bool(lists.PLAYLISTS.containing(user_id, episode_key(feed, item)))


def _choose(request: HttpRequest, user: User, scope: Scope) -> HttpResponse:
    with caught_up(request, "privacy"):
        known = exposure.settings_of(user.pk, [scope])
    is_blocked = bool(exposure.blocked([scope[0]]))
    found = privacy_levels.glance(known, scope, is_blocked=is_blocked)
    if request.method == "POST":
        return _change(request, user, found)
    back = request.GET.get("back", "")
    context = {
        "privacy": found,
        "choices": privacy_levels.choices(known, scope),
        "title": _title(user.pk, scope),
        "back": back if is_own_path(request, back) else _page(scope),
        "compact": "compact" in request.GET,
        "done": exposure.count(user.pk, *scope),
        "days": settings.RETENTION_DAYS,
    }
    name = "_choose" if is_partial(request, "dialog") else "choose"
    return render(request, f"web/privacy/{name}.html", context)


def _change(request: HttpRequest, user: User, before: EffectiveLevel) -> HttpResponse:
    """Set the level given in the form. Raises ``BadRequest`` if it is missing or invalid."""
    wanted = request.POST.get("level")
    if wanted not in (*privacy_levels.LEVELS, ""):
        raise BadRequest
    named = {"feed": before.feed, "item": before.item}
    if not wanted:
        outcome = act(request, user, ClearPrivacy, **named)
    else:
        outcome = act(request, user, ChangePrivacy, level=wanted, **named)
    default = exposure.default_level()
    found = privacy.in_force(outcome.user.privacy, before.feed, before.item, default)
    own = found.level if wanted else None
    after = before if before.closed else before._replace(level=found.level, source=found.source)
    tell(request, _message(after), undo=undo_of(outcome))
    response = _answer(request, after._replace(own=own))
    remember_position(response, outcome.position)
    return response


def _message(after: EffectiveLevel) -> str:
    if after.closed:
        return _("Kept. Nothing of this podcast is shown to others in any case.")
    text = _("This episode is %(level)s now.") if after.item else _("This podcast is %(level)s now.")
    return text % {"level": str(after.name).lower()}


def _answer(request: HttpRequest, after: EffectiveLevel) -> HttpResponse:
    """Redirect to the page of the form; for htmx return what replaces the
    level shown there, and the toast."""
    if not is_partial(request):
        return redirect(came_from(request, _page((after.feed, after.item))))
    context = {"privacy": after, "compact": "compact" in request.POST, "back": came_from(request, "/")}
    shown_now = render_to_string("components/_privacy.html", context, request)
    return HttpResponse(shown_now + render_toasts(request))


def _title(user_id: UUID, scope: Scope) -> str:
    feed, item = scope
    known = visible_feeds.known_feeds(user_id, feed)
    if item is not None:
        found = episodes_of([(feed, item)], known).get((feed, item))
        return (found and found.title) or humanize.episode_name(item)
    return display.podcast_of(feed, browsing.summaries([feed]).get(feed) if known else None).title


def _page(scope: Scope) -> str:
    feed, item = scope
    if item is None:
        return display.Podcast(feed, "").path
    return display.Episode(feed, item, "").path
