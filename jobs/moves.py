"""Moves subscriptions along when a feed moves to another address, with ordinary commands, as if each listener
had followed the new feed and unfollowed the old one.

The last command completes a move, so the next run finishes what a killed run has left. History stays under
the old address, and is found through its alias.
"""

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime
from hashlib import blake2b
from typing import Final, NamedTuple
from uuid import UUID, uuid5

from celery import shared_task
from django.utils import timezone

from accounts.models import User
from eventstore import dispatcher
from eventstore.dispatcher import CommandId, CommandIdReused, Conflict, StreamErased, StreamUnreadable
from eventstore.domain import collections, privacy
from eventstore.domain.collections import (
    AddFeedToCollection,
    Collection,
    RemoveFeedFromCollection,
    ReorderCollection,
)
from eventstore.domain.errors import DomainError
from eventstore.domain.identifiers import feed_of_url
from eventstore.domain.messages import Command, Origin
from eventstore.domain.privacy import ChangePrivacy
from eventstore.domain.subscriptions import Subscribe, Unsubscribe
from eventstore.domain.topics import User as State
from feeds import moves, publishing
from feeds.moves import MovedKey
from jobs.tasks import stepping_aside
from projections import queries
from projections.connect import connect
from projections.locks import try_lock

logger = logging.getLogger(__name__)

ORIGIN: Final = Origin(cause="feed_moved")
LOCK: Final = "feeds moves"


class Step(NamedTuple):
    """A command, and its name among the commands of one move."""

    name: str
    command: Command


@shared_task
@stepping_aside
def follow_moves() -> int:
    """Settle which feeds have moved, and move their listeners' subscriptions along. Returns how many
    subscriptions moved.

    Returns at once if the previous run is still active.
    """
    with connect("system", application_name="balados-moves") as connection:
        if not try_lock(connection, LOCK):
            return 0
        now = timezone.now()
        settled = moves.settle(now)
        # before anybody can be seen to follow the new address
        publishing.mark_blocked(now)
        followed = sum(map(_follow_page, moves.moved_keys()))
    if followed or settled != moves.Settled():
        logger.info(
            "Feeds: %s moved, %s merged, %s wait for you (manage.py feed_moves), %s subscriptions moved",
            *(settled.moved, settled.merged, settled.waiting, followed),
        )
    return followed


def _follow_page(page: list[MovedKey]) -> int:
    moved = {key.feed_key: key for key in page}
    done = 0
    for pairs in queries.followers(list(moved)):
        willing = _who_follows_moves({user_id for _, user_id in pairs})
        done += sum(follow(user_id, moved[key]) for key, user_id in pairs if user_id in willing)
    return done


def _who_follows_moves(user_ids: Iterable[UUID]) -> set[UUID]:
    users = User.objects.filter(pk__in=list(user_ids), follow_moves=True, erasing_since=None)
    return set(users.values_list("pk", flat=True))


def follow(user_id: UUID, moved: MovedKey) -> bool:
    """Move one listener's subscription along. Returns whether the old address was unfollowed.

    What fails because of another writer is done by the next run.
    """
    old, new = feed_of_url(moved.old_url), feed_of_url(moved.new_url)
    left = False
    try:
        # if the read models lag, there may be nothing left to do
        for step in list(steps(dispatcher.state_of(user_id).user, old, new, timezone.now())):
            identity = f"{old} {new} {moved.since.isoformat()} {step.name}"
            fingerprint = blake2b(identity.encode(), digest_size=16).digest()
            command_id = CommandId(uuid5(user_id, identity), fingerprint)
            outcome = dispatcher.dispatch(step.command, ORIGIN, command_id=command_id)
            left = isinstance(step.command, Unsubscribe) and bool(outcome.events)
    except StreamErased:
        return False
    except (DomainError, Conflict, CommandIdReused, StreamUnreadable) as failure:
        logger.warning("A subscription did not move along: %s", type(failure).__name__)
        return False
    return left


def steps(user: State, old: str, new: str, now: datetime) -> Iterator[Step]:
    """Yield the commands that move a listener from one ``rss_source_feed`` to another. Pure.

    First the privacy settings are copied. Then the new feed is followed, since the time at which the old one
    was followed, and takes the old one's places. Last, the old feed is unfollowed.
    """
    known = user.subscriptions.get(old)
    if known is None or not known.active:
        return
    yield from _privacy(user, old, new, now)
    target = user.subscriptions.get(new)
    if target is None or not target.active:
        # with a time before the listener once unfollowed the new feed, neither feed would remain followed
        at = None if target is not None else known.subscribed_at
        subscribe = Subscribe(user_id=user.user_id, now=now, feed=new, source_id=known.source_id, at=at)
        yield Step("subscribe", subscribe)
    for key, collection in list(user.collections.items()):
        if collections.REGISTER.is_on(collection):
            yield from _places(UUID(key), collection, user.user_id, old, new, now)
    yield Step("unsubscribe", Unsubscribe(user_id=user.user_id, now=now, feed=old))


def _privacy(user: State, old: str, new: str, now: datetime) -> Iterator[Step]:
    """Yield commands for the privacy levels of the feed and its episodes; if both addresses have one, the
    stricter applies."""
    for setting in list(user.privacy.values()):
        if setting.feed != old or setting.level is None:
            continue
        scope = privacy.scope_of(new, setting.item)
        theirs = user.privacy.get(scope)
        if theirs is None or theirs.level is None or _shows_more(theirs.level, setting.level):
            level, item = setting.level, setting.item
            command = ChangePrivacy(user_id=user.user_id, now=now, level=level, feed=new, item=item)
            yield Step(f"privacy {scope}", command)


def _shows_more(level: privacy.Level, other: privacy.Level) -> bool:
    return privacy.STRICTNESS.index(level) < privacy.STRICTNESS.index(other)


def _places(
    collection_id: UUID, collection: Collection, user_id: UUID, old: str, new: str, now: datetime
) -> Iterator[Step]:
    """Yield commands that put the new feed in the old one's place; the default collection is only an
    order."""
    shown = list(collection.order) if collection.is_default else collections.REGISTER.arranged(collection)
    if old not in shown:
        return
    if not collection.is_default and new not in shown:
        add = AddFeedToCollection(user_id=user_id, now=now, collection_id=collection_id, feed=new)
        yield Step(f"add {collection_id}", add)
    order = tuple(dict.fromkeys(new if feed == old else feed for feed in shown))
    if old in collection.order or order[-1] != new:
        reorder = ReorderCollection(user_id=user_id, now=now, collection_id=collection_id, feeds=order)
        yield Step(f"reorder {collection_id}", reorder)
    if not collection.is_default:
        remove = RemoveFeedFromCollection(user_id=user_id, now=now, collection_id=collection_id, feed=old)
        yield Step(f"remove {collection_id}", remove)
