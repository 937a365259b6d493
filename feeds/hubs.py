"""WebSub: hubs that announce a feed's updates. Store: system.

A feed names its hub (``hub_url``) and the topic to subscribe to (``self_url``); ``renew`` subscribes once the
feed has been fetched successfully twice. A push only makes the feed due: its content is not read, so the
worst that a forged push can do is to cause a fetch a minute. A hub that is silent or gone does no harm,
because feeds are fetched without it as well.
"""

import re
import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from django.conf import settings
from django.db import transaction
from msgspec import Struct

from feeds.decide import NETWORK
from feeds.documents import Channel
from feeds.fetch import Limits, Outcome, Request, fetch
from feeds.read.values import resolve
from feeds.store import as_rows, execute, host_of

DAY: Final = timedelta(days=1)
# the lease that is requested; a hub's answer is limited to these bounds
LEASE, SHORTEST, LONGEST = 10 * DAY, timedelta(minutes=5), 30 * DAY
# the part of a lease after which it is renewed
RENEW_AFTER: Final = 0.8
# how long after our request a hub may send its verification
VERIFIED_WITHIN: Final = timedelta(hours=1)
# when a hub that was asked but did not confirm is asked again
ASK_AGAIN: Final = DAY
# pushes make a feed due at most this often
PUSH_EVERY: Final = timedelta(seconds=60)
# limits per run: new feeds taken up, feeds for which hubs are asked, and requests at a time
MOST_NEW: Final = 10_000
MOST_ASKED: Final = 2_000
AT_A_TIME: Final = 4
LIMITS: Final = Limits(connect_s=5.0, total_s=10.0)

_LINK: Final = re.compile(r"<([^<>]*)>([^<]*)")
_RELATION: Final = re.compile(r"(?i)\brel\s*=\s*\"?([\w.:/ -]+)")
# Never for a secret feed: the hub would learn its address.
WITH_HUB = """SELECT feeds.id, hub_url, coalesce(nullif(self_url, ''), url)
  FROM system.feeds JOIN system.feed_schedule ON feed_id = feeds.id
 WHERE hub_url <> '' AND NOT is_secret AND merged_into_id IS NULL AND next_at IS NOT NULL"""
FORGET = f"""DELETE FROM system.websub AS old WHERE NOT EXISTS (
    SELECT FROM ({WITH_HUB} AND feeds.id = old.feed_id) AS wanted (feed_id, hub, topic)
     WHERE (wanted.hub, wanted.topic) = (old.hub, old.topic))"""  # noqa: S608
UNKNOWN = f"""{WITH_HUB} AND ok_at IS NOT NULL
   AND NOT EXISTS (SELECT FROM system.websub WHERE websub.feed_id = feeds.id)
 ORDER BY feeds.id LIMIT %s"""
ADD = """INSERT INTO system.websub (feed_id, hub, topic, callback, since)
SELECT feed_id, hub, topic, callback, since FROM jsonb_to_recordset(%s) AS row (
       feed_id bigint, hub text, topic text, callback text, since timestamptz)
 ORDER BY feed_id ON CONFLICT DO NOTHING"""
CLAIM = """UPDATE system.websub SET asked_at = %(now)s, ask_at = %(again)s WHERE feed_id IN (
    SELECT websub.feed_id FROM system.websub JOIN system.feed_schedule USING (feed_id)
     WHERE ask_at <= %(now)s OR (ask_at IS NULL AND ok_at > since)
     ORDER BY ask_at NULLS LAST LIMIT %(most)s FOR UPDATE OF websub SKIP LOCKED)
RETURNING feed_id, hub, topic, callback"""
NOT_ASKED = "UPDATE system.websub SET asked_at = NULL WHERE feed_id = ANY(%s) AND asked_at = %s"
VERIFIED = """UPDATE system.websub SET lease_until = %(until)s, ask_at = %(again)s
 WHERE callback = %(callback)s AND topic = %(topic)s AND asked_at > %(after)s"""
DENIED = """UPDATE system.websub SET lease_until = NULL, asked_at = NULL, ask_at = %(again)s
 WHERE callback = %(callback)s AND topic = %(topic)s"""
PUSHED = """UPDATE system.websub SET due_at = CASE
       WHEN due_at > %(now)s THEN due_at
       ELSE greatest(%(now)s, coalesce(due_at + %(every)s, %(now)s)) END
 WHERE callback = %(callback)s AND lease_until > %(now)s RETURNING feed_id, due_at"""
