"""Record what publishers keep from the public (itunes:block, podcast:locked) as marks in the event log.

Feeds and marks are compared as a whole, so nothing is lost while the event store is unavailable: the next
comparison finds the difference. All addresses of a feed are marked, because listeners' data stays under the
address that they used.
"""

from datetime import datetime
from typing import Final
from uuid import UUID

from eventstore import marks
from feeds.store import execute

# number of marks in one append
AT_ONCE: Final = 1_000

# While a feed has never been read, its publisher's wish is unknown: existing marks stay.
BLOCKED = """SELECT feed_key, blocked OR locked
  FROM system.feed_aliases JOIN system.feeds ON feeds.id = feed_id
 WHERE blocked OR locked OR (state <> 'new' AND feed_key = ANY(%s))"""

# finds a feed by any of its addresses
KEYS = """SELECT feed_key FROM system.feed_aliases
 WHERE feed_id = (SELECT feed_id FROM system.feed_aliases WHERE feed_key = %s)"""


def keys_of(feed_key: UUID) -> list[UUID]:
    """Return the digests of all addresses of the feed with this one; of an unknown feed, only this one."""
    return [key for (key,) in execute(KEYS, [feed_key])] or [feed_key]


def mark_blocked(now: datetime) -> int:
    """Block what publishers block, and lift blocks that they have lifted; returns how many marks changed.

    Raises ``psycopg.OperationalError`` (or Django's) when the system store or the event store is unavailable.
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
