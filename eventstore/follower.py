"""Follows the global order without ever skipping an event.

Positions are drawn before they are committed, so a lower one can become visible after a higher one, and a
follower that reads ``position > last`` would lose it. This follower crosses a gap only when every transaction
that could still fill it has ended, which ``pg_locks`` shows: an INSERT locks the table before it draws its
position.
"""

import time
from collections.abc import Callable
from itertools import takewhile

from eventstore import log
from eventstore.log import RecordedEvent


class Follower:
    """One reader of the global order. Must not be shared between threads.

    ``position`` is how far it has read: everything at or below it was delivered or will never exist.
    """

    def __init__(self, position: int = 0) -> None:
        self.position = position
        self._ceiling = 0
        self._writers: frozenset[str] | None = None
        self._is_quiet = False

    def read(self, limit: int = 1000) -> list[RecordedEvent]:
        """Return the next events in order; empty when nothing can be delivered now."""
        if self._is_quiet and not log.has_after(self.position):
            return []
        rows = log.read_all(self.position, limit)
        self._is_quiet = not rows
        if not rows:
            return []
        run = self._contiguous(rows)
        if run:
            return self._deliver(run)
        if self._gap_may_fill(rows[-1].position):
            return []
        # no writer is left that could fill the gap: what this second read does not show will never appear
        return self._deliver(log.read_all(self.position, limit, upto=self._ceiling)) or self._skip()

    def _contiguous(self, rows: list[RecordedEvent]) -> list[RecordedEvent]:
        first = self.position + 1
        if rows[-1].position == self.position + len(rows):
            return rows
        return [
            row for _, row in takewhile(lambda pair: pair[1].position == first + pair[0], enumerate(rows))
        ]

    def _gap_may_fill(self, highest: int) -> bool:
        """Whether a writer that may have drawn a position in the gap is still running."""
        now = log.inflight_writers()
        if self._writers is None:
            self._ceiling, self._writers = highest, now
        else:
            self._writers &= now
        return bool(self._writers)

    def _deliver(self, rows: list[RecordedEvent]) -> list[RecordedEvent]:
        if rows:
            self.position = rows[-1].position
            self._writers = None
        return rows

    def _skip(self) -> list[RecordedEvent]:
        """Skip to the ceiling, because every event above the gap was deleted meanwhile."""
        self.position = self._ceiling
        self._writers = None
        return []


def settled_head(pause: Callable[[float], None] = time.sleep) -> int:
    """Return the head of the log once no writer can fill a gap below it: up to there, reading page by page is
    safe."""
    position = log.head()
    waiting = log.inflight_writers()
    while waiting:
        pause(0.005)
        waiting &= log.inflight_writers()
    return position