DUE = (
    "UPDATE system.feed_schedule SET next_at = least(next_at, %s) WHERE feed_id = %s AND next_at IS NOT NULL"
)


class Renewed(Struct):
    """``asked``: requests sent to hubs; ``accepted``: how many of them the hubs accepted for verification."""

    asked: int = 0
    accepted: int = 0


def take_from_header(channel: Channel, outcome: Outcome) -> None:
    """Set hub and topic from the answer's Link header, which takes precedence over the document."""
    found: dict[str, str] = {}
    for target, parameters in _LINK.findall(outcome.headers.get("link", "")):
        url = resolve(outcome.url, target)
        relations = _RELATION.search(parameters) if url else None
        for relation in relations[1].lower().split() if relations else ():
            found.setdefault(relation, url)
    channel.hub_url = found.get("hub", channel.hub_url)
    channel.self_url = found.get("self", channel.self_url)


def renew(now: datetime) -> Renewed:
    """Subscribe to feeds at their hubs, renew leases near their end, and delete subscriptions no longer
    wanted.

    May run twice at the same time. Raises the store's error where it is unavailable.
    """
    execute(FORGET)
    rows = [_row(feed_id, hub, topic, now) for feed_id, hub, topic in execute(UNKNOWN, [MOST_NEW])]
    if rows:
        execute(ADD, [as_rows(rows)])
    # a hub may verify before it answers, so the request must be recorded before it is sent
    claimed = execute(CLAIM, {"now": now, "again": now + ASK_AGAIN, "most": MOST_ASKED}).fetchall()
    done, down, failed = Renewed(), set[str](), {feed_id for feed_id, *_ in claimed}
    for outcome in fetch(_requests(claimed, down), concurrency=AT_A_TIME, limits=LIMITS):
        done.asked += 1
        if outcome.status is not None and 200 <= outcome.status < 300:
            done.accepted += 1
            failed.discard(outcome.request.context)
        elif outcome.code == "paused" or outcome.code in NETWORK:
            down.add(host_of(outcome.request.url))
    execute(NOT_ASKED, [list(failed), now])
    return done


def verify(callback: str, topic: str, lease_s: int | None, now: datetime) -> bool:
    """Answer a hub's verification: True where we have just asked for this subscription. Its lease begins now.

    ``lease_s``: for how many seconds the hub promises to send updates; None where it does not say.
    """
    lease = DAY if lease_s is None else timedelta(seconds=min(lease_s, LONGEST.total_seconds()))
    lease = max(lease, SHORTEST)
    values = {
        "callback": callback,
        "topic": topic,
        "until": now + lease,
        "again": now + lease * RENEW_AFTER,
        "after": now - VERIFIED_WITHIN,
    }
    return execute(VERIFIED, values).rowcount > 0


def deny(callback: str, topic: str, now: datetime) -> bool:
    """Record that a hub denies or ends a subscription; False where the subscription is unknown."""
    return execute(DENIED, {"callback": callback, "topic": topic, "again": now + ASK_AGAIN}).rowcount > 0


def push(callback: str, now: datetime) -> bool:
    """Handle a hub's push: its feed becomes due, now or a minute after the previous push.

    False where no valid subscription has this callback address.
    """
    values = {"callback": callback, "now": now, "every": PUSH_EVERY}
    with transaction.atomic(using="system"):
        row = execute(PUSHED, values).fetchone()
        if row is None:
            return False
        feed_id, due_at = row
        execute(DUE, [due_at, feed_id])
    return True


def _row(feed_id: int, hub: str, topic: str, now: datetime) -> dict[str, Any]:
    callback = secrets.token_urlsafe(32)
    return {"feed_id": feed_id, "hub": hub, "topic": topic, "callback": callback, "since": now}


def _requests(claimed: list[tuple[Any, ...]], down: set[str]) -> Iterator[Request]:
    """Yield a request for each, but no more to hosts found to be ``down``."""
    for feed_id, hub, topic, callback in claimed:
        if host_of(hub) in down:
            continue
        form = {
            "hub.mode": "subscribe",
            "hub.topic": topic,
            "hub.callback": f"{settings.PUBLIC_URL}/websub/{callback}",
            "hub.lease_seconds": int(LEASE.total_seconds()),
        }
        yield Request(hub, followers=0, accept="*/*", form=urlencode(form), context=feed_id)
