"""The operator's decisions on which feeds are one show, and where they live."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db.models import Q

from eventstore.domain.identifiers import feed_key_of, feed_of_url, url_of_feed
from feeds import merges, moves
from feeds.merges import NotMergeable
from feeds.models import Feed, FeedMove
from operations.errors import OperatorError
from operations.feeds import name_of

# the most moves that are listed, newest first
MOST_LISTED: Final = 1_000


class Unknown(OperatorError):
    """No feed, or no evidence, is known by that name."""


def merge(name: str, kept_name: str, now: datetime) -> tuple[str, str]:
    """Merge the feed of one name into that of another; return the addresses of both.

    A name is a URL or an ``rss_source_feed``. Raises ``OperatorError``.
    """
    feed, kept = _feed_of(name), _feed_of(kept_name)
    try:
        moves.check_public(feed.pk, kept.pk)
        merges.merge(feed.pk, kept.pk, "operator", now)
    except NotMergeable as refused:
        raise OperatorError(f"Not merged: {refused}.") from refused
    return feed.url, kept.url


def unmerge(name: str, now: datetime) -> tuple[str, str]:
    """Separate a feed from the one that it was merged into; return the addresses of both.

    Raises ``OperatorError``.
    """
    url = _address_of(name)
    try:
        return url, merges.unmerge(url, now)
    except NotMergeable as refused:
        raise OperatorError(f"Not unmerged: {refused}.") from refused


def evidence(*, undecided: bool = False, decided: bool = False) -> Iterator[FeedMove]:
    """Return the moves that wait for the operator; on request also those undecided, and those decided."""
    wanted = Q(decided="waiting")
    if undecided:
        wanted |= Q(decided=None)
    if decided:
        wanted |= Q(decided__in=("followed", "refused"))
    rows = FeedMove.objects.filter(wanted).select_related("feed")
    yield from rows.order_by("-last_seen_at", "feed_id", "to_url")[:MOST_LISTED]


def decide(name: str, to_name: str, now: datetime, *, follows: bool) -> None:
    """Follow, or refuse, the evidence that a feed lives elsewhere. Raises ``OperatorError``."""
    feed, to_url = _feed_of(name), _address_of(to_name)
    known = FeedMove.objects.filter(feed=feed, to_url=to_url).exclude(decided="followed").first()
    if known is None:
        raise Unknown("There is no such move to decide on: manage.py feed_moves --all lists them.")
    act = moves.follow if follows else moves.refuse
    try:
        done = act(feed.pk, to_url, now, was=known.decided)
    except NotMergeable as refused:
        raise OperatorError(f"Not followed: {refused}.") from refused
    if not done:
        raise OperatorError("It was decided in this moment by somebody else.")


def _feed_of(name: str) -> Feed:
    key = UUID(feed_key_of(feed_of_url(_address_of(name))))
    feed = Feed.objects.filter(aliases__feed_key=key).first()
    if feed is None:
        raise Unknown("No feed is known by this address.")
    return feed


def _address_of(name: str) -> str:
    return url_of_feed(name_of(name))
