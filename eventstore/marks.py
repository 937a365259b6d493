"""Feeds that are kept from the public whatever the listeners' levels: ``itunes:block``, or the operator."""

from datetime import datetime
from uuid import UUID

from eventstore import store
from eventstore.domain.identifiers import key_of
from eventstore.domain.retention import Marker


def mark(feed: str, marked_by: Marker, now: datetime, *, blocked: bool) -> int | None:
    """Block a feed, or lift that: for all that the public reads from then on, the past included.

    ``feed``: a normalised ``rss_source_feed``, of which nothing need be known. Each marker lifts its own mark
    alone. Returns the position; None, with nothing recorded, where it is so already.
    """
    return mark_key(UUID(key_of(feed)), marked_by, now, blocked=blocked)


def mark_key(feed_key: UUID, marked_by: Marker, now: datetime, *, blocked: bool) -> int | None:
    """``mark``, of a feed of which the digest alone is at hand."""
    position = store.mark_feed(feed_key, marked_by, now, blocked=blocked)
    if position is not None:
        store.notify()
    return position
