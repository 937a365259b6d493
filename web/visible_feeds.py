"""Which podcasts a listener may see: those that he follows, and those that are not kept from the public.

Any other podcast looks the same to somebody who does not follow it as one that does not exist.
"""

from typing import NamedTuple
from uuid import UUID

from django.http import Http404

from feeds.queries import FeedShown, feeds_of
from projections import exposure, queries


class VisibleFeed(NamedTuple):
    """What a listener sees of a feed. ``known`` is None for a feed that was never fetched, which its
    followers see by its address."""

    known: FeedShown | None
    is_followed: bool


def look(user_id: UUID, feed: str) -> VisibleFeed:
    """Return what the listener may see of a feed. Raises ``Http404`` if that is nothing."""
    known = feeds_of([feed]).get(feed)
    subscription = queries.subscription(user_id, feed)
    if subscription is not None and subscription.active:
        return VisibleFeed(known, is_followed=True)
    if known is None and subscription is None:
        raise Http404
    if known is not None and _is_kept_from_the_public(known, feed):
        raise Http404
    return VisibleFeed(known, is_followed=False)


def known_feeds(user_id: UUID, feed: str) -> dict[str, FeedShown]:
    """Return what is known about a feed, by its name; an empty dict if the listener may not see it."""
    try:
        known = look(user_id, feed).known
    except Http404:
        return {}
    return {} if known is None else {feed: known}


def is_open(feed: str) -> bool:
    """Whether somebody who does not follow a feed may see what is known about it."""
    known = feeds_of([feed]).get(feed)
    return known is None or not _is_kept_from_the_public(known, feed)


def _is_kept_from_the_public(known: FeedShown, feed: str) -> bool:
    return known.is_secret or known.blocked or feed in exposure.blocked([feed])
