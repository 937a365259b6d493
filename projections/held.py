"""Removals that wait for their listeners, by how long they have waited."""

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from projections.connect import run

HELD_BEFORE = """
SELECT user_id, array_agg(rss_source_feed) FROM users.held_removals
 WHERE held_at < %s AND (settled_at IS NULL OR held_at >= settled_at) GROUP BY user_id
"""


def held_before(moment: datetime) -> Iterator[tuple[UUID, list[str]]]:
    """The listeners who were asked before a time and have not answered, with the feeds that it is about."""
    yield from run(HELD_BEFORE, [moment]).fetchall()
