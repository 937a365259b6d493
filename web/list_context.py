"""The context of the page of a playlist or a collection."""

from typing import Any, NamedTuple
from uuid import UUID

from web.display import Episode
from web.lists import ListKind, ListSummary, Member

MEMBERS = 60
# the largest playlist, in episodes, for which durations are added up
TIMED = 500


class Total(NamedTuple):
    """Seconds in a playlist, how many of these are not heard yet, and the number of
    episodes of unknown duration."""

    duration: int
    left: int
    unknown: int


def page_of(user_id: UUID, kind: ListKind, list_id: UUID, after: str) -> dict[str, Any]:
    """Return the context of the page of a list. Raises ``Http404`` and ``InvalidCursor``."""
    listed = kind.find(user_id, list_id)
    page = kind.reads.members(user_id, list_id, after or None, MEMBERS)
    rows = page.rows
    is_timed = kind.is_playlists and not after and listed.size <= TIMED
    if is_timed and page.next:
        rows = kind.reads.members(user_id, list_id, limit=TIMED).rows
    members = kind.show(user_id, rows)
    return {
        "kind": kind,
        "list": listed,
        "members": members[:MEMBERS],
        "total": _total(members) if is_timed else None,
        "play": _first_to_play(members, listed) if kind.is_playlists else None,
        "after": after,
        "following": f"{listed.page}?after={page.next}" if page.next else "",
        "first": listed.page if after else "",
    }


def _total(members: list[Member]) -> Total:
    episodes = [each.shown for each in members if isinstance(each.shown, Episode)]
    known = [each for each in episodes if each.duration]
    duration = sum(each.duration or 0 for each in known)
    left = sum(max(0, (each.duration or 0) - each.position) for each in known if not each.played)
    return Total(duration, left, len(episodes) - len(known))


def _first_to_play(members: list[Member], listed: ListSummary) -> Episode | None:
    """Return the first episode that is not played, else the first one; for the queue always the first one."""
    episodes = [each.shown for each in members if isinstance(each.shown, Episode)]
    if listed.is_queue:
        return episodes[0] if episodes else None
    return next((each for each in episodes if not each.played), episodes[0] if episodes else None)
