"""Feeds that are kept from the public whatever the listeners' privacy levels: by ``itunes:block``, or by the
operator."""

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
    """Return the newest mark by each marker, of every feed or of one; retention deletes the marks that
    unblock."""
    values = {"feed_key": None if feed_key is None else str(feed_key)}
    return [cast(FeedMarked, codec.decode(*row)) for row in execute(SQL["feed_marks"], values)]


def mark(feed: str, marked_by: Marker, now: datetime, *, blocked: bool) -> int | None:
    """Block a feed or unblock it, for everything that the public reads from then on, past events included.

    ``feed``: a normalised ``rss_source_feed``, which need not be known. A marker lifts only its own mark.
    Return the position, or None, with nothing recorded, where nothing would change.
    """
    return mark_key(UUID(key_of(feed)), marked_by, now, blocked=blocked)


def mark_all(wanted: Mapping[UUID, bool], marked_by: Marker, now: datetime) -> int:
    """Block or unblock many feeds in one append. ``wanted``: whether the feed of each digest is to be
    blocked.

    Return how many marks changed; nothing is recorded for the others.
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
    """Like ``mark``, for a feed of which only the digest is known."""

    def decide() -> Sequence[Event]:
        known = any(mark.blocked for mark in feed_marks(feed_key) if mark.marked_by == marked_by)
        if known == blocked:
            return []
        return [FeedMarked(feed_key=feed_key, marked_by=marked_by, blocked=blocked, marked_at=now)]

    position = log.decide_for_instance(decide)
    if position is not None:
        log.notify()
    return position
