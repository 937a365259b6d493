"""/podcasts/{feed}/older: mark all older episodes as played at once."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.models import User
from accounts.pages import read_or_post
from eventstore import dispatcher, log
from eventstore.domain.identifiers import InvalidIdentifier, episode_key, normalise_item
from eventstore.domain.partial import pick
from eventstore.domain.plays import PlayEntry, PlayRecorded, PlayStatus
from eventstore.domain.sync import SyncUserData
from feeds import browsing
from feeds.browsing import ListedItem
from feeds.queries import FeedShown, episodes_of
from web import display, visible_feeds
from web.addresses import in_path
from web.read_your_writes import redirect_after
from web.shortcuts import for_listeners, is_partial, send
from web.toasts import tell, undo_of

# the choices beside marking everything, or marking up to the selected episode
AGES: Final = {
    "week": (timedelta(days=7), gettext_lazy("Older than a week")),
    "month": (timedelta(days=30), gettext_lazy("Older than a month")),
    "year": (timedelta(days=365), gettext_lazy("Older than a year")),
}
ALL, THIS = "all", "this"
# slightly later than the known state, so that it wins the merge
LATER: Final = timedelta(microseconds=1)


class MarkChoice(NamedTuple):
    """A choice of episodes to mark; ``episodes`` is how many of them are not played yet."""

    value: str
    label: str
    episodes: int


class Unplayed(NamedTuple):
    """An episode that is not marked as played, with its known status, if any."""

    listed: ListedItem
    item: str
    known: PlayStatus | None


@read_or_post
@for_listeners
def older(request: HttpRequest, user: User, feed: str) -> HttpResponse:
    """Ask which episodes to mark, with the number of episodes of each choice; ``item`` selects
    an episode. A POST marks them."""
    known = visible_feeds.known_feeds(user.pk, feed).get(feed)
    if known is None:
        raise Http404
    pointed = _pointed(request, feed, known)
    unplayed = _unplayed(user.pk, feed, known.id)
    choices = _choices(unplayed, pointed, timezone.now())
    if request.method == "POST":
        return _mark(request, user, feed, _chosen(request, unplayed, pointed))
    context = {
        "podcast": display.podcast_of(feed, browsing.summaries([feed]).get(feed)),
        "choices": choices,
        "pointed": pointed,
        "back": f"/podcasts/{in_path(feed)}",
        "item": request.GET.get("item", ""),
    }
    name = "_older" if is_partial(request, "dialog") else "older"
    return render(request, f"web/podcasts/{name}.html", context)


def _mark(request: HttpRequest, user: User, feed: str, chosen: Sequence[Unplayed]) -> HttpResponse:
    """Mark them in one append, with a toast that offers to undo it."""
    now = timezone.now()
    outcome = send(request, _command(user.pk, [_played(feed, each, now) for each in chosen]))
    count = sum(isinstance(event, PlayRecorded) for event in outcome.events)
    page = f"/podcasts/{in_path(feed)}"
    if count:
        text = ngettext(
            "%(count)s episode is marked as played.", "%(count)s episodes are marked as played.", count
        )
        tell(request, text % {"count": number_format(count)}, undo=undo_of(outcome))
    else:
        tell(request, _("There was nothing to mark."))
    return redirect_after(outcome.position, page)


def _pointed(request: HttpRequest, feed: str, known: FeedShown) -> int | None:
    """Return the id of the episode given by ``item``. Raises ``Http404`` if there is no such episode."""
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
    """Return the episodes of a feed that are not played, the newest first. What was played is read from the
    event log, so the result does not lag behind."""
    listed = [(each, item) for each in browsing.items(feed_id) if (item := each.item) is not None]
    keys = [episode_key(feed, item) for _, item in listed]
    is_known = log.known_stream(user_id) is not None
    plays = pick(dispatcher.state_of(user_id).user.plays, keys) if is_known else {}
    found = {
        key: Unplayed(each, item, plays.get(key)) for key, (each, item) in zip(keys, listed, strict=True)
    }
    return [each for each in found.values() if each.known is None or not each.known.played]


def _choices(unplayed: Sequence[Unplayed], pointed: int | None, now: datetime) -> list[MarkChoice]:
    offered = [] if pointed is None else [(THIS, _("This one and older"))]
    offered += [(value, str(label)) for value, (_age, label) in AGES.items()]
    offered.append((ALL, _("All of them")))
    counted = [
        MarkChoice(value, label, len(_those(unplayed, value, pointed, now))) for value, label in offered
    ]
    return [choice for choice in counted if choice.episodes]


def _chosen(request: HttpRequest, unplayed: Sequence[Unplayed], pointed: int | None) -> list[Unplayed]:
    """Return the chosen episodes. Raises ``BadRequest`` for a choice that is not offered."""
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
