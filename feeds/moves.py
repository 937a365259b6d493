"""Handle moves of feeds: evidence is recorded when feeds are fetched, judged later, and then acted on.

A row of ``feed_moves`` is evidence until it is decided. The pump only records (``observe``), in the system
store alone; ``settle`` decides, and may run twice at the same time.
"""

import logging
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

import django.db
import msgspec
import psycopg
from django.db import transaction

from eventstore import marks
from eventstore.database import discard_when_broken, raw_connection
from eventstore.domain.identifiers import feed_key_of, feed_of_url
from eventstore.prepared import Prepared
from feeds import identity
from feeds.documents import Channel
from feeds.fetch import Outcome
from feeds.identity import Evidence, Verdict
from feeds.merges import NotMergeable, candidates, merge, show
from feeds.store import as_rows, ensure, execute, host_of, slot_of

logger = logging.getLogger(__name__)

# A successful fetch writes its time into the schedule, and into the evidence of a redirect: where the first
# is later by more than this, the latest successful fetch was not redirected.
SAME_FETCH: Final = timedelta(minutes=2)
PAGE: Final = 1_000

KNOWN = """SELECT state <> 'new', podcast_guid, ARRAY(
    SELECT key FROM system.episodes WHERE feed_id = feeds.id AND gone_at IS NULL
     ORDER BY sort_at DESC, id DESC LIMIT %s)
  FROM system.feeds WHERE id = %s AND url = %s AND merged_into_id IS NULL AND NOT is_secret"""
# If a move that was followed is seen again, after the feed moved elsewhere, that is new evidence.
SEEN = """INSERT INTO system.feed_moves AS known
       (feed_id, to_url, from_url, reason, first_seen_at, last_seen_at, same_show)
VALUES (%(feed)s, %(to)s, %(from)s, 'moved', %(now)s, %(now)s, %(same)s)
    ON CONFLICT (feed_id, to_url) DO UPDATE SET
       (reason, from_url, last_seen_at) = ('moved', excluded.from_url, excluded.last_seen_at),
       (times, first_seen_at, same_show, decided, decided_at) = (
        SELECT CASE WHEN is_new THEN 1 ELSE known.times + 1 END,
               CASE WHEN is_new THEN excluded.first_seen_at ELSE known.first_seen_at END,
               CASE WHEN is_new THEN excluded.same_show ELSE known.same_show END,
               CASE WHEN is_new THEN NULL ELSE known.decided END,
               CASE WHEN is_new THEN NULL ELSE known.decided_at END
          FROM (SELECT known.decided IS NOT DISTINCT FROM 'followed'
                    OR (known.decided IS NULL AND known.reason <> 'moved') AS is_new) AS judged)
 WHERE known.last_seen_at < excluded.last_seen_at"""
NOT_REDIRECTED = """DELETE FROM system.feed_moves AS move USING system.feeds AS feed, system.feed_schedule
 WHERE feed.id = move.feed_id AND feed_schedule.feed_id = move.feed_id
   AND move.decided IS NULL AND move.reason = 'moved'
   AND (move.from_url <> feed.url OR move.last_seen_at < feed_schedule.ok_at - %s::interval)"""
ANNOUNCED = """SELECT id, url, new_feed_url, ok_at
  FROM system.feeds JOIN system.feed_schedule ON feed_id = id
 WHERE new_feed_url <> '' AND new_feed_url <> url AND merged_into_id IS NULL AND NOT is_secret
   AND ok_at IS NOT NULL"""
GIVEN = """WITH given AS (SELECT * FROM jsonb_to_recordset(%s) AS row (
    feed_id bigint, to_url text, from_url text, seen_at timestamptz))
"""
NOT_ANNOUNCED = """DELETE FROM system.feed_moves AS move WHERE decided IS NULL AND reason = 'new_feed_url'
   AND NOT EXISTS (SELECT FROM given WHERE given.feed_id = move.feed_id AND given.to_url = move.to_url)"""
SAID = """INSERT INTO system.feed_moves AS known
       (feed_id, to_url, from_url, reason, first_seen_at, last_seen_at)
SELECT feed_id, to_url, from_url, 'new_feed_url', seen_at, seen_at FROM given
    ON CONFLICT (feed_id, to_url) DO UPDATE
   SET times = known.times + 1, last_seen_at = excluded.last_seen_at
 WHERE known.decided IS NULL AND known.reason = 'new_feed_url'
   AND known.last_seen_at < excluded.last_seen_at"""
