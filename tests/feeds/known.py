"""Feeds and episodes as if they had been fetched."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from eventstore.domain.identifiers import feed_key_of, feed_of_url, normalise_url
from feeds.keys import episode_key, item_hash
from feeds.models import Episode, EpisodeItem, Feed, FeedAlias, FeedHost, FeedSchedule

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def known_feed(url: str = "https://example.org/1.xml", /, **fields: Any) -> Feed:
    """A feed that was read: with its alias, and its schedule where a field of that is given. ``title``, and
    whatever else ``Feed`` and ``FeedSchedule`` have."""
    in_schedule = {field.name for field in FeedSchedule._meta.get_fields()} - {"feed", "host"}
    scheduled = {name: fields.pop(name) for name in list(fields) if name in in_schedule}
    host_fields = fields.pop("host", {})
    feed = Feed.objects.using("system").create(url=normalise_url(url), **{"state": "active", **fields})
    known_as(feed, url)
    name = url.split("/")[2]
    host, _ = FeedHost.objects.using("system").update_or_create(name=name, defaults=host_fields)
    times = {"next_at": NOW, "fetched_at": NOW, "ok_at": NOW, **scheduled}
    FeedSchedule.objects.using("system").create(feed=feed, host=host, slot=0, **times)
    return feed


def known_as(feed: Feed, url: str, reason: str = "typed") -> str:
    """Another address of a feed; its ``rss_source_feed``."""
    name = feed_of_url(url)
    key = UUID(feed_key_of(name))
    FeedAlias.objects.using("system").create(feed_key=key, url=normalise_url(url), feed=feed, reason=reason)
    return name


def known_episode(feed: Feed, guid: str = "episode-1", enclosure: str = "", /, **fields: Any) -> Episode:
    """An episode that was read."""
    values = {"key": episode_key(guid, enclosure), "content_hash": b"", "sort_at": NOW, **fields}
    episode = Episode.objects.using("system").create(feed=feed, guid=guid, enclosure_url=enclosure, **values)
    known_item(episode, guid, enclosure)
    return episode


def known_item(episode: Episode, guid: str, enclosure: str) -> None:
    """Another pair that an episode was known by."""
    EpisodeItem.objects.using("system").create(
        item_hash=item_hash(episode.feed_id, guid, enclosure), feed_id=episode.feed_id, episode=episode
    )
