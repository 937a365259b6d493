"""/subscriptions: the podcasts that a listener follows; following and unfollowing, with undo."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.models import User
from accounts.pages import is_own_path
from eventstore.domain.errors import DomainError
from eventstore.domain.identifiers import feed_key_of
from eventstore.domain.subscriptions import Subscribe, Unsubscribe
from feeds import browsing
from feeds.browsing import Summary
from projections import lists, queries
from projections.lists import CollectionRow
from projections.queries import SubscriptionRow
from web import display, held_removals, privacy_levels, visible_feeds
from web.addresses import in_path
from web.display import Podcast
from web.forms import ListForm
from web.paging import cut
from web.read_your_writes import caught_up, remember_position
from web.shortcuts import act, came_from, for_listeners, is_partial
from web.toasts import render_toasts, tell, undo_of

PAGE = 48
MOST_FOLLOWED = 10_000
MOST_LISTS = 1_000
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Followed(NamedTuple):
    """A subscription, and what is known about its feed."""

    row: SubscriptionRow
    known: Summary | None

    @property
    def feed(self) -> str:
        return self.row.rss_source_feed

    @property
    def title(self) -> str:
        return display.title_of(self.feed, self.known)

    def holds(self, text: str) -> bool:
        """Whether a search for ``text``, in lower case, finds it."""
        author = self.known.author if self.known else ""
        address = display.Podcast(self.feed, "").address
        return any(text in each.casefold() for each in (self.title, author, address))


class Filter(NamedTuple):
    """A collection to which the list can be narrowed."""

    name: str
    path: str
    is_chosen: bool
    color: str = ""


ORDERS: dict[str, Callable[[Followed], Any]] = {
    "newest": lambda each: _newest_first(each.known.newest_at if each.known else None),
    "title": lambda each: each.title.casefold(),
    "added": lambda each: _newest_first(each.row.subscribed_at),
}


@require_safe
@for_listeners
def subscriptions(request: HttpRequest, user: User) -> HttpResponse:
    """Show all subscriptions, in pages; ``q`` searches, ``sort`` orders, and ``after`` is the key of the
    last feed on the previous page."""
    form = ListForm(request.GET)
    wanted = form.cleaned_data if form.is_valid() else form.defaults
    with caught_up(request, "subscriptions", "plays", "collections", "privacy", "held_removals"):
        followed = _followed(user.pk)
        collections = lists.COLLECTIONS.page(user.pk, limit=MOST_LISTS).rows
        found = _in_collection(user.pk, followed, wanted["collection"])
        if text := wanted["q"].casefold():
            found = [each for each in found if each.holds(text)]
        found.sort(key=lambda each: (ORDERS[wanted["sort"]](each), feed_key_of(each.feed)))
        page, following = cut(found, lambda each: feed_key_of(each.feed), wanted["after"], PAGE)
        podcasts = _podcasts(user.pk, page)
        questions = held_removals.questions(user.pk, lambda: {each.feed: each.title for each in followed})
    context = {
        "form": form,
        "searched": wanted["q"],
        "questions": questions,
        "total": len(followed),
        "found": len(found),
        "podcasts": podcasts,
        "is_pending": any(not (each.is_fetched or each.is_failing) for each in podcasts),
        "following": form.address("/subscriptions", after=following) if following else "",
        "first": form.address("/subscriptions") if wanted["after"] else "",
        "as_list": user.podcasts_as_list,
        "collections": _filters(form, collections),
        "collection": wanted["collection"],
    }
    name = "_list" if is_partial(request, "found") else "subscriptions"
    return render(request, f"web/subscriptions/{name}.html", context)


@require_POST
@for_listeners
def look(request: HttpRequest, user: User) -> HttpResponse:
    """Save whether podcasts are shown as a list or as a grid of covers."""
    user.podcasts_as_list = request.POST.get("look") == "list"
    user.save(update_fields=["podcasts_as_list"])
    return redirect(came_from(request, "/subscriptions"))


@require_safe
@for_listeners
def menu(request: HttpRequest, user: User, feed: str) -> HttpResponse:
    """Show what can be done with a podcast of the grid: in the page's dialog, or on a page of its own."""
    if not visible_feeds.look(user.pk, feed).is_followed:
        raise Http404
    is_dialog = is_partial(request)
    back = request.htmx.current_url_abs_path if is_dialog else request.GET.get("back")  # type: ignore[attr-defined]
    context = {
        "podcast": display.podcast_of(feed, browsing.summaries([feed]).get(feed)),
        "back": back if back and is_own_path(request, back) else "/subscriptions",
    }
    return render(request, f"web/subscriptions/{'_menu' if is_dialog else 'menu'}.html", context)


