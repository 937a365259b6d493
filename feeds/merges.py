"""Merge two feeds that are one show, and undo such merges. Store: system.

The row whose address is kept stays, with the older of the two public ids (``uid``). Addresses, episodes and
item ids of the other feed then lead to it. An episode that the kept feed does not have is moved to it, so
that every id ever issued still resolves, but counts as gone: somebody who merges their own feed into
another show, by a redirect and a copied guid, must not be able to add episodes to it.
"""

from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4

import msgspec
from django.db import transaction

from feeds import identity
from feeds.identity import Show
from feeds.store import execute, host_of, slot_of

# Limits: feeds with the same podcast:guid, of which more are copies of a popular show; and pairs in a run.
MOST_PER_GUID: Final = 10
MOST_PAIRS: Final = 500
# pairs without a change since then were judged before
RECENT: Final = timedelta(hours=1)

LOCK = """SELECT id, uid, url, state, is_secret, merged_into_id, first_seen_at FROM system.feeds
 WHERE id = ANY(%s) ORDER BY id FOR UPDATE"""
TWINS = """SELECT 'twin', secure.id, plain.id
  FROM system.feeds AS plain JOIN system.feeds AS secure ON secure.url = 'https' || substr(plain.url, 5)
 WHERE plain.url LIKE 'http:%%' AND greatest(secure.changed_at, plain.changed_at) > %(since)s
 LIMIT %(pairs)s"""
SAME_GUID = """SELECT 'merged', first, id FROM (
    SELECT id, first_value(id) OVER known AS first, row_number() OVER known AS place,
           greatest(changed_at, first_value(changed_at) OVER known) AS changed_at
      FROM system.feeds
     WHERE NOT is_secret AND merged_into_id IS NULL AND state = 'active' AND podcast_guid IN (
        SELECT podcast_guid FROM system.feeds WHERE podcast_guid IS NOT NULL
         GROUP BY podcast_guid HAVING count(*) > 1)
    WINDOW known AS (PARTITION BY podcast_guid ORDER BY first_seen_at, id)) AS ranked
 WHERE place BETWEEN 2 AND %(per_guid)s AND changed_at > %(since)s
 LIMIT %(pairs)s"""
REFUSED = """SELECT 1 FROM system.feed_moves JOIN system.feeds AS other ON other.url = to_url
 WHERE decided = 'refused' AND ((feed_id = %(one)s AND other.id = %(other)s)
                             OR (feed_id = %(other)s AND other.id = %(one)s))"""
SHOW = """SELECT url, podcast_guid, first_seen_at, newest.shared, newest.total
  FROM system.feeds, LATERAL (
    SELECT count(*) FILTER (WHERE EXISTS (
               SELECT FROM system.episodes AS its WHERE its.feed_id = %(other)s AND its.key = mine.key
           )) AS shared, count(*) AS total
      FROM (SELECT key FROM system.episodes WHERE feed_id = feeds.id AND gone_at IS NULL
             ORDER BY sort_at DESC, id DESC LIMIT %(newest)s) AS mine) AS newest
 WHERE id = %(one)s AND NOT is_secret AND merged_into_id IS NULL AND state = 'active'"""

ALIASES = "SELECT feed_key::text, reason FROM system.feed_aliases WHERE feed_id = %s ORDER BY feed_key"
TAKE_ALIASES = "UPDATE system.feed_aliases SET feed_id = %(kept)s WHERE feed_id = %(feed)s"
NAME_ALIAS = "UPDATE system.feed_aliases SET reason = %s, since = %s WHERE url = %s"
# Of an episode that both feeds have, the kept feed's row stays. Each pair of GUID and enclosure remembers the
# first feed to which it belonged.
ITEMS_OF_SHARED = """UPDATE system.episode_items AS item
   SET episode_id = same.id, feed_id = %(kept)s, merged_from = coalesce(item.merged_from, %(feed)s)
  FROM system.episodes AS mine JOIN system.episodes AS same ON same.feed_id = %(kept)s AND same.key = mine.key
 WHERE mine.feed_id = %(feed)s AND item.episode_id = mine.id"""
