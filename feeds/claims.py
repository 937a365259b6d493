"""Claims feeds for fetching: a claim lasts two minutes, and results are written in batches. Store: system.

A claim moves the feed's next fetch two minutes ahead. Dead processes need not be detected, because the feeds
that they had claimed become due again.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from msgspec import Struct, structs

from feeds.decide import Host, Schedule, host_after
from feeds.fetch import Request
from feeds.store import UNSYNCED, as_rows, execute

LEASE: Final = timedelta(minutes=2)
# how often a person may have one feed fetched
REFRESH_EVERY: Final = timedelta(minutes=5)

_HOST = "hosts.id, hosts.name, connections, hosts.failures, pauses, paused_until, failed_at"
_COLUMNS = f"""due.due_at, feeds.url, feeds.is_secret, feeds.reader_version, feeds.version,
       schedule.followers, {_HOST},
       schedule.feed_id, feeds.state, schedule.next_at, etag, last_modified, validators_url, body_hash,
       interval_s, fetched_at, ok_at, schedule.failures, error, error_since, status, episodes, shrunk,
       feeds.first_seen_at, newest_at,
       CASE WHEN %(websub)s THEN (SELECT lease_until FROM system.websub
                                   WHERE websub.feed_id = schedule.feed_id) END"""  # noqa: S608
_CLAIM = f"""UPDATE system.feed_schedule schedule SET next_at = %(until)s
  FROM due, system.feeds feeds, system.feed_hosts hosts, {UNSYNCED}
 WHERE schedule.feed_id = due.feed_id AND feeds.id = due.feed_id AND hosts.id = schedule.host_id
