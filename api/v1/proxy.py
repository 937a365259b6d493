"""Feeds as RSS, generated from what was read of them: for web players, which may not read a publisher's own
feed.

No byte of a publisher's document is passed on. Nothing is fetched for callers without a token.
"""

import time
from datetime import timedelta
from typing import Annotated, Any, Final, Literal, NamedTuple
from uuid import UUID

from django.http.response import HttpResponseBase
from django.urls import path
from msgspec import Struct
from rest_framework.exceptions import PermissionDenied, Throttled
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle

from accounts import attempts
from accounts.scopes import allows
from api.answers import Success
from api.auth import GrantAuthentication, caller_of, needs
from api.episodes import FeedPath
from api.errors import ApiError
from api.fields import Item as ItemName
from api.fields import meta
from api.operations import RawBody, operation
from api.throttles import AddressLimit, GrantLimit
from api.views import View
from eventstore.domain.identifiers import InvalidIdentifier, feed_key_of, feed_of_url, normalise_feed
from feeds import cache, queries
from feeds.models import Episode, Feed
from feeds.queries import FeedShown
from feeds.render import Item, channel_of, episode_of, render
from feeds.serving import CONTENT_TYPE, Rendered, respond
from jobs import announcing
from playgateway import links
from projections.connect import run

SCOPE: Final = "user.subscriptions.read"
NEWEST, MOST = 500, 2_000
SHARED: Final = {"Cache-Control": "public, max-age=300, stale-while-revalidate=3600"}
OWN: Final = {"Cache-Control": "private, no-store"}
STATE: Final = "Balados-Feed-State"
# A caller with a token may have this many unknown feeds read within that time. In seconds: how long a request
# waits for one, how often it looks, and after how long to ask again.
NEW_FEEDS, WITHIN = 10, timedelta(hours=1)
PATIENCE, LOOK_EVERY, COME_AGAIN = 8.0, 0.1, 5
BLOCKED: Final = """
SELECT FROM "users"."blocked_feeds"
 WHERE feed_key = ANY(%s) AND coalesce(operator_since, publisher_since) IS NOT NULL
"""


ERRORS: Final = {
    401: "The token is invalid.",
    403: "The app has not been granted the required scope.",
    404: "`feed_unknown`, also for a feed that this caller may not see; `item_unknown`.",
    415: "`not_a_feed`: what is at that address is not a supported feed.",
    502: "`feed_unreachable`: the feed has never been read successfully.",
}


def _number(text: str) -> object:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else text


class ProxyQuery(Struct):
    limit: Annotated[
        int, meta("The maximum number of episodes, newest first.", parse=_number, ge=1, le=MOST)
    ] = NEWEST


class ProxyPath(FeedPath):
    item: ItemName


class Rss(RawBody):
    media_types = (CONTENT_TYPE.partition(";")[0],)


class NotReadYet(Struct):
    """The server did not know this feed yet; it will be read within seconds. Ask again."""

    status: Success
    state: Literal["queued"]


class _NotReadYet(Exception):
    pass


class Opened(NamedTuple):
    """A feed that was read. ``is_closed``: only those who follow it may see it, and the caller does.
    ``is_followed``: by the caller, who also sees what its publisher keeps out of directories."""

    feed: Feed
    show: FeedShown
    is_closed: bool
    is_followed: bool


class ProxyView(View):
    """A view that is open to everybody; a caller that sends a token needs its scope."""

    public = True
    authentication_classes = (GrantAuthentication,)
    permission_classes = ()

    def get_throttles(self) -> list[BaseThrottle]:
        return [AddressLimit() if self.request.auth is None else GrantLimit()]

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, _NotReadYet):
            return Response(NotReadYet("success", "queued"), 202, headers={"Retry-After": str(COME_AGAIN)})
        return super().handle_exception(exc)

    @operation("Read a feed", answers={200: Rss, 202: NotReadYet}, errors=ERRORS)
    def get(self, request: Request, path: FeedPath, query: ProxyQuery) -> HttpResponseBase:
        """RSS 2.0, from what was last read of the feed. With a token (scope `user.subscriptions.read`), it
        also answers for a feed that is not known yet, for which it waits up to 8 seconds, and for a secret
        or blocked feed if the user follows it. `Balados-Feed-State: stale` if the feed could not be read
        again."""
        opened = _open(request, path.feed)
        feed, limit = opened.feed, query.limit
        if opened.is_closed:
            return _answer(request, opened, _build(opened, limit))
        key = f"{feed.uid}:{feed.version}:{limit}{':all' if opened.is_followed else ''}"
        return _answer(request, opened, cache.get_or_build(key, lambda: _build(opened, limit)))


