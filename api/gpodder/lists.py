"""`/api/2/lists`: public collections, and the listener's own; read-only."""

import re
import unicodedata
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from accounts.models import User
from api.gpodder import formats
from api.gpodder.access import Answer, Call, not_found, route
from api.gpodder.objects import absolute, podcasts
from eventstore.dispatcher import state_of
from eventstore.domain import collections
from eventstore.domain.collections import Collection
from eventstore.streams import Stream
from feeds.queries import public_feeds
from projections.public_lists import shown_in_lists


def slug(name: str) -> str:
    """Return the name of a list as it is in its address."""
    folded = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub("[^a-z0-9]+", "-", folded).strip("-") or "list"


def listed(call: Call, owner: str) -> list[dict[str, Any]]:
    return [
        {"title": of.name, "name": slug(of.name), "web": absolute("/collections")}
        for of in _lists(call, state_of(_owner(owner)))
    ]


def read(call: Call, owner: str, name: str, fmt: str) -> Answer:
    stream = state_of(_owner(owner))
    found = next((of for of in _lists(call, stream) if slug(of.name) == name), None)
    if found is None:
        raise not_found("No such list.")
    feeds = collections.REGISTER.arranged(found)
    if not _is_own(call, stream):
        feeds = _public(stream, feeds)
    return formats.write_podcasts(call, podcasts(call, feeds), fmt)


def _owner(name: str) -> UUID:
    try:
        user = User.objects.get_by_natural_key(name)
    except User.DoesNotExist:
        raise not_found("No such account.") from None
    if not user.is_active:
        raise not_found("No such account.")
    return user.pk


def _is_own(call: Call, stream: Stream) -> bool:
    return call.who is not None and call.who.user_id == stream.user.user_id


def _lists(call: Call, stream: Stream) -> Iterator[Collection]:
    is_own = _is_own(call, stream)
    for of in stream.user.collections.values():
        if collections.REGISTER.is_on(of) and not of.is_default and (is_own or of.is_public):
            yield of


def _public(stream: Stream, feeds: list[str]) -> list[str]:
    """Return those feeds that others may see: the address of a feed may be its listener's secret key to
    it."""
    known = public_feeds(feeds)
    names = [(feed, None) for feed in feeds if feed in known]
    return [feed for feed, _ in shown_in_lists(stream, names)]


paths = {
    r"lists/{owner}\.json": route(get=listed, is_open=True),
    r"lists/{owner}/list/{name}\.{fmt}": route(get=read, is_open=True),
}