RETURNING {_COLUMNS}"""  # noqa: S608
DUE = f"""WITH due AS (
    SELECT feed_id, next_at AS due_at
      FROM system.feed_schedule schedule JOIN system.feed_hosts hosts ON hosts.id = host_id
     WHERE next_at <= %(now)s AND slot %% %(pumps)s = %(pump)s AND host_id <> ALL(%(full)s::bigint[])
       AND (paused_until IS NULL OR paused_until <= %(now)s)
     ORDER BY next_at LIMIT %(most)s FOR UPDATE OF schedule SKIP LOCKED)
{_CLAIM}"""  # noqa: S608
ONE = f"""WITH due AS (
    SELECT feed_id, next_at AS due_at
      FROM system.feed_schedule schedule JOIN system.feed_hosts hosts ON hosts.id = host_id
     WHERE feed_id = (SELECT id FROM system.feeds WHERE id = %(feed_id)s AND merged_into_id IS NULL)
       AND (paused_until IS NULL OR paused_until <= %(now)s)
       AND (%(at_once)s OR fetched_at IS NULL OR fetched_at > %(now)s OR fetched_at <= %(before)s)
       FOR UPDATE OF schedule)
{_CLAIM}"""  # noqa: S608
IS_DUE = """SELECT EXISTS (SELECT FROM system.feed_schedule
 WHERE next_at <= %(now)s AND slot %% %(pumps)s = %(pump)s)"""
RELEASE = """UPDATE system.feed_schedule schedule SET next_at = row.due_at
  FROM jsonb_to_recordset(%s) AS row (feed_id bigint, due_at timestamptz, until timestamptz)
 WHERE schedule.feed_id = row.feed_id AND next_at = row.until"""
# A push that came after the claim may announce a change that this fetch did not see yet.
FINISH = f"""UPDATE system.feed_schedule schedule SET
       next_at = least(row.next_at, CASE WHEN %(websub)s THEN (
           SELECT due_at FROM system.websub
            WHERE websub.feed_id = row.feed_id AND due_at > row.claimed_at) END),
       etag = row.etag, last_modified = row.last_modified,
       validators_url = row.validators_url, body_hash = decode(row.body_hash, 'hex'),
       interval_s = row.interval_s, fetched_at = row.fetched_at, ok_at = row.ok_at, failures = row.failures,
       error = row.error, error_since = row.error_since, status = row.status, episodes = row.episodes,
       shrunk = row.shrunk
  FROM jsonb_to_recordset(%(rows)s) AS row (
       feed_id bigint, claimed_at timestamptz,
       next_at timestamptz, etag text, last_modified text, validators_url text,
       body_hash text, interval_s integer, fetched_at timestamptz, ok_at timestamptz, failures integer,
       error text, error_since timestamptz, status smallint, episodes integer, shrunk boolean), {UNSYNCED}
 WHERE schedule.feed_id = row.feed_id AND schedule.next_at IS NOT NULL"""  # noqa: S608
STATES = """UPDATE system.feeds SET state = row.state
  FROM jsonb_to_recordset(%s) AS row (feed_id bigint, state text)
 WHERE feeds.id = row.feed_id AND feeds.state <> 'merged'"""
HOST = f"SELECT {_HOST} FROM system.feed_hosts hosts, {UNSYNCED} WHERE id = %s FOR UPDATE OF hosts"  # noqa: S608
SET_HOST = """UPDATE system.feed_hosts SET connections = %s, failures = %s, pauses = %s, paused_until = %s,
       failed_at = %s
 WHERE id = %s"""
# Feeds due before the end of the pause are moved after it, each at random within its own interval: if all
# became due at once, they would hit the host's limit together again.
SPREAD = """UPDATE system.feed_schedule SET next_at = %(until)s + random() * interval_s * interval '1 second'
 WHERE host_id = %(host_id)s AND next_at < %(until)s"""


class Claimed(Struct):
    """A feed to be fetched now, as it was when it was claimed. ``due_at``: since when it has been due."""

    due_at: datetime | None
    url: str
    is_secret: bool
    reader_version: int
    version: int
    followers: int
    host: Host
    schedule: Schedule

    @property
    def id(self) -> int:
        return self.schedule.feed_id


def claim_due(
    now: datetime, pump: int, pumps: int, *, most: int, full: Collection[int] = ()
) -> list[Claimed]:
    """Claim due feeds of the hosts that this pump serves, the longest overdue first.

    Paused hosts and those whose ids are in ``full`` are left out.
    """
    values = {
        "now": now,
        "until": now + LEASE,
        "pumps": pumps,
        "pump": pump,
        "most": most,
        "full": list(full),
        "websub": settings.WEBSUB,
    }
    return [_claimed(row) for row in execute(DUE, values)]


def claim_one(feed_id: int, now: datetime, *, at_once: bool = False) -> Claimed | None:
    """Claim one feed at a person's request; None where its host is paused, or where it was fetched in the
    last 5 minutes and ``at_once`` is not set."""
    values = {"feed_id": feed_id, "now": now, "until": now + LEASE, "before": now - REFRESH_EVERY}
    row = execute(ONE, {**values, "at_once": at_once, "websub": settings.WEBSUB}).fetchone()
    return None if row is None else _claimed(row)


def is_due(now: datetime, pump: int, pumps: int) -> bool:
    """Whether any feed is due for a pump, on paused hosts too."""
    row = execute(IS_DUE, {"now": now, "pump": pump, "pumps": pumps}).fetchone()
    return bool(row and row[0])


def release(feeds: Iterable[Claimed]) -> None:
    """Give back claimed feeds that were not fetched: they become due at their former time."""
    rows = [{"feed_id": feed.id, "due_at": feed.due_at, "until": feed.schedule.next_at} for feed in feeds]
    if rows:
        execute(RELEASE, [as_rows(rows)])


def finish(schedules: Sequence[tuple[Claimed, Schedule]]) -> None:
    """Record the results of fetches, many in one statement; repeating it changes nothing.

    Nothing is written for feeds that nobody wants any more or that were merged since the claim.
    """
    if not schedules:
        return
    changed = [(feed, new) for feed, new in schedules if new.state != feed.schedule.state]
    states = [{"feed_id": feed.id, "state": new.state} for feed, new in changed]
    rows = [_row(feed, new) for feed, new in schedules]
    execute(FINISH, {"rows": as_rows(rows), "websub": settings.WEBSUB})
    if states:
        execute(STATES, [as_rows(states)])


def request_of(feed: Claimed, reader_version: int, *, forced: bool = False) -> Request:
    """Return the request for a feed. Validators are sent only if they belong to this address, and to a
    document that this version of the reader has read."""
    known = feed.schedule
    conditional = not forced and feed.reader_version == reader_version and known.validators_url == feed.url
    return Request(
        feed.url,
        etag=known.etag if conditional else "",
        last_modified=known.last_modified if conditional else "",
        followers=None if feed.is_secret else feed.followers,
        context=feed,
    )


def note_answer(host: Host, code: str, retry_after_s: int | None, now: datetime) -> Host:
    """Record an answer in its host's row, and return the host's new state.

    When the host is paused, its feeds that would become due before the end of the pause are postponed,
    claimed ones included.
    """
    if host_after(host, code, retry_after_s, now) == host:
        return host
    with transaction.atomic(using="system"):
        row = execute(HOST, [host.id]).fetchone()
        if row is None:
            return host
        before = Host(*row)
        after = host_after(before, code, retry_after_s, now)
        if after != before:
            values = [after.connections, after.failures, after.pauses, after.paused_until, after.failed_at]
            execute(SET_HOST, [*values, host.id])
        if after.is_paused(now) and after.paused_until != before.paused_until:
            execute(SPREAD, {"until": after.paused_until, "host_id": host.id})
    return after


def _claimed(row: tuple[Any, ...]) -> Claimed:
    due_at, url, is_secret, reader_version, version, followers, *rest = row
    host, schedule = Host(*rest[:7]), Schedule(*rest[7:])
    return Claimed(due_at, url, is_secret, reader_version, version, followers, host, schedule)


def _row(feed: Claimed, schedule: Schedule) -> dict[str, Any]:
    row = structs.asdict(schedule)
    body_hash, until = schedule.body_hash, feed.schedule.next_at
    row["claimed_at"] = None if until is None else until - LEASE
    return {**row, "body_hash": None if body_hash is None else body_hash.hex()}
