"""Held removals: unfollows that wait for their listeners' answers, by how long they have waited."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from projections.connect import run

HELD_BEFORE = """
SELECT user_id, array_agg(rss_source_feed) FROM users.held_removals
 WHERE held_at < %s AND (settled_at IS NULL OR held_at >= settled_at) GROUP BY user_id
"""


def held_before(moment: datetime) -> Iterator[tuple[UUID, list[str]]]:
    """Yield the listeners who were asked before ``moment`` and have not answered, with the feeds in
    question."""
    yield from run(HELD_BEFORE, [moment]).fetchall()


class Waiting(NamedTuple):
    """A removal that waits. ``caption``: the name of the listener's device, if it has one."""

    feed: str
    device: str
    caption: str | None
    held_at: datetime


WAITING = """
SELECT held.rss_source_feed, coalesce(held.device, ''), devices.caption, held.held_at
  FROM users.held_removals AS held
  JOIN users.subscriptions AS followed USING (user_id, feed_key)
  LEFT JOIN users.devices AS devices ON devices.user_id = held.user_id AND devices.device = held.device
 WHERE held.user_id = %s AND (held.settled_at IS NULL OR held.held_at >= held.settled_at)
   AND followed.subscribed_at <= held.held_at
   AND (followed.unsubscribed_at IS NULL OR followed.unsubscribed_at < followed.subscribed_at)
 ORDER BY held.held_at, held.feed_key
"""


def waiting(user_id: UUID) -> list[Waiting]:
    """Return the unfollows by a listener's devices that still wait for an answer."""
    return [Waiting(*row) for row in run(WAITING, [user_id])]