ITEMS_OF_OTHERS = """UPDATE system.episode_items AS item
   SET feed_id = %(kept)s, merged_from = coalesce(item.merged_from, %(feed)s)
  FROM system.episodes AS mine WHERE mine.feed_id = %(feed)s AND item.episode_id = mine.id"""
OTHERS = """UPDATE system.episodes AS mine
   SET feed_id = %(kept)s, gone_at = coalesce(gone_at, %(now)s),
       merged_from = coalesce(merged_from, %(feed)s)
 WHERE feed_id = %(feed)s AND NOT EXISTS (
    SELECT FROM system.episodes AS same WHERE same.feed_id = %(kept)s AND same.key = mine.key)"""
FLATTEN = """UPDATE system.feeds SET merged_into_id = %(kept)s WHERE merged_into_id = %(feed)s RETURNING id"""
# No real address has a fragment: this frees the feed's former address for a feed that moves there.
PUT_ASIDE = """UPDATE system.feeds SET state = 'merged', merged_into_id = %(kept)s,
       url = url || '#merged-' || id, version = version + 1, changed_at = %(now)s WHERE id = %(feed)s"""
KEEP = """UPDATE system.feeds SET version = version + 1, changed_at = %(now)s,
       first_seen_at = least(first_seen_at, %(since)s) WHERE id = %(kept)s"""
TAKE_SCHEDULE = """UPDATE system.feed_schedule AS kept
   SET followers = greatest(kept.followers, gone.followers),
       asked_at = greatest(kept.asked_at, gone.asked_at), next_at = coalesce(kept.next_at, %(now)s)
  FROM system.feed_schedule AS gone WHERE kept.feed_id = %(kept)s AND gone.feed_id = %(feed)s"""
STOP = "DELETE FROM system.feed_schedule WHERE feed_id = %(feed)s"
DROP_EVIDENCE = """DELETE FROM system.feed_moves AS move WHERE decided IS NULL AND (feed_id = %(feed)s
    OR (feed_id = %(kept)s
        AND EXISTS (SELECT FROM system.feed_aliases WHERE url = to_url AND feed_id = %(kept)s)))"""
RECORD = """INSERT INTO system.feed_moves AS known
       (feed_id, to_url, from_url, reason, first_seen_at, last_seen_at, decided, decided_at, undo)
VALUES (%(feed)s, %(to)s, %(from)s, %(reason)s, %(now)s, %(now)s, 'followed', %(now)s, %(undo)s::jsonb)
    ON CONFLICT (feed_id, to_url) DO UPDATE
   SET decided = 'followed', decided_at = excluded.decided_at, undo = excluded.undo"""
SET_UID = "UPDATE system.feeds SET uid = %s WHERE id = %s"

MERGE_TO_UNDO = """SELECT feed_id, to_url, decided_at, undo FROM system.feed_moves
 WHERE undo IS NOT NULL AND (undo ->> 'url' = %(name)s OR EXISTS (
    SELECT FROM system.feeds WHERE id = feed_id AND uid::text = %(name)s))
 ORDER BY decided_at DESC LIMIT 1 FOR UPDATE"""
GIVE_BACK_ALIASES = """UPDATE system.feed_aliases SET feed_id = %(feed)s, reason = given.reason
  FROM jsonb_to_recordset(%(aliases)s::jsonb) AS given (key uuid, reason text)
 WHERE feed_key = given.key AND feed_id = %(kept)s"""
GIVE_BACK_EPISODES = """UPDATE system.episodes
   SET feed_id = %(feed)s, gone_at = nullif(gone_at, %(at)s), merged_from = nullif(merged_from, %(feed)s)
 WHERE feed_id = %(kept)s AND merged_from = ANY(%(family)s)"""
