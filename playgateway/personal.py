"""``/rss/{token}/…``: a listener's own lists as feeds, for players that do not support sync."""

from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID, uuid5

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from msgspec import structs

from accounts import refusals
from eventstore.domain.identifiers import InvalidIdentifier, item_of
from eventstore.domain.playlists import QUEUE_NAME, queue_id
from feeds.documents import Channel
from feeds.render import Item, episode_of, render
from feeds.serving import Rendered, respond
from playgateway import contents, limits, links, responses, tokens
from playgateway.contents import Contents, Entry
from playgateway.gateway import opened_by_token
from playgateway.links import Named
from playgateway.tokens import Bearer
from playgateway.unread import request_unread

# date of a feed without episodes, constant so that the feed does not change
EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
TITLES: Final = {"subscriptions": "Subscriptions", "saved": "Saved episodes", "queue": QUEUE_NAME}
WHOLE: Final = {
    "subscriptions": contents.subscriptions,
    "saved": contents.saved,
    "queue": contents.queue,
}
LISTS: Final = {"collections": contents.collection, "playlists": contents.playlist}


class _Reader(NamedTuple):
    """The bearer of the token, and the text of the token, which is part of the episodes' addresses."""

    bearer: Bearer
    token: str


@opened_by_token
def whole_list(request: HttpRequest, token: str, name: str) -> HttpResponseBase:
    """Serve the newest episodes of everything that is followed or saved, or the queue in its order."""
    bearer = tokens.find(token, timezone.now())
    if bearer is None:
        return responses.not_a_token(request)
    if not bearer.opens(name):
        return responses.not_found()
    return _answer(request, _Reader(bearer, token), WHOLE[name](bearer.user_id), TITLES[name])


@opened_by_token
def one_list(request: HttpRequest, token: str, kind: str, list_id: str) -> HttpResponseBase:
    """Serve the newest episodes of a collection, or a playlist in its order."""
    bearer = tokens.find(token, timezone.now())
    if bearer is None:
        return responses.not_a_token(request)
    try:
        wanted = UUID(list_id)
    except ValueError:
        return responses.not_found()
    is_open = bearer.opens(str(wanted)) or (wanted == queue_id(bearer.user_id) and bearer.opens("queue"))
    found = LISTS[kind](bearer.user_id, wanted) if is_open else None
    return responses.not_found() if found is None else _answer(request, _Reader(bearer, token), found, "")


@opened_by_token
def nothing(request: HttpRequest) -> HttpResponse:
    """Answer any address that no token opens."""
    return responses.not_found()


def _answer(request: HttpRequest, reader: _Reader, found: Contents, title: str) -> HttpResponseBase:
    waits = limits.asking(reader.bearer.token_id)
    if waits is not None:
        return _too_many(reader.bearer, waits)
    request_unread(found.unread)
    changed_at = contents.changed_at(found, EPOCH)
    document = render(_channel(found, title), _items(found, reader), url="", changed_at=changed_at)
    # only the ETag decides: a change of the listener's lists can carry a time earlier than its arrival here
    response = respond(request, Rendered.of(document, changed_at), responses.headers(), by_time=False)
    if response.status_code == 304 or (waits := limits.reading(reader.bearer.token_id)) is None:
        return response
    return _too_many(reader.bearer, waits)


def _too_many(bearer: Bearer, waits: timedelta) -> HttpResponse:
    """Refuse the request and note the refusal, which the listener sees on the page of his apps."""
    refusals.note(bearer.user_id, refusals.TOKEN, str(bearer.token_id), refusals.TOO_MANY, timezone.now())
    return responses.too_many(waits)


def _channel(found: Contents, title: str) -> Channel:
    """Describe the feed without anything about the listener, since feeds get copied to
    places that he does not know."""
    name = found.title or title
    return Channel(
        title=name,
        description=found.description,
        link=settings.PUBLIC_URL,
        kind="serial" if found.is_ordered else "episodic",
        blocked=True,
        locked=True,
    )


def _items(found: Contents, reader: _Reader) -> list[Item]:
    named = ((entry, _name_of(entry)) for entry in found.entries)
    return [
        _item(entry, _address(entry, name, reader), place if found.is_ordered else None)
        for place, (entry, name) in enumerate(named, 1)
        if name is not None
    ]


def _item(entry: Entry, address: str, place: int | None) -> Item:
    """Return the item for an entry. ``place`` is its place in a list that the listener
    ordered, sent as the episode number."""
    row, show = entry.episode, entry.show
    episode = episode_of(row)
    changed = structs.replace(
        episode,
        title=f"{show.title}: {row.title}" if show.title else row.title,
        enclosure_url=address,
        image_url=row.image_url or show.cover_url,
        number=row.number if place is None else place,
        season=row.season if place is None else None,
        blocked=False,
        extra={name: value for name, value in row.extra.items() if name != "alternateEnclosure"},
    )
    source_url = "" if show.is_secret else show.url
    return Item(changed, str(uuid5(show.uid, bytes(row.key).hex())), show.title, source_url)


def _name_of(entry: Entry) -> Named | None:
    """Return the entry's name as apps spell it; None if its GUID is one that apps could not send."""
    try:
        return Named(entry.feed, item_of(entry.episode.guid, entry.episode.enclosure_url))
    except InvalidIdentifier:
        return None


def _address(entry: Entry, named: Named, reader: _Reader) -> str:
    """Return the address of an episode behind the play gateway."""
    row = entry.episode
    s = links.sign(reader.bearer.token_id, entry.show.uid, row.pk)
    path = links.path_of(reader.token, named, row.enclosure_url, row.enclosure_type, s)
    return f"{settings.PLAY_URL}{path}"
