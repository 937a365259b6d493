"""Podcasts that an app tried to unfollow, so many at once that the listener is
asked about it on /subscriptions."""

from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import groupby
from typing import NamedTuple
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from accounts.models import User
from eventstore.domain import unfollowing
from projections import held_removals
from web.read_your_writes import remember_position
from web.shortcuts import for_listeners, send
from web.toasts import tell, undo_of


class Question(NamedTuple):
    """A question about the removals by one device. ``until``: when they are taken for a mistake
    of the app if nobody answers."""

    device: str
    name: str
    titles: list[str]
    until: datetime


def questions(user_id: UUID, titles_of: Callable[[], Mapping[str, str]]) -> list[Question]:
    """Return the questions to ask; ``titles_of`` gives the titles of the followed feeds if there are any."""
    rows = sorted(held_removals.waiting(user_id), key=lambda row: row.device)
    titles = titles_of() if rows else {}
    found = []
    for device, group in groupby(rows, key=lambda row: row.device):
        some = list(group)
        name = some[0].caption or device or _("An app")
        named = sorted((titles.get(row.feed, row.feed) for row in some), key=str.casefold)
        until = min(row.held_at for row in some) + unfollowing.LONGEST_HELD
        found.append(Question(device, name, named, until))
    return found


@require_POST
@for_listeners
def decide(request: HttpRequest, user: User) -> HttpResponse:
    """Unfollow what ``device`` tried to unfollow, or keep following it; a repetition does nothing."""
    device = request.POST.get("device", "")
    feeds = [row.feed for row in held_removals.waiting(user.pk) if row.device == device]
    is_confirmed = request.POST.get("decision") == "confirm"
    order = unfollowing.confirm if is_confirmed else unfollowing.discard
    answer = redirect("subscriptions")
    if feeds:
        outcome = send(request, order(user.pk, feeds, timezone.now()))
        remember_position(answer, outcome.position)
        tell(request, _message(len(feeds), is_confirmed), undo=undo_of(outcome))
    return answer


def _message(count: int, is_confirmed: bool) -> str:
    if is_confirmed:
        words = ngettext(
            "You no longer follow %(count)s podcast.", "You no longer follow %(count)s podcasts.", count
        )
    else:
        words = ngettext(
            "You go on following %(count)s podcast.", "You go on following %(count)s podcasts.", count
        )
    return words % {"count": number_format(count)}