# They go to the feed's own episode with the same key, where it has one.
GIVE_BACK_ITEMS = """UPDATE system.episode_items AS item
   SET episode_id = coalesce(mine.id, its.id), feed_id = %(feed)s,
       merged_from = nullif(item.merged_from, %(feed)s)
  FROM system.episodes AS its
  LEFT JOIN system.episodes AS mine ON mine.feed_id = %(feed)s AND mine.key = its.key
 WHERE its.feed_id IN (%(kept)s, %(feed)s) AND item.episode_id = its.id
   AND item.feed_id = %(kept)s AND item.merged_from = ANY(%(family)s)"""
GIVE_BACK_MERGED = "UPDATE system.feeds SET merged_into_id = %(feed)s WHERE id = ANY(%(merged)s)"
PUT_BACK = """UPDATE system.feeds SET state = %(state)s, merged_into_id = NULL, url = %(url)s,
       version = version + 1, changed_at = %(now)s WHERE id = %(feed)s"""
RESTORE = """UPDATE system.feeds SET version = version + 1, changed_at = %(now)s, first_seen_at = %(since)s
 WHERE id = %(kept)s"""
HOST = "INSERT INTO system.feed_hosts (name) VALUES (%(host)s) ON CONFLICT DO NOTHING"
RESUME = """INSERT INTO system.feed_schedule (feed_id, host_id, slot, next_at, asked_at)
SELECT %(feed)s, id, %(slot)s, %(now)s, %(now)s FROM system.feed_hosts WHERE name = %(host)s"""
REFUSE = """UPDATE system.feed_moves SET decided = 'refused', decided_at = %(now)s, undo = NULL
 WHERE feed_id = %(feed)s AND to_url = %(to)s"""


class Row(NamedTuple):
    id: int
    uid: UUID
    url: str
    state: str
    is_secret: bool
    merged_into: int | None
    first_seen_at: datetime


class Alias(msgspec.Struct):
    key: str
    reason: str


class Undo(msgspec.Struct):
    """What a merge changed. ``merged``: the feeds that had been merged into the one that ended; ``swapped``:
    the one that ended had the older public id; ``first_seen_at``: the former value of the kept feed."""

    kept: int
    url: str
    state: str
    first_seen_at: datetime
    aliases: list[Alias]
    merged: list[int]
    swapped: bool


class NotMergeable(ValueError):
    """Two feeds that cannot be merged, or a merge that cannot be undone; the text says why."""


def candidates(now: datetime) -> list[tuple[int, int, str]]:
    """Return pairs of feeds that are one show, where either changed within the last hour: the feed to end,
    the feed to keep, and the reason."""
    values = {"since": now - RECENT, "pairs": MOST_PAIRS, "per_guid": MOST_PER_GUID}
    pairs = [row for statement in (TWINS, SAME_GUID) for row in execute(statement, values)]
    found = []
    for reason, one_id, other_id in pairs:
        one, other = show(one_id, other_id), show(other_id, one_id)
        if one is None or other is None:
            continue
        alike = identity.are_twins if reason == "twin" else identity.are_one_show
        if alike(one, other) and not execute(REFUSED, {"one": one_id, "other": other_id}).fetchone():
            keeps_one = identity.address_to_keep(one, other) == one.url
            found.append((other_id, one_id, reason) if keeps_one else (one_id, other_id, reason))
    return found


def show(feed_id: int, other_id: int) -> Show | None:
    """Return a feed compared with another; None where it is secret, merged or not active."""
    values = {"one": feed_id, "other": other_id, "newest": identity.NEWEST}
    row = execute(SHOW, values).fetchone()
    if row is None:
        return None
    url, podcast_guid, first_seen_at, shared, newest = row
    return Show(url, podcast_guid, first_seen_at, identity.Overlap(shared, newest))


