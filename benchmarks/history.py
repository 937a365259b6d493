"""The life of a listener as events: the mixture of events of a month, instead of one event repeated."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID, uuid4, uuid5

from benchmarks import sample
from eventstore import log
from eventstore.domain import collections
from eventstore.domain.collections import CollectionCreated, FeedAddedToCollection
from eventstore.domain.identifiers import feed_of_url
from eventstore.domain.messages import Event
from eventstore.domain.playlists import PlaylistCreated, PlaylistItemAdded, PlaylistItemRemoved
from eventstore.domain.plays import PlayRecorded, PositionUpdated
from eventstore.domain.privacy import Level, PrivacyChanged
from eventstore.domain.saved import EpisodeSaved, EpisodeShared, EpisodeUnsaved
from eventstore.domain.subscriptions import UserSubscribed, UserUnsubscribed

FEEDS = [feed_of_url(f"https://feeds.example.org/{number}.xml") for number in range(300)]
FOLLOWED = 20
# listening events before some events of other kinds follow
ROUND = 20
LEVELS: tuple[Level | None, ...] = ("public", "anonymous", None, "private")


def life(user_id: UUID, number: int, items: int) -> Iterator[Event]:
    """Yield events without end: of the feeds that the listener of this number follows, ``items`` episodes are
    heard in turn."""
    clock = _minutes()
    mine = [FEEDS[(number * 7 + place) % len(FEEDS)] for place in range(FOLLOWED)]
    default, walk = collections.default_id(user_id), uuid5(user_id, "walk")
    level = LEVELS[number % len(LEVELS)]
    if level is not None:
        yield PrivacyChanged(user_id=user_id, level=level, changed_at=next(clock))
    yield CollectionCreated(
        user_id=user_id,
        collection_id=default,
        name=collections.DEFAULT_NAME,
        is_default=True,
        updated_at=next(clock),
    )
    yield CollectionCreated(user_id=user_id, collection_id=walk, name="Walk", updated_at=next(clock))
    yield PlaylistCreated(user_id=user_id, playlist_id=walk, name="Walk", updated_at=next(clock))
    for feed in mine:
        yield UserSubscribed(user_id=user_id, rss_source_feed=feed, subscribed_at=next(clock))
    for feed in mine[::4]:
        at = next(clock)
        yield FeedAddedToCollection(user_id=user_id, collection_id=walk, rss_source_feed=feed, added_at=at)
    turn = 0
    while True:
        yield from _round(user_id, mine, walk, items, turn, clock)
        turn += 1


def _round(
    user_id: UUID, mine: list[str], walk: UUID, items: int, turn: int, clock: Iterator[datetime]
) -> Iterator[Event]:
    for step in range(ROUND):
        number = (turn * ROUND + step) // 2 % items
        feed, item = mine[number % len(mine)], sample.item(number)
        of: dict[str, Any] = {"user_id": user_id, "rss_source_feed": feed, "rss_source_item": item}
        heard: dict[str, Any] = {"position": 60 * step, "played": step % 5 == 4}
        if step % 2:
            yield PositionUpdated(**of, **heard, updated_at=next(clock))
        else:
            yield PlayRecorded(**of, **heard, played_at=next(clock))
    yield EpisodeSaved(**of, saved_at=next(clock))
    yield PlaylistItemAdded(**of, playlist_id=walk, added_at=next(clock))
    match turn % 4:
        case 0:
            yield EpisodeShared(**of, shared_at=next(clock))
        case 1:
            yield EpisodeUnsaved(**of, unsaved_at=next(clock))
        case 2:
            yield PlaylistItemRemoved(**of, playlist_id=walk, removed_at=next(clock))
        case 3:
            yield UserUnsubscribed(user_id=user_id, rss_source_feed=feed, unsubscribed_at=next(clock))
            yield UserSubscribed(user_id=user_id, rss_source_feed=feed, subscribed_at=next(clock))


def fill(users: int, events: int, *, items: int = 200) -> list[UUID]:
    """Fill streams with ``events`` events each; returns their users."""
    found = [uuid4() for _ in range(users)]
    for number, user_id in enumerate(found):
        record(user_id, list(islice(life(user_id, number, items), events)))
    return found


def record(user_id: UUID, events: list[Event], chunk: int = 5_000) -> None:
    stream = log.stream_of(user_id)
    for first in range(0, len(events), chunk):
        log.append(stream, first, events[first : first + chunk], sample.ORIGIN)


def _minutes() -> Iterator[datetime]:
    at = sample.START
    while True:
        yield at
        at += timedelta(seconds=20)