OWNERS = "SELECT url, feed_id FROM system.feed_aliases WHERE url = ANY(%s)"
OPEN = """SELECT move.feed_id, alias.feed_id, reason, to_url, first_seen_at, last_seen_at, times, same_show,
       (SELECT max(past.decided_at) FROM system.feed_moves AS past
         WHERE past.feed_id = move.feed_id AND past.from_url = move.to_url
           AND past.decided IN ('followed', 'waiting'))
  FROM (SELECT * FROM system.feed_moves WHERE decided IS NULL AND (same_show OR times > 1)) AS move
  LEFT JOIN LATERAL (SELECT feed_id FROM system.feed_aliases WHERE url = to_url) AS alias ON true
 ORDER BY first_seen_at, move.feed_id"""
ANNOUNCES = "SELECT new_feed_url FROM system.feeds WHERE id = %s"
KEPT_FROM_PUBLIC = "SELECT DISTINCT feed_id FROM system.feed_aliases WHERE feed_key = ANY(%s)"

DECIDED = """UPDATE system.feed_moves SET decided = %(decided)s, decided_at = %(now)s
 WHERE feed_id = %(feed)s AND to_url = %(to)s AND decided IS NOT DISTINCT FROM %(was)s RETURNING reason"""
# The move back is carried out; moving there again needs the operator's permission.
ASK = """UPDATE system.feed_moves SET decided = 'waiting'
 WHERE feed_id = %(feed)s AND from_url = %(to)s AND decided = 'followed'"""
LOCK = "SELECT url FROM system.feeds WHERE id = %s AND merged_into_id IS NULL AND NOT is_secret FOR UPDATE"
MOVE = """UPDATE system.feeds SET url = %(to)s, version = version + 1, changed_at = %(now)s
 WHERE id = %(feed)s"""
OLD_ALIAS = """UPDATE system.feed_aliases SET reason = %(reason)s, since = %(now)s
 WHERE url = %(from)s AND feed_id = %(feed)s"""
NEW_ALIAS = """INSERT INTO system.feed_aliases (feed_key, url, feed_id, reason, since)
VALUES (%(key)s, %(to)s, %(feed)s, %(reason)s, %(now)s) ON CONFLICT (feed_key) DO NOTHING"""
NEW_HOST = "INSERT INTO system.feed_hosts (name) VALUES (%(host)s) ON CONFLICT DO NOTHING"
NEW_SCHEDULE = """UPDATE system.feed_schedule
   SET host_id = feed_hosts.id, slot = %(slot)s, etag = '', last_modified = '', validators_url = '',
       body_hash = NULL
  FROM system.feed_hosts WHERE feed_id = %(feed)s AND name = %(host)s"""

MOVED = """SELECT alias.feed_key, alias.url, feed.url, alias.since
  FROM system.feed_aliases AS alias JOIN system.feeds AS feed ON feed.id = alias.feed_id
 WHERE alias.reason IN ('twin', 'moved', 'new_feed_url') AND alias.url <> feed.url
   AND alias.feed_key > %s
 ORDER BY alias.feed_key LIMIT %s"""

NEW_ADDRESSES = Prepared(
    "new_addresses",
    """
    SELECT replace(alias.feed_key::text, '-', ''), feed.url
      FROM system.feed_aliases AS alias JOIN system.feeds AS feed ON feed.id = alias.feed_id
     WHERE alias.feed_key = ANY(string_to_array(%(keys)s::text, ' ')::uuid[])
       AND alias.reason IN ('twin', 'moved', 'new_feed_url') AND alias.url <> feed.url
    """,
)


class Settled(msgspec.Struct):
    """The results of a run. ``waiting``: moves that were reversed, on which the operator has to decide."""

    moved: int = 0
    merged: int = 0
    waiting: int = 0


class MovedKey(NamedTuple):
    """An address that listeners may still follow, and where its feed is fetched now."""

    feed_key: UUID
    old_url: str
    new_url: str
    since: datetime


class _Change(NamedTuple):
    """A move or merge to carry out. ``target_id``: the feed that has this address already, if any."""

    feed_id: int
    target_id: int | None
    to_url: str

    @property
    def is_merge(self) -> bool:
        return self.target_id not in (None, self.feed_id)


