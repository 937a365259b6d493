"""Feeds and episodes with their schedule, as a pump that fetched them would have stored them."""

from datetime import UTC, datetime
from typing import Any

from eventstore.domain.identifiers import feed_of_url, normalise_url
from feeds.keys import item_hash
from feeds.models import Episode, EpisodeItem, Feed, FeedAlias, FeedHost, FeedSchedule
from tests.feeds.rows import EpisodeFactory, FeedFactory, alias_key

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
IN_SCHEDULE = {field.name for field in FeedSchedule._meta.get_fields()} - {"feed", "host"}


def known_feed(url: str = "https://example.org/1.xml", /, **fields: Any) -> Feed:
    """A feed that was read at noon; ``fields`` are of ``Feed`` and ``FeedSchedule``, ``host`` of
    ``FeedHost``."""
    scheduled = {name: fields.pop(name) for name in list(fields) if name in IN_SCHEDULE}
    paused = fields.pop("host", {})
    feed: Feed = FeedFactory.create(url=normalise_url(url), **fields)
    host, _ = FeedHost.objects.update_or_create(name=url.split("/")[2], defaults=paused)
    times = {"next_at": NOW, "fetched_at": NOW, "ok_at": NOW, **scheduled}
    FeedSchedule.objects.create(feed=feed, host=host, slot=0, **times)
    return feed


def known_as(feed: Feed, url: str, reason: str = "typed") -> str:
    """Give a feed another address; return the ``rss_source_feed`` of that address."""
    FeedAlias.objects.create(feed_key=alias_key(url), url=normalise_url(url), feed=feed, reason=reason)
    return feed_of_url(url)


def known_episode(feed: Feed, guid: str = "episode-1", enclosure: str = "", /, **fields: Any) -> Episode:
    """An episode that was read from its feed."""
    episode: Episode = EpisodeFactory.create(feed=feed, guid=guid, enclosure_url=enclosure, **fields)
    return episode


def known_item(episode: Episode, guid: str, enclosure: str) -> None:
    """Record another pair of GUID and enclosure by which an episode was known."""
    digest = item_hash(episode.feed_id, guid, enclosure)
    EpisodeItem.objects.create(item_hash=digest, feed_id=episode.feed_id, episode=episode)
