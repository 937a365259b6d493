"""Podcasts that the instance knows and listeners follow, as if their feeds had been fetched."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from benchmarks import refreshing, sample
from eventstore import log
from eventstore.domain.identifiers import feed_key_of, feed_of_url, item_of
from eventstore.domain.subscriptions import UserSubscribed
from feeds.keys import episode_key, item_hash


class Known(NamedTuple):
    """An episode: the numbers of its podcast and of itself, the names that apps use for both, and their keys
    here."""

    show: int
    place: int
    feed: str
    item: str
    feed_uid: UUID
    episode_id: int


def fill(shows: int, episodes: int, *, covers: bool = False) -> list[Known]:
    """Create so many podcasts, and delete all others; each has so many episodes, one a day up to today.
    ``covers`` gives each a picture."""
    from feeds.models import Feed, FeedAlias

    refreshing.empty()
    known: list[Known] = []
    for show in range(shows):
        feed = Feed.objects.create(
            url=url_of(show),
            title=f"Show {show}",
            author="The people of the show",
            description="<p>What happened this week.</p>",
            cover_url=f"https://shows.example/{show}.jpg" if covers else "",
            state="active",
            version=1,
            episode_count=episodes,
            newest_at=_at(show, episodes - 1, episodes),
        )
        name = feed_of_url(feed.url)
        FeedAlias.objects.create(feed_key=UUID(feed_key_of(name)), url=feed.url, feed=feed)
        known += _episodes(feed, name, show, episodes)
    return known


def _episodes(feed: Any, name: str, show: int, count: int) -> list[Known]:
    from feeds.models import Episode, EpisodeItem

    rows = Episode.objects.bulk_create(
        [Episode(feed=feed, **_described(show, place, count)) for place in range(count)], batch_size=1_000
    )
    EpisodeItem.objects.bulk_create(
        EpisodeItem(
            item_hash=item_hash(feed.pk, row.guid, row.enclosure_url),
            feed=feed,
            episode=row,
            enclosure_url=row.enclosure_url,
        )
        for row in rows
    )
    return [
        Known(show, place, name, item_of(row.guid, row.enclosure_url), feed.uid, row.pk)
        for place, row in enumerate(rows)
    ]


def follow(user_ids: Iterable[UUID], shows: int) -> None:
    """Append the events of new listeners who follow so many podcasts."""
    since = datetime.now(UTC) - timedelta(days=1)
    for user_id in user_ids:
        events = [
            UserSubscribed(
                user_id=user_id,
                rss_source_feed=feed_of_url(url_of(show)),
                subscribed_at=since + timedelta(seconds=show),
            )
            for show in range(shows)
        ]
        log.append(log.stream_of(user_id), 0, events, sample.ORIGIN)


def url_of(show: int) -> str:
    return f"https://shows.example/{show}.xml"


def audio_of(show: int, place: int) -> str:
    return f"https://audio.example/{show}/{place}.mp3"


def _described(show: int, place: int, count: int) -> dict[str, Any]:
    guid, url, at = f"episode-{place}", audio_of(show, place), _at(show, place, count)
    return {
        "key": episode_key(guid, url),
        "guid": guid,
        "enclosure_url": url,
        "enclosure_type": "audio/mpeg",
        "title": f"Episode {place} of show {show}, in which something happens",
        "description": "<p>What <b>happened</b> this week, and what did not.</p>" * 10,
        "published_at": at,
        "sort_at": at,
        "duration": 1_800,
        "content_hash": bytes(16),
    }


def _at(show: int, place: int, count: int) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) - timedelta(days=count - place, minutes=show)
