"""What publishers keep from the public (itunes:block, podcast:locked), as marks in the log of events.

Rows and marks are compared as a whole, so nothing is lost where the event store was away: the next
comparison finds the difference. All addresses of a feed are marked, for what listeners did stays under the
one that they used.
"""

from datetime import datetime
from typing import Final
from uuid import UUID

from eventstore import marks
from feeds.store import execute

# marks in one append
AT_ONCE: Final = 1_000

# Of a feed that was never read nobody knows what its publisher wants: what was marked stays.
BLOCKED = """SELECT feed_key, blocked OR locked
  FROM system.feed_aliases JOIN system.feeds ON feeds.id = feed_id
 WHERE blocked OR locked OR (state <> 'new' AND feed_key = ANY(%s))"""

# under any of its addresses
KEYS = """SELECT feed_key FROM system.feed_aliases
 WHERE feed_id = (SELECT feed_id FROM system.feed_aliases WHERE feed_key = %s)"""


def keys_of(feed_key: UUID) -> list[UUID]:
    """The digests of all addresses of the feed that is known by this one; of an unknown feed, this one."""
    return [key for (key,) in execute(KEYS, [feed_key])] or [feed_key]


def mark_blocked(now: datetime) -> int:
    """Block what publishers block, and lift what they lift; returns how many marks that were.

    Raises ``psycopg.OperationalError`` (or Django's) when the system store or the event store is away.
    """
    known = [mark.feed_key for mark in marks.feed_marks() if mark.blocked and mark.marked_by == "publisher"]
    wanted: dict[UUID, bool] = dict(execute(BLOCKED, [known]).fetchall())
    marked = set(known)
    differing = [key for key, blocked in wanted.items() if blocked != (key in marked)]
    changed = 0
    for start in range(0, len(differing), AT_ONCE):
        part = {key: wanted[key] for key in differing[start : start + AT_ONCE]}
        changed += marks.mark_all(part, "publisher", now)
    return changed
