"""Numbers on refreshing feeds, for metrics and for the operator. They contain no address of a feed."""

from datetime import datetime
from typing import Any, Final, NamedTuple

from feeds.store import execute

# Seconds from an episode's publishing to its storing: the buckets of a histogram.
DELAYS: Final = (60, 300, 900, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400)
# Feeds of paused hosts wait on purpose. One pass over the narrow table: 15 ms for 100,000 feeds.
_DUE = """next_at <= %(now)s
       AND host_id NOT IN (SELECT id FROM system.feed_hosts WHERE paused_until > %(now)s)"""
FEEDS = f"""SELECT count(*), count(*) FILTER (WHERE next_at IS NULL), count(*) FILTER (WHERE ok_at IS NULL),
       count(*) FILTER (WHERE failures > 0), count(*) FILTER (WHERE {_DUE}),
       extract(epoch FROM %(now)s - min(next_at) FILTER (WHERE {_DUE})), max(fetched_at), max(ok_at)
  FROM system.feed_schedule"""  # noqa: S608
# counted here because the counts in the rows of hosts may be an hour old
_OF_HOST = "(SELECT count(*) FROM system.feed_schedule WHERE host_id = feed_hosts.id)"
PAUSED = f"""SELECT count(*), coalesce(sum({_OF_HOST}), 0)::bigint FROM system.feed_hosts
 WHERE paused_until > %s"""  # noqa: S608
ERRORS = """SELECT error, count(*) FROM system.feed_schedule WHERE error <> '' GROUP BY error
 ORDER BY 2 DESC, 1"""
HOSTS = f"""SELECT name, {_OF_HOST}, failures, paused_until FROM system.feed_hosts WHERE paused_until > %s
 ORDER BY 2 DESC, name LIMIT 20"""  # noqa: S608


class Figures(NamedTuple):
    """Counts of feeds. ``unwanted``: without followers, thus not refreshed; ``unread``: never read so far;
    ``failing``: their last fetch failed; ``due``: a pump may fetch them now, their hosts are not paused;
    ``overdue_s``: for how long the oldest of these has been due."""

    feeds: int
    unwanted: int
    unread: int
    failing: int
    due: int
    overdue_s: float
    fetched_at: datetime | None
    ok_at: datetime | None
    paused_hosts: int
    paused_feeds: int


class PausedHost(NamedTuple):
    """A paused host. ``failures``: its consecutive network failures; 0 where the host asked for a pause."""

    name: str
    feeds: int
    failures: int
    paused_until: datetime


def figures(now: datetime) -> Figures:
    """Return the current figures. Like all functions here, raises the store's error if it is unavailable."""
    row: list[Any] = [*execute(FEEDS, {"now": now}).fetchall()[0], *execute(PAUSED, [now]).fetchall()[0]]
    row[5] = float(row[5] or 0)
    return Figures(*row)


def errors() -> dict[str, int]:
    """Return the number of feeds whose last fetch failed, by error, the most frequent first."""
    return dict(execute(ERRORS).fetchall())


def paused_hosts(now: datetime) -> list[PausedHost]:
    """Return the twenty paused hosts with the most feeds."""
    return [PausedHost(*row) for row in execute(HOSTS, [now])]