def merge(feed_id: int, kept_id: int, reason: str, now: datetime) -> None:
    """Merge two feeds, of which ``kept_id`` stays. ``reason``: a ``FeedAlias.Reason``.

    Raises ``NotMergeable`` where one of them is secret, already merged or missing.
    """
    with transaction.atomic(using="system"):
        feed, kept = _locked(feed_id, kept_id)
        aliases = [Alias(key, was) for key, was in execute(ALIASES, [feed_id])]
        values = {"feed": feed_id, "kept": kept_id, "now": now, "since": feed.first_seen_at}
        for statement in (TAKE_ALIASES, ITEMS_OF_SHARED, ITEMS_OF_OTHERS, OTHERS):
            execute(statement, values)
        execute(NAME_ALIAS, [reason, now, feed.url])
        merged = [merged_id for (merged_id,) in execute(FLATTEN, values)]
        for statement in (PUT_ASIDE, KEEP, TAKE_SCHEDULE, STOP, DROP_EVIDENCE):
            execute(statement, values)
        is_older = feed.first_seen_at < kept.first_seen_at
        if is_older:
            _swap_uids(feed, kept)
        undo = Undo(kept_id, feed.url, feed.state, kept.first_seen_at, aliases, merged, is_older)
        record = {"to": kept.url, "from": feed.url, "reason": reason, "undo": _json(undo)}
        execute(RECORD, {**values, **record})


def unmerge(name: str, now: datetime) -> str:
    """Undo the merge of a feed, so that both feeds are as they were before.

    ``name``: its normalised address, or its ``uid``. Returns the address of the other feed. The two are not
    merged automatically again. Raises ``NotMergeable``.
    """
    with transaction.atomic(using="system"):
        row = execute(MERGE_TO_UNDO, {"name": name}).fetchone()
        if row is None:
            raise NotMergeable("this feed was not merged into another")
        feed_id, to_url, at, text = row
        undo = msgspec.json.decode(text, type=Undo)
        rows = {one.id: one for one in _rows([feed_id, undo.kept])}
        feed, kept = rows[feed_id], rows.get(undo.kept)
        if kept is None or feed.merged_into != kept.id:
            raise NotMergeable("what it was merged into was itself merged since: undo that first")
        values = {"feed": feed_id, "kept": kept.id, "now": now, "at": at, "to": to_url}
        values |= {"url": undo.url, "state": undo.state, "since": undo.first_seen_at, "merged": undo.merged}
        values |= {"aliases": _json(undo.aliases), "family": [feed_id, *undo.merged]}
        values |= {"host": host_of(undo.url), "slot": slot_of(host_of(undo.url))}
        for statement in (GIVE_BACK_ALIASES, GIVE_BACK_EPISODES, GIVE_BACK_ITEMS, GIVE_BACK_MERGED):
            execute(statement, values)
        for statement in (PUT_BACK, HOST, RESUME, REFUSE, RESTORE):
            execute(statement, values)
        if undo.swapped:
            _swap_uids(feed, kept)
    return kept.url


def _locked(feed_id: int, kept_id: int) -> tuple[Row, Row]:
    rows = {row.id: row for row in _rows([feed_id, kept_id])}
    if len(rows) != 2:
        raise NotMergeable("these are not two feeds")
    if any(row.merged_into is not None for row in rows.values()):
        raise NotMergeable("one of them was merged already")
    if any(row.is_secret for row in rows.values()):
        raise NotMergeable("a secret feed is never merged with another")
    return rows[feed_id], rows[kept_id]


def _rows(feed_ids: list[int]) -> list[Row]:
    return [Row(*row) for row in execute(LOCK, [feed_ids])]


def _swap_uids(one: Row, other: Row) -> None:
    """Swap the public ids of two feeds by way of a temporary id: they must be unique at all times."""
    execute(SET_UID, [uuid4(), one.id])
    execute(SET_UID, [one.uid, other.id])
    execute(SET_UID, [other.uid, one.id])


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
