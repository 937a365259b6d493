"""What the public pages share: who may read them and how often, and what is publicly known
about the feeds that they name."""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import wraps
from typing import Any, Concatenate, NamedTuple, ParamSpec
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_cache_control
from django.views.decorators.vary import vary_on_cookie

from accounts import attempts
from accounts.addresses import client_address
from accounts.login_limits import too_many
from accounts.models import User
from eventstore.domain.identifiers import feed_key_of
from feeds.queries import EpisodeName, EpisodeShown, FeedShown, episodes_of, public_feeds
from projections import queries
from web.display import Episode, Podcast, public_episode, public_podcast

P = ParamSpec("P")
# feeds that a listener has hidden from public lists, kept with the account as digests
MOST_HIDDEN = 300


def for_everybody(
    view: Callable[Concatenate[HttpRequest, P], HttpResponse],
) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
    """Decorate a view whose only personal data are the reader's own marks. Visitors are rate-limited by their
    address, and caches must revalidate the page, since somebody may have hidden something in the meantime."""

    @vary_on_cookie
    @wraps(view)
    def wrapped(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if not request.user.is_authenticated:
            limit = settings.PUBLIC_REQUESTS_PER_MINUTE
            wait = attempts.limited("public", client_address(request), limit, timedelta(minutes=1))
            if wait:
                return too_many(request, wait)
        response = view(request, *args, **kwargs)
        patch_cache_control(response, private=True, no_cache=True)
        return response

    return wrapped


class PublicTitles(NamedTuple):
    """What everybody may know about the feeds and episodes that rows name."""

    feeds: Mapping[str, FeedShown]
    episodes: Mapping[EpisodeName, EpisodeShown]

    def podcast(self, row: Any) -> Podcast | None:
        """Return the podcast of a row; None if it is not public, or was never fetched."""
        known = self.feeds.get(row.rss_source_feed or "")
        return public_podcast(row.rss_source_feed, known) if known and known.title else None

    def episode(self, row: Any) -> Episode | None:
        """Return the episode of a row; None if it is not public, or its publisher
        keeps it out of public lists."""
        podcast = self.podcast(row)
        known = self.episodes.get((row.rss_source_feed or "", row.rss_source_item or ""))
        if podcast is None or known is None or known.blocked:
            return None
        return public_episode(row.rss_source_item, podcast, known)


def known_of(rows: Iterable[Any]) -> PublicTitles:
    """Return what is public about rows with ``rss_source_feed`` and ``rss_source_item``."""
    names = [(row.rss_source_feed, row.rss_source_item) for row in rows]
    feeds = public_feeds({feed for feed, _ in names})
    return PublicTitles(feeds, episodes_of(names, feeds))


def followed_by(user: object, feeds: Iterable[str]) -> set[str]:
    """Return which of these feeds the reader follows; none for a visitor."""
    wanted = list(feeds)
    if not isinstance(user, User) or not wanted:
        return set()
    return {row.rss_source_feed for row in queries.subscriptions_of(user.pk, wanted).rows}


def hidden_from(request: HttpRequest) -> list[UUID]:
    """Return the digests of the feeds that the reader has hidden from public lists."""
    return list(request.user.hidden_podcasts) if isinstance(request.user, User) else []


def hide(user: User, feed: str, *, hidden: bool) -> None:
    """Hide a feed from a listener on every device, or show it again. Only the digest is stored, as
    the address may be a secret."""
    key = UUID(feed_key_of(feed))
    others = [each for each in user.hidden_podcasts if each != key]
    user.hidden_podcasts = [*others, key][-MOST_HIDDEN:] if hidden else others
    user.save(update_fields=["hidden_podcasts"])