def new_addresses(names: Collection[str]) -> dict[str, str]:
    """Return those of the given feeds (``rss_source_feed``) that have moved, each with its new name."""
    if not names:
        return {}
    keys = {feed_key_of(name).encode(): name for name in names}
    with discard_when_broken("system"):
        rows = NEW_ADDRESSES.rows(raw_connection("system"), {"keys": b" ".join(keys)})
    return {keys[key]: feed_of_url(url.decode()) for key, url in rows if key and url}


def observe(
    feed_id: int, outcome: Outcome, channel: Channel | None, keys: Collection[bytes] | None, now: datetime
) -> None:
    """Record a permanent redirect of a successful fetch; does nothing where there was none.

    Call it in the transaction that stores the fetch, before the stored data is replaced. ``channel`` and
    ``keys`` (of its episodes) are None where the document is unchanged.
    """
    if not outcome.hops:
        return
    url = outcome.request.url
    to_url = identity.permanent_target(url, outcome.hops)
    if to_url is None:
        return
    known = execute(KNOWN, [identity.NEWEST, feed_id, url]).fetchone()
    if known is None:  # the feed was moved or merged during the fetch
        return
    was_read, guid, newest = known
    same = was_read and (channel is None or _same_show(guid, newest, channel, keys or ()))
    execute(SEEN, {"feed": feed_id, "to": to_url, "from": url, "now": now, "same": same})


def settle(now: datetime) -> Settled:
    """Judge the open evidence, and carry out each resulting move or merge in a transaction of its own.

    Raises ``psycopg.OperationalError`` (or Django's) when the system store or the event store is unavailable.
    """
    execute(NOT_REDIRECTED, [SAME_FETCH])
    _collect_announcements()
    done = Settled()
    blocked = _kept_from_public()
    for change, evidence in _open(blocked, now):
        verdict = identity.judge(evidence, now)
        if verdict is Verdict.NOTHING or not _attempt(change, now, back=verdict is Verdict.RETURN):
            continue
        done.moved += not change.is_merge
        done.merged += change.is_merge
        done.waiting += verdict is Verdict.RETURN
    for feed_id, kept_id, reason in candidates(now):
        if blocked.isdisjoint((feed_id, kept_id)):
            done.merged += _attempt_merge(feed_id, kept_id, reason, now)
    return done


def moved_keys() -> Iterator[list[MovedKey]]:
    """Yield every address that a feed has left, in pages, without those of feeds merged without a move."""
    after = UUID(int=0)
    while page := [MovedKey(*row) for row in execute(MOVED, [after, PAGE])]:
        yield page
        after = page[-1].feed_key


def follow(feed_id: int, to_url: str, now: datetime, *, was: str | None) -> bool:
    """Carry out a move that the operator has decided on, whatever the evidence.

    ``was``: the decision as the caller knows it; returns False if it has changed. Raises ``NotMergeable``.
    """
    change = _Change(feed_id, _owners([to_url]).get(to_url), to_url)
    check_public(change.feed_id, change.target_id)
    with transaction.atomic(using="system"):
        return _carry_out(change, now, was=was)


def refuse(feed_id: int, to_url: str, now: datetime, *, was: str | None) -> bool:
    """Refuse this evidence for good; returns False if its decision is no longer ``was``."""
    values = {"feed": feed_id, "to": to_url, "now": now, "decided": "refused", "was": was}
    return bool(execute(DECIDED, values).rowcount)


def check_public(*feed_ids: int | None) -> None:
    """Raise ``NotMergeable`` where the operator has blocked one of these feeds."""
    if not _kept_from_public().isdisjoint(feed_ids):
        raise NotMergeable("one of them is blocked (manage.py feed_block --list), and so it stays as it is")


def move(feed_id: int, to_url: str, reason: str, now: datetime) -> None:
    """Move a feed to the normalised address ``to_url``; its old address becomes an alias.

    Call it in a transaction. Raises ``NotMergeable`` where the feed is secret or was merged.
    """
    row = execute(LOCK, [feed_id]).fetchone()
    if row is None:
        raise NotMergeable("a secret feed never moves, and one that was merged has no address")
    host = host_of(to_url)
    values = {"feed": feed_id, "from": row[0], "to": to_url, "reason": reason, "now": now}
    values |= {"key": UUID(feed_key_of(feed_of_url(to_url))), "host": host, "slot": slot_of(host)}
    for statement in (MOVE, OLD_ALIAS, NEW_ALIAS, NEW_HOST, NEW_SCHEDULE):
        execute(statement, values)


