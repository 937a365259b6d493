"""How many podcasts a device may unfollow at once, and what becomes of those that are held."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from eventstore.domain.batch import Batch
from eventstore.domain.held_removals import HeldRemoval, SettleRemoval
from eventstore.domain.subscriptions import Subscription, Unsubscribe

# A device may unfollow this many podcasts within ``WHILE`` unasked, or this part of those followed, whichever
# is more.
UNASKED: Final = 10
UNASKED_PART: Final = 0.3
WHILE: Final = timedelta(minutes=10)
# how long a removal is held before it is taken for a mistake of the app
LONGEST_HELD: Final = timedelta(days=14)


def is_too_much(removals: int, before: int, followed: int) -> bool:
    """Whether the listener is asked first. ``before``: how many podcasts the device has unfollowed within
    ``WHILE``; ``followed``: how many are followed, without these."""
    return removals > 0 and before + removals > max(UNASKED, UNASKED_PART * (followed + before))


def is_held(held: HeldRemoval | None, subscription: Subscription | None) -> bool:
    """Whether a removal awaits its listener: not where the podcast was unfollowed, or followed again,
    since."""
    if held is None or held.held_at is None or not held.is_held:
        return False
    if subscription is None or not subscription.active:
        return False
    return subscription.subscribed_at is None or subscription.subscribed_at <= held.held_at


def confirm(user_id: UUID, feeds: Iterable[str], now: datetime) -> Batch:
    """Return the orders that unfollow what a device wanted to unfollow."""
    who = {"user_id": user_id, "now": now}
    orders = [order(**who, feed=feed) for feed in feeds for order in (Unsubscribe, SettleRemoval)]  # type: ignore[arg-type]
    return Batch(user_id=user_id, now=now, orders=tuple(orders))


def discard(user_id: UUID, feeds: Iterable[str], now: datetime) -> Batch:
    """Return the orders that keep the podcasts followed; the device is told of them again."""
    orders = [SettleRemoval(user_id=user_id, now=now, feed=feed) for feed in feeds]
    return Batch(user_id=user_id, now=now, orders=tuple(orders))
