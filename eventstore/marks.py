"""Feeds that are kept from the public whatever the listeners' levels: ``itunes:block``, or the operator."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import cast
from uuid import UUID

from eventstore import codec, log
from eventstore.database import SQL, execute
from eventstore.domain.checkpoint import FeedMarked, Marker
from eventstore.domain.identifiers import key_of
from eventstore.domain.messages import Event


def feed_marks(feed_key: UUID | None = None) -> list[FeedMarked]:
    """The newest mark by each marker, of every feed or of one; retention deletes those that lift."""
    values = {"feed_key": None if feed_key is None else str(feed_key)}
    return [cast(FeedMarked, codec.decode(*row)) for row in execute(SQL["feed_marks"], values)]


def mark(feed: str, marked_by: Marker, now: datetime, *, blocked: bool) -> int | None:
    """Block a feed, or lift that: for all that the public reads from then on, the past included.

    ``feed``: a normalised ``rss_source_feed``, of which nothing need be known. Each marker lifts its own mark
    alone. Returns the position; None, with nothing recorded, where it is so already.
    """
    return mark_key(UUID(key_of(feed)), marked_by, now, blocked=blocked)


def mark_all(wanted: Mapping[UUID, bool], marked_by: Marker, now: datetime) -> int:
    """Mark the feeds of these digests that are to be blocked, and lift the marks of those that are not.

    In one append. Returns how many it changed; of those that are so already, nothing is recorded.
    """
    changed: list[Event] = []

    def decide() -> Sequence[Event]:
        known = {mark.feed_key for mark in feed_marks() if mark.blocked and mark.marked_by == marked_by}
        differing = {key: blocked for key, blocked in wanted.items() if blocked != (key in known)}
        changed[:] = [
            FeedMarked(feed_key=key, marked_by=marked_by, blocked=blocked, marked_at=now)
            for key, blocked in differing.items()
        ]
        return changed

    if log.decide_for_instance(decide) is not None:
        log.notify()
    return len(changed)


def mark_key(feed_key: UUID, marked_by: Marker, now: datetime, *, blocked: bool) -> int | None:
    """``mark``, of a feed of which the digest alone is at hand."""

    def decide() -> Sequence[Event]:
        known = any(mark.blocked for mark in feed_marks(feed_key) if mark.marked_by == marked_by)
        if known == blocked:
            return []
        return [FeedMarked(feed_key=feed_key, marked_by=marked_by, blocked=blocked, marked_at=now)]

    position = log.decide_for_instance(decide)
    if position is not None:
        log.notify()
    return position
