"""The lines of the history, with those that belong together gathered into one that can be opened."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from django.utils.translation import gettext as _

from eventstore.log import RecordedEvent
from web.toasts import undo_between

# the number of lines of one sync from which on they are gathered
LEAST: Final = 3
# events of one append are recorded within this time of each other, and nobody clicks that fast
AT_ONCE: Final = timedelta(milliseconds=250)

# the icons of what was heard of an episode
PLAYS: Final = frozenset({"play", "check"})


class Subject(NamedTuple):
    """The podcast or episode that an event is about, with the path of its page."""

    title: str
    path: str
    podcast: str = ""


class HistoryLine(NamedTuple):
    """An event in words. ``arrived_at``: set if it arrived much later than it happened. ``holds``: whether
    what it said is still in effect; None if that is unknown. ``before``: what it replaced, or "". ``undo``:
    the path at which it can be undone, or "". ``is_undone``: whether it has been undone. ``version`` and
    ``recorded_at``: those of the event."""

    icon: str
    what: str
    before: str
    subject: Subject | None
    happened_at: datetime
    arrived_at: datetime | None
    source: str
    holds: bool | None
    undo: str
    is_undone: bool
    version: int
    recorded_at: datetime


class HistoryGroup(NamedTuple):
    """A line with others below it. ``earlier``: what one device reported of the same episode before, and
    ``line`` replaced. ``gathered``: what one sync said of several episodes or podcasts, ``line`` included."""

    line: HistoryLine
    earlier: list[HistoryLine]
    gathered: list[HistoryLine]

    @property
    def what(self) -> str:
        """Return what was done: "Listened", where only some of these episodes were played to the end."""
        is_mixed = any(line.what != self.line.what for line in self.gathered)
        return _("Listened") if is_mixed else self.line.what

    @property
    def of_episodes(self) -> bool:
        return all(line.subject is not None and line.subject.podcast for line in self.gathered)

    @property
    def is_undone(self) -> bool:
        return all(line.is_undone for line in self.gathered or [self.line])

    @property
    def is_replaced(self) -> bool:
        return all(line.holds is False for line in self.gathered or [self.line])

    @property
    def undo_all(self) -> str:
        """Return the path that undoes everything gathered here at once; "" where other events lie between."""
        versions = [line.version for line in self.gathered if line.undo]
        if len(versions) < LEAST or max(versions) - min(versions) != len(versions) - 1:
            return ""
        return undo_between(min(versions) - 1, max(versions))


def stretches(lines: Iterable[HistoryLine]) -> list[HistoryGroup]:
    """Gather lines: a player reports its position every 15 seconds, so an hour of listening becomes one
    line; so do thirty episodes that one sync adds to a playlist."""
    found: list[HistoryGroup] = []
    for line in lines:
        last = found[-1] if found else None
        if last is not None and not last.gathered and _is_earlier(line, last.line):
            last.earlier.append(line)
        elif last is not None and not last.earlier and _came_together(line, last):
            last.gathered.extend([line] if last.gathered else [last.line, line])
        else:
            found.append(HistoryGroup(line, [], []))
    return [one for each in found for one in _apart(each)]


def belong_together(row: RecordedEvent, later: RecordedEvent) -> bool:
    """Whether two events may be of one gathered line, so that no page should end between them."""
    return row.type == later.type and later.recorded_at - row.recorded_at < AT_ONCE


def _apart(stretch: HistoryGroup) -> Iterator[HistoryGroup]:
    if 0 < len(stretch.gathered) < LEAST:
        yield from (HistoryGroup(line, [], []) for line in stretch.gathered)
    else:
        yield stretch


def _is_earlier(line: HistoryLine, later: HistoryLine) -> bool:
    """Whether a line belongs to the same listening session as a later one; its
    beginning is a line of its own."""
    if line.icon != "play" or not line.before or line.holds is not False or line.is_undone:
        return False
    return (line.icon, line.subject, line.source) == (later.icon, later.subject, later.source)


def _came_together(line: HistoryLine, stretch: HistoryGroup) -> bool:
    """Whether one sync said the same of something else."""
    known = stretch.gathered or [stretch.line]
    later = known[-1]
    if line.subject is None or later.subject is None or line.subject in [one.subject for one in known]:
        return False
    if later.recorded_at - line.recorded_at >= AT_ONCE:
        return False
    return (_act(line), line.source, line.is_undone) == (_act(later), later.source, later.is_undone)


def _act(line: HistoryLine) -> str:
    """Return what a line says that was done, the same for all that was heard of an episode."""
    return "plays" if line.icon in PLAYS else line.what