def _same_show(
    guid: UUID | None, newest: Collection[bytes], channel: Channel, keys: Collection[bytes]
) -> bool:
    theirs = UUID(channel.podcast_guid) if channel.podcast_guid else None
    return identity.is_same_show(guid, theirs, identity.overlap(newest, keys))


def _collect_announcements() -> None:
    """Record the new addresses that feeds announce as evidence; delete evidence no longer announced."""
    announced = []
    for feed_id, url, text, ok_at in execute(ANNOUNCED):
        to_url = identity.other_address(url, text)
        if to_url is not None:
            announced.append({"feed_id": feed_id, "to_url": to_url, "from_url": url, "seen_at": ok_at})
    owners = _owners([one["to_url"] for one in announced])
    # an address that the feed had already proves nothing
    given = as_rows([one for one in announced if owners.get(one["to_url"]) != one["feed_id"]])
    execute(GIVEN + NOT_ANNOUNCED, [given])
    execute(GIVEN + SAID, [given])


def _open(blocked: set[int], now: datetime) -> Iterator[tuple[_Change, Evidence]]:
    """Yield the moves that are not decided yet, with their evidence."""
    for feed_id, target_id, reason, to_url, first, last, times, same, left_at in execute(OPEN).fetchall():
        kept_apart = not blocked.isdisjoint((feed_id, target_id))
        evidence = Evidence(reason, to_url, first, last, times, same, left_at, kept_apart)
        if reason == "new_feed_url":
            evidence = _announcement(feed_id, target_id, evidence, now)
        yield _Change(feed_id, target_id, to_url), evidence


def _announcement(feed_id: int, target_id: int | None, evidence: Evidence, now: datetime) -> Evidence:
    """Add what is found at an announced address to the evidence; it is first read as a feed of its own."""
    if evidence.last_seen_at - evidence.first_seen_at < identity.ANNOUNCED_FOR or evidence.kept_apart:
        return evidence
    if target_id is None:
        ensure([feed_of_url(evidence.to_url)], now, asked=True)
        return evidence
    mine, theirs = show(feed_id, target_id), show(target_id, feed_id)
    if mine is None or theirs is None or _announces(target_id, theirs.url, mine.url):
        return evidence
    same = identity.is_same_show(mine.podcast_guid, theirs.podcast_guid, mine.overlap)
    return evidence._replace(same_show=same)


def _announces(feed_id: int, url: str, other: str) -> bool:
    """Whether a feed announces the other's address in turn: two feeds that name each other have not moved."""
    (text,) = execute(ANNOUNCES, [feed_id]).fetchone() or ("",)
    return identity.other_address(url, text) == other


def _kept_from_public() -> set[int]:
    """Return the feeds that the operator has blocked, under any of their addresses."""
    keys = [mark.feed_key for mark in marks.feed_marks() if mark.blocked and mark.marked_by == "operator"]
    return {feed_id for (feed_id,) in execute(KEPT_FROM_PUBLIC, [keys])}


def _owners(urls: list[str]) -> dict[str, int]:
    return dict(execute(OWNERS, [urls]).fetchall())


def _attempt(change: _Change, now: datetime, *, back: bool) -> bool:
    try:
        with transaction.atomic(using="system"):
            return _carry_out(change, now, back=back)
    except (NotMergeable, django.db.IntegrityError, psycopg.IntegrityError) as failure:
        # another process has created or moved one of the feeds: it is tried again in the next run
        logger.info("Feed %s was not moved: %s", change.feed_id, type(failure).__name__)
        return False


def _attempt_merge(feed_id: int, kept_id: int, reason: str, now: datetime) -> bool:
    try:
        merge(feed_id, kept_id, reason, now)
    except (NotMergeable, django.db.IntegrityError, psycopg.IntegrityError) as failure:
        # one of the two has just been merged with another feed
        logger.info("Feed %s was not merged: %s", feed_id, type(failure).__name__)
        return False
    return True


def _carry_out(change: _Change, now: datetime, *, was: str | None = None, back: bool = False) -> bool:
    """Carry out a move or merge; returns False if it is no longer decided as in ``was``.

    Raises ``NotMergeable``.
    """
    values = {"feed": change.feed_id, "to": change.to_url, "now": now, "decided": "followed", "was": was}
    decided = execute(DECIDED, values).fetchone()
    if decided is None:
        return False
    (reason,) = decided
    if back:
        execute(ASK, values)
    if change.is_merge and change.target_id is not None:
        merge(change.feed_id, change.target_id, reason, now)
    else:
        move(change.feed_id, change.to_url, reason, now)
    return True
