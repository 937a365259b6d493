"""/podcasts/{feed}/older: marking all older episodes as played in one go, and taking it back exactly."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_POST

from accounts.models import User
from accounts.pages import read_or_post
from eventstore import dispatcher, log
from eventstore.domain import history
from eventstore.domain.identifiers import InvalidIdentifier, episode_key, normalise_item
from eventstore.domain.partial import pick
from eventstore.domain.plays import PlayEntry, PlayRecorded, PlayStatus
from eventstore.domain.sync import SyncUserData
from eventstore.log import LAST_VERSION
from eventstore.reading import decoded
from eventstore.streams import StreamUnreadable, fold
from feeds import browsing
from feeds.browsing import ListedItem
from feeds.queries import FeedShown, episodes_of
from web import shown, sight
from web.acting import came_from, for_listeners, is_partial, send
from web.addresses import in_path, number_in
from web.reading import redirect_after
from web.toasts import tell

# what is offered beside everything, and the episode that was pointed at
AGES: Final = {
    "week": (timedelta(days=7), gettext_lazy("Older than a week")),
    "month": (timedelta(days=30), gettext_lazy("Older than a month")),
    "year": (timedelta(days=365), gettext_lazy("Older than a year")),
}
ALL, THIS = "all", "this"
# a moment after what is known, so that it wins
LATER: Final = timedelta(microseconds=1)


class Choice(NamedTuple):
    """Which episodes to mark; ``episodes``: how many of them are not played yet."""

    value: str
    label: str
    episodes: int


class Unplayed(NamedTuple):
    """An episode that is not marked as played, with what is known of it, if anything."""

    listed: ListedItem
    item: str
    known: PlayStatus | None


@read_or_post
@for_listeners
def older(request: HttpRequest, user: User, feed: str) -> HttpResponse:
    """Asks which, and says how many each choice marks; ``item`` points at an episode. A POST marks them."""
    known = sight.known_feeds(user.pk, feed).get(feed)
    if known is None:
        raise Http404
    pointed = _pointed(request, feed, known)
    unplayed = _unplayed(user.pk, feed, known.id)
    choices = _choices(unplayed, pointed, timezone.now())
    if request.method == "POST":
        return _mark(request, user, feed, _chosen(request, unplayed, pointed))
    context = {
        "podcast": shown.podcast_of(feed, browsing.summaries([feed]).get(feed)),
        "choices": choices,
        "pointed": pointed,
        "back": f"/podcasts/{in_path(feed)}",
        "item": request.GET.get("item", ""),
    }
    name = "_older" if is_partial(request, "dialog") else "older"
    return render(request, f"web/podcasts/{name}.html", context)


@require_POST
@for_listeners
def undo(request: HttpRequest, user: User, feed: str) -> HttpResponse:
    """Put back what was before the events from ``after`` to ``upto`` marked these episodes, except where
    something has been done with one since."""
    after, upto = _version(request, "after"), _version(request, "upto")
    entries = _before(user.pk, feed, after, upto)
    if entries is None:
        tell(request, _("It is too late to take this back."))
        return redirect("podcast", feed)
    outcome = send(request, _command(user.pk, entries))
    tell(request, _("Everything is as it was before."))
    return redirect_after(outcome.position, came_from(request, f"/podcasts/{in_path(feed)}"))


def _mark(request: HttpRequest, user: User, feed: str, chosen: Sequence[Unplayed]) -> HttpResponse:
    """One append, and a toast that takes it back."""
    now = timezone.now()
    outcome = send(request, _command(user.pk, [_played(feed, each, now) for each in chosen]))
    count, page = sum(isinstance(each, PlayRecorded) for each in outcome.events), f"/podcasts/{in_path(feed)}"
    if count:
        text = ngettext(
            "%(count)d episode is marked as played.", "%(count)d episodes are marked as played.", count
        )
        undo_path = f"{page}/older/undo?after={outcome.version - len(outcome.events)}&upto={outcome.version}"
        tell(request, text % {"count": count}, undo=undo_path)
    else:
        tell(request, _("There was nothing to mark."))
    return redirect_after(outcome.position, page)


def _pointed(request: HttpRequest, feed: str, known: FeedShown) -> int | None:
    """The id of the episode that ``item`` names. Raises ``Http404`` for one that is not there."""
    text = request.POST.get("item", "") or request.GET.get("item", "")
    if not text:
        return None
    try:
        name = feed, normalise_item(text)
    except InvalidIdentifier:
        raise Http404 from None
    found = episodes_of([name], {feed: known}).get(name)
    if found is None:
        raise Http404
    return found.id


def _unplayed(user_id: UUID, feed: str, feed_id: int) -> list[Unplayed]:
    """The episodes of a feed that are not played, the newest first, by the log itself: nothing is a moment
    behind here."""
    listed = [(each, item) for each in browsing.items(feed_id) if (item := each.item) is not None]
    keys = [episode_key(feed, item) for _, item in listed]
    is_known = log.known_stream(user_id) is not None
    plays = pick(dispatcher.state_of(user_id).user.plays, keys) if is_known else {}
    found = {
        key: Unplayed(each, item, plays.get(key)) for key, (each, item) in zip(keys, listed, strict=True)
    }
    return [each for each in found.values() if each.known is None or not each.known.played]


def _choices(unplayed: Sequence[Unplayed], pointed: int | None, now: datetime) -> list[Choice]:
    offered = [] if pointed is None else [(THIS, _("This one and older"))]
    offered += [(value, str(label)) for value, (_age, label) in AGES.items()]
    offered.append((ALL, _("All of them")))
    counted = [Choice(value, label, len(_those(unplayed, value, pointed, now))) for value, label in offered]
    return [choice for choice in counted if choice.episodes]


def _chosen(request: HttpRequest, unplayed: Sequence[Unplayed], pointed: int | None) -> list[Unplayed]:
    """Raises ``BadRequest`` for a choice that is not offered."""
    value = request.POST.get("which", "")
    if value not in (ALL, *AGES) and not (value == THIS and pointed is not None):
        raise BadRequest
    return _those(unplayed, value, pointed, timezone.now())


def _those(unplayed: Sequence[Unplayed], value: str, pointed: int | None, now: datetime) -> list[Unplayed]:
    if value == ALL:
        return list(unplayed)
    if value in AGES:
        return [each for each in unplayed if each.listed.sort_at < now - AGES[value][0]]
    place = next((each.listed.place for each in unplayed if each.listed.id == pointed), None)
    if place is None:
        place = browsing.place_of(pointed or 0)
    return [each for each in unplayed if each.listed.place <= place]


def _played(feed: str, each: Unplayed, now: datetime) -> PlayEntry:
    known = each.known
    if known is None:
        return PlayEntry(feed, each.item, 0, True, now)
    return PlayEntry(feed, known.item, known.position, True, max(now, known.updated_at + LATER), known.speed)


def _command(user_id: UUID, entries: Iterable[PlayEntry]) -> SyncUserData:
    return SyncUserData(user_id=user_id, now=timezone.now(), play_statuses=list(entries))


def _before(user_id: UUID, feed: str, after: int, upto: int) -> list[PlayEntry] | None:
    """What was known of the episodes that these events marked, where it still is as they left it; None where
    the log does not tell any more."""
    stream = log.known_stream(user_id)
    checkpoint = log.read_checkpoint(stream) if stream is not None else None
    if stream is None or (checkpoint is not None and checkpoint.version > after):
        return None
    read = [decoded(row) for row in log.read_stream(stream, after, upto)]
    marked = [each for each in read if isinstance(each, PlayRecorded) and each.rss_source_feed == feed]
    state = dispatcher.state_of(user_id)
    state.fetch(history.keys(marked))
    try:
        plays = fold(stream, user_id, after).plays
    except StreamUnreadable:
        return None
    now = timezone.now()
    holding = (event for event in marked if (found := history.in_effect(state.user, event)) and found.holds)
    return [_as_before(event, plays.get, now) for event in holding]


def _as_before(event: PlayRecorded, known: Callable[[str], Any], now: datetime) -> PlayEntry:
    feed, item = event.rss_source_feed, event.rss_source_item
    at, before = max(now, event.played_at + LATER), known(episode_key(feed, item))
    if before is None:
        return PlayEntry(feed, item, 0, False, at)
    return PlayEntry(feed, before.item, before.position, before.played, at, before.speed)


def _version(request: HttpRequest, name: str) -> int:
    """Raises ``BadRequest`` for what is none."""
    version = number_in(request.GET.get(name, ""), LAST_VERSION)
    if version is None:
        raise BadRequest
    return version