@require_POST
@for_listeners
def follow(request: HttpRequest, user: User, feed: str) -> HttpResponse:
    """Follow a feed; repeating it changes nothing."""
    outcome = act(request, user, Subscribe, feed=feed)
    if outcome.events:
        tell(request, _("You follow %(title)s.") % {"title": _title(feed)}, undo=undo_of(outcome))
    return _answer(request, feed, outcome.position, is_followed=True)


@require_POST
@for_listeners
def unfollow(request: HttpRequest, user: User, feed: str) -> HttpResponse:
    """Unfollow a feed; the toast offers to undo it."""
    try:
        outcome = act(request, user, Unsubscribe, feed=feed)
    except DomainError:
        messages.error(request, _("You did not follow this podcast."))
        return redirect("subscriptions")
    if outcome.events:
        text = _("You no longer follow %(title)s.") % {"title": _title(feed)}
        tell(request, text, undo=undo_of(outcome))
    return _answer(request, feed, outcome.position, is_followed=False)


def _answer(request: HttpRequest, feed: str, position: int, *, is_followed: bool) -> HttpResponse:
    """Redirect to the page of the form; for htmx return what replaces the form, and the toast."""
    if not is_partial(request):
        page = (
            f"/podcasts/{in_path(feed)}" if is_followed or visible_feeds.is_open(feed) else "/subscriptions"
        )
        response: HttpResponse = redirect(came_from(request, page))
    elif request.POST.get("part") == "row":
        response = HttpResponse(render_toasts(request))
    else:
        is_compact = request.POST.get("part") == "compact"
        title = _title(feed) if is_compact else ""
        context = {"podcast": Podcast(feed, title), "is_followed": is_followed, "compact": is_compact}
        response = render(request, "web/podcasts/_follow.html", context)
        response.write(render_toasts(request))
    remember_position(response, position)
    return response


def _followed(user_id: UUID) -> list[Followed]:
    rows = queries.subscriptions(user_id, limit=MOST_FOLLOWED).rows
    known = browsing.summaries(row.rss_source_feed for row in rows)
    return [Followed(row, known.get(row.rss_source_feed)) for row in rows]


def _in_collection(user_id: UUID, followed: list[Followed], collection: UUID | None) -> list[Followed]:
    if collection is None:
        return list(followed)
    rows = lists.COLLECTIONS.members(user_id, collection, limit=MOST_FOLLOWED).rows
    inside = {row.rss_source_feed for row in rows}
    return [each for each in followed if each.feed in inside]


def _filters(form: ListForm, collections: Sequence[CollectionRow]) -> list[Filter]:
    """Return the filters: all subscriptions, and those of each collection by name; none if there are no
    collections but the default one."""
    named = sorted((row for row in collections if not row.is_default), key=lambda row: row.name.casefold())
    if not named:
        return []
    chosen = getattr(form, "cleaned_data", {}).get("collection")
    everything = Filter(_("All"), form.address("/subscriptions", collection=""), is_chosen=chosen is None)
    own = [
        Filter(
            row.name,
            form.address("/subscriptions", collection=str(row.id)),
            is_chosen=row.id == chosen,
            color=row.color or "",
        )
        for row in named
    ]
    return [everything, *own]


def _podcasts(user_id: UUID, page: list[Followed]) -> list[Podcast]:
    """Return the podcasts with the number of unplayed episodes, which is the number in the feed less those
    played, and with their privacy levels."""
    feeds = [each.feed for each in page]
    played, glances = queries.played_counts(user_id, feeds), privacy_levels.of_feeds(user_id, feeds)
    return [
        display.counted(each.feed, each.known, played.get(each.feed, 0))._replace(privacy=glances[each.feed])
        for each in page
    ]


def _newest_first(moment: datetime | None) -> float:
    return -(moment or LONG_AGO).timestamp()


def _title(feed: str) -> str:
    return display.podcast_of(feed, browsing.summaries([feed]).get(feed)).title
