"""Hourly corrections: count followers, remove feeds that nobody wants any more, and count the feeds of hosts.

Followers are counted in the read models, which no query joins with the feeds: they are read in pages, and
only the counts are kept.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
import psycopg
from django.db import transaction
from django.db.models import Q

from eventstore.domain.identifiers import feed_of_url
from feeds.models import Feed, FeedAlias, FeedSchedule
from feeds.store import WANTED_FOR, ensure, execute
from projections.connect import run

PAGE: Final = 10_000
# the time over which feeds that are new here, or followed again, become due
SPREAD: Final = timedelta(minutes=10)
KEPT_FOR: Final = timedelta(days=90)
# The address of a secret feed concerns only its listener: the feed is deleted when nobody has asked for it
# for an hour, within which the read models learn of a new subscription.
SECRET_KEPT_FOR: Final = timedelta(hours=1)
# number of feeds deleted in a run
MOST_PURGED: Final = 500

FOLLOWED = """SELECT user_id, feed_key, rss_source_feed FROM users.subscriptions
 WHERE (user_id, feed_key) > (%s, %s)
   AND subscribed_at IS NOT NULL AND (unsubscribed_at IS NULL OR subscribed_at >= unsubscribed_at)
 ORDER BY user_id, feed_key LIMIT %s"""
# A feed that has lost its last follower is still refreshed for a while; one followed again becomes due.
COUNTED = """UPDATE system.feed_schedule new SET
       followers = coalesce(number, 0),
       asked_at = CASE WHEN number IS NULL THEN %(now)s ELSE new.asked_at END,
       next_at = CASE WHEN number IS NULL THEN new.next_at
                      ELSE coalesce(new.next_at, %(now)s + random() * %(spread)s::interval) END
  FROM system.feed_schedule old
  LEFT JOIN unnest(%(ids)s::bigint[], %(numbers)s::integer[]) AS counted (feed_id, number) USING (feed_id)
 WHERE old.feed_id = new.feed_id AND new.followers <> coalesce(number, 0)"""
UNWANTED = """UPDATE system.feed_schedule SET next_at = NULL
 WHERE next_at IS NOT NULL AND followers = 0 AND coalesce(asked_at, '-infinity') < %s"""
# as if the last listener had unsubscribed later
SPARED = "UPDATE system.feed_schedule SET asked_at = %s WHERE feed_id = ANY(%s)"
NAMED = """SELECT rss_source_feed FROM users.play_statuses WHERE rss_source_feed = ANY(%(feeds)s)
UNION SELECT rss_source_feed FROM users.saved_episodes WHERE rss_source_feed = ANY(%(feeds)s)
UNION SELECT rss_source_feed FROM users.playlist_items WHERE rss_source_feed = ANY(%(feeds)s)"""
HOSTS = """UPDATE system.feed_hosts SET feeds = counted.feeds, connections = counted.connections
  FROM (SELECT hosts.id, count(feed_id) AS feeds,
               CASE WHEN count(feed_id) > 1000 AND coalesce(failed_at, '-infinity') < %s THEN 6 ELSE 2 END
                    AS connections
          FROM system.feed_hosts hosts LEFT JOIN system.feed_schedule ON host_id = hosts.id
         GROUP BY hosts.id) AS counted
 WHERE feed_hosts.id = counted.id
   AND (feed_hosts.feeds, feed_hosts.connections) IS DISTINCT FROM (counted.feeds, counted.connections)"""
EMPTY_HOSTS = """DELETE FROM system.feed_hosts hosts
 WHERE feeds = 0 AND coalesce(paused_until, '-infinity') <= %s
   AND NOT EXISTS (SELECT FROM system.feed_schedule WHERE host_id = hosts.id)"""


class Reconciled(msgspec.Struct):
    """The results of a run. ``unknown``: feeds that were followed but not known here yet."""

    followed: int = 0
    unknown: int = 0
    unwanted: int = 0
    purged: int = 0


def reconcile(now: datetime) -> Reconciled:
    """Count the followers of every feed, add feeds that are missing, and remove those that nobody wants.

    May run twice at the same time. Raises the stores' errors where they are unavailable.
    """
    done = Reconciled()
    counts = _count_followers(now, done)
    done.followed = len(counts)
    ids, numbers = list(counts), list(counts.values())
    execute(COUNTED, {"now": now, "spread": SPREAD, "ids": ids, "numbers": numbers})
    done.unwanted = execute(UNWANTED, [now - WANTED_FOR]).rowcount
    done.purged = _purge(now)
    execute(HOSTS, [now - timedelta(days=1)])
    with suppress(psycopg.errors.ForeignKeyViolation):  # the first feed of such a host was added just now
        execute(EMPTY_HOSTS, [now])
    return done


def _count_followers(now: datetime, done: Reconciled) -> Counter[int]:
    """Return the number of followers by feed id. A listener who follows a feed by two names counts once."""
    counts: Counter[int] = Counter()
    listener, followed = None, set[int]()
    for page in _pages():
        known = ensure({feed for _, _, feed in page}, now, spread=SPREAD)
        done.unknown += len(known.new)
        for user_id, _, feed in page:
            if user_id != listener:
                listener, followed = user_id, set()
            feed_id = known.ids[feed]
            if feed_id not in followed:
                followed.add(feed_id)
                counts[feed_id] += 1
    return counts


def _pages() -> Iterator[list[tuple[Any, ...]]]:
    user_id, feed_key = UUID(int=0), UUID(int=0)
    while page := run(FOLLOWED, [user_id, feed_key, PAGE]).fetchall():
        yield page
        user_id, feed_key, _ = page[-1]


def _purge(now: datetime) -> int:
    """Delete feeds that nobody has wanted for a long time, with their episodes; returns how many.

    Secret feeds are deleted much sooner. Feeds that a play, a playlist or a saved episode refers to are
    spared, and looked at again in two months.
    """
    long_ago = now - KEPT_FOR
    unwanted = Q(next_at=None, followers=0) & (
        Q(asked_at__lt=long_ago) | Q(asked_at=None, feed__first_seen_at__lt=long_ago)
    )
    # excludes feeds that were spared: their asked_at is WANTED_FOR ago or earlier
    lately = Q(asked_at__lt=now - SECRET_KEPT_FOR, asked_at__gt=now - WANTED_FOR)
    unwanted |= lately & Q(feed__is_secret=True, followers=0)
    targets = Feed.objects.exclude(merged_into=None).values("merged_into")
    rows = FeedSchedule.objects.filter(unwanted).exclude(pk__in=targets)
    found = list(rows.values_list("pk", flat=True)[:MOST_PURGED])
    spared = _named(found)
    execute(SPARED, [now - WANTED_FOR, list(spared)])
    return sum(_delete(feed_id, unwanted) for feed_id in found if feed_id not in spared)


def _named(feed_ids: list[int]) -> set[int]:
    """Return those of the feeds that a listener's plays, playlists or saved episodes name, by any address."""
    rows = FeedAlias.objects.filter(feed__in=feed_ids).values_list("url", "feed_id")
    names = {feed_of_url(url): feed_id for url, feed_id in rows}
    if not names:
        return set()
    return {names[feed] for (feed,) in run(NAMED, {"feeds": list(names)})}


def _delete(feed_id: int, unwanted: Q) -> bool:
    with transaction.atomic(using="system"):
        # somebody may have asked for it since
        rows = FeedSchedule.objects.select_for_update(of=("self",)).filter(unwanted, pk=feed_id)
        wanted = not rows.exists()
        if not wanted:
            Feed.objects.get(pk=feed_id).delete()
    return not wanted
