"""Feeds as the pump would have left them, for tests of what happens to their addresses."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from eventstore.domain.identifiers import feed_key_of, feed_of_url
from feeds.fetch import Hop, Outcome, Request
from feeds.models import Feed, FeedAlias, FeedSchedule
from feeds.store import ensure
from tests.feeds.rows import EpisodeFactory

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
A, B, C, D = (f"https://{name}.example/feed.xml" for name in "abcd")
GUID = UUID("917393e3-1b1e-5cef-ace4-edaa54e1f810")


def read(url: str, guids: Iterable[str] = (), *, at: datetime = NOON, **more: Any) -> Feed:
    """A feed that was read at the time ``at``, with an episode for each GUID, newest first."""
    feed_id = ensure([feed_of_url(url)], at).ids[feed_of_url(url)]
    Feed.objects.filter(pk=feed_id).update(
        **{"state": "active", "first_seen_at": at, "changed_at": at, "title": url, **more}
    )
    FeedSchedule.objects.filter(pk=feed_id).update(ok_at=at, etag='"1"', validators_url=url)
    feed = Feed.objects.get(pk=feed_id)
    for number, guid in enumerate(guids):
        EpisodeFactory.create(
            feed=feed,
            guid=guid,
            enclosure_url=f"{url}/{guid}.mp3",
            published_at=at - number * DAY,
        )
    return feed


def fetched(url: str, *hops: tuple[int, str], code: str = "ok") -> Outcome:
    """The outcome of fetching an address that redirected through some hops, each with its status."""
    found, at = [], url
    for status, to in hops:
        found.append(Hop(at, status, to))
        at = to
    return Outcome(Request(url), code, 200, at, found)


def aliases(feed: Feed) -> dict[str, str]:
    """The addresses by which a feed is known, each with the reason."""
    return dict(FeedAlias.objects.filter(feed=feed).values_list("url", "reason"))


def at_address(url: str) -> Feed:
    """The feed to which an address leads."""
    return Feed.objects.get(aliases__feed_key=UUID(feed_key_of(feed_of_url(url))))
