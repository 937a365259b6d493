"""Factories of feeds and their episodes: rows as they would be after fetching and storing."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import factory
from factory import LazyAttribute, LazyFunction, Sequence
from factory.django import DjangoModelFactory

from eventstore.domain.identifiers import feed_key_of, feed_of_url, item_of
from feeds.keys import episode_key, item_hash
from feeds.models import Episode, EpisodeItem, Feed, FeedAlias

PUBLISHED = datetime(2026, 11, 1, 6, 0, tzinfo=UTC)


class FeedFactory(DjangoModelFactory[Feed]):
    """A feed that was read once, known by its own address and those of ``aliases``."""

    class Meta:
        model = Feed
        skip_postgeneration_save = True

    url: Any = Sequence(lambda number: f"https://shows.example/show-{number}.xml")
    title: Any = Sequence(lambda number: f"Show {number}")
    link = "https://shows.example/"
    description = "What happened this week."
    author = "The people of the show"
    language = "en"
    state = Feed.State.ACTIVE
    version = 1
    first_seen_at = changed_at = PUBLISHED

    @factory.post_generation
    def aliases(self: Feed, create: bool, urls: Any, **options: Any) -> None:
        for url in (self.url, *(urls or ())) if create else ():
            FeedAlias.objects.create(feed_key=alias_key(url), url=url, feed=self)


class EpisodeFactory(DjangoModelFactory[Episode]):
    """An episode as its feed described it, each published an hour after the one before."""

    class Meta:
        model = Episode
        skip_postgeneration_save = True

    feed: Any = factory.SubFactory(FeedFactory)
    guid: Any = Sequence(lambda number: f"episode-{number}")
    enclosure_url: Any = Sequence(lambda number: f"https://audio.example/{number}.mp3")
    enclosure_type = "audio/mpeg"
    enclosure_length = 4_096_000
    title: Any = Sequence(lambda number: f"Episode {number}")
    description = "<p>About <b>many</b> things.</p>"
    published_at: Any = Sequence(lambda number: PUBLISHED + timedelta(hours=number))
    sort_at = LazyAttribute(lambda episode: episode.published_at or PUBLISHED)
    duration = 1_800
    key = LazyAttribute(lambda episode: episode_key(episode.guid, episode.enclosure_url))
    content_hash = LazyFunction(lambda: bytes(16))
    first_seen_at = changed_at = PUBLISHED

    @factory.post_generation
    def items(self: Episode, create: bool, pairs: Any, **options: Any) -> None:
        """Record the item ids of the episode, including those of older ``pairs`` of GUID and enclosure."""
        for guid, enclosure_url in ((self.guid, self.enclosure_url), *(pairs or ())) if create else ():
            EpisodeItem.objects.create(
                item_hash=item_hash(self.feed_id, guid, enclosure_url),
                feed_id=self.feed_id,
                episode=self,
                enclosure_url=enclosure_url,
            )


def alias_key(url: str) -> UUID:
    return UUID(hex=feed_key_of(feed_of_url(url)))


def name_of(feed: Feed) -> str:
    """The ``rss_source_feed`` by which apps know a feed."""
    return feed_of_url(feed.url)


def item_name(episode: Episode) -> str:
    """The ``rss_source_item`` of an episode."""
    return item_of(episode.guid, episode.enclosure_url)