class EpisodeProxyView(ProxyView):
    def dispatch(self, request: Any, *args: Any, **names: str) -> Any:
        """Separate feed and item: in the standard base64 alphabet, a feed contains slashes of its own."""
        whole = f"{names['feed']}/{names['item']}"
        try:
            return ProxyView.as_view()(request, feed=normalise_feed(whole))
        except InvalidIdentifier:
            named = links.read(whole)
        return super().dispatch(request, *args, **(names if named is None else named._asdict()))

    @operation("Read an episode", answers={200: Rss, 202: NotReadYet}, errors=ERRORS)
    def get(self, request: Request, path: ProxyPath) -> HttpResponseBase:
        """The feed with only this episode."""
        opened = _open(request, path.feed)
        named = [(path.feed, path.item)]
        found = queries.episodes_of(named, {path.feed: opened.show}).get(named[0])
        if found is None or (found.blocked and not opened.is_followed):
            raise ApiError(404, "item_unknown", "This feed has no such episode.")
        return _answer(request, opened, _render(opened.feed, [Episode.objects.get(pk=found.id)]))


def _open(request: Request, name: str) -> Opened:
    """Return the feed with that name. Raises ``ApiError`` if there is none for this caller,
    ``_NotReadYet``."""
    user_id = _user_of(request)
    show = queries.feeds_of([name]).get(name)
    if show is None or (user_id is not None and _is_unread(show)):
        show = None if user_id is None else _read_now(user_id, name)
    is_closed = show is not None and _is_closed(show)
    is_followed = user_id is not None and _follows(user_id, name)
    if show is None or (is_closed and not is_followed):
        raise ApiError(404, "feed_unknown", "This server does not know the feed.")
    feed = Feed.objects.get(pk=show.id)
    if feed.version == 0:
        raise _never_read(show)
    return Opened(feed, show, is_closed, is_followed)


def _user_of(request: Request) -> UUID | None:
    if request.auth is None:
        return None
    caller = caller_of(request)
    if not allows(caller.scopes, SCOPE):
        raise PermissionDenied(needs(SCOPE), "scope_missing")
    return caller.user_id


def _is_unread(show: FeedShown) -> bool:
    return show.facts.fetched_at is None and show.facts.stored_state == Feed.State.NEW


def _read_now(user_id: UUID, name: str) -> FeedShown:
    """Have an unknown feed read, and wait for that. Raises ``Throttled``, ``_NotReadYet``."""
    waits = attempts.limited("new feeds", str(user_id), NEW_FEEDS, WITHIN)
    if waits is not None:
        raise Throttled(waits.total_seconds())
    announcing.want([name])
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        show = queries.feeds_of([name]).get(name)
        if show is not None and not _is_unread(show):
            return show
        time.sleep(LOOK_EVERY)
    raise _NotReadYet


def _is_closed(show: FeedShown) -> bool:
    """Whether only those who follow the feed may see it."""
    if show.is_secret or show.blocked:
        return True
    keys = [UUID(feed_key_of(name)) for name in queries.addresses_of(feed_of_url(show.url))]
    return run(BLOCKED, [keys]).fetchone() is not None


def _follows(user_id: UUID, name: str) -> bool:
    keys = [UUID(feed_key_of(one)) for one in queries.addresses_of(name)]
    return run(queries.FOLLOWED, [user_id, keys]).fetchone() is not None


def _never_read(show: FeedShown) -> ApiError:
    error = show.error
    if error is None:
        return ApiError(404, "feed_unknown", "This server does not know the feed.")
    if error.code in ("not_a_feed", "unsupported"):
        return ApiError(415, "not_a_feed", error.detail)
    return ApiError(502, "feed_unreachable", error.detail)


def _build(opened: Opened, limit: int) -> Rendered:
    newest = Episode.objects.filter(feed=opened.feed, gone_at=None).order_by("-sort_at", "-pk")
    shown = newest if opened.is_followed else newest.filter(blocked=False)
    return _render(opened.feed, list(shown[:limit]))


def _render(feed: Feed, episodes: list[Episode]) -> Rendered:
    items = [Item(episode_of(row), row.guid or row.key.hex()) for row in episodes]
    newest_at = max((row.sort_at for row in episodes), default=None)
    document = render(channel_of(feed), items, url="", changed_at=feed.changed_at, newest_at=newest_at)
    return Rendered.of(document, feed.changed_at)


def _answer(request: Request, opened: Opened, rendered: Rendered) -> HttpResponseBase:
    stale = {STATE: "stale"} if opened.show.facts.error else {}
    return respond(request._request, rendered, {**(OWN if opened.is_followed else SHARED), **stale})


paths = [
    path("rss/proxy/<path:feed>/<path:item>", EpisodeProxyView.as_view()),
    path("rss/proxy/<path:feed>", ProxyView.as_view()),
]
