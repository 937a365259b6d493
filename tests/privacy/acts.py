"""What listeners do, as events, and what the public can see of it."""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID

from django.test import Client

from accounts.models import User
from eventstore.domain.messages import Event
from eventstore.domain.privacy import Level, PrivacyChanged
from eventstore.domain.saved import EpisodeSaved, EpisodeShared, EpisodeUnsaved
from projections import popularity
from projections.connect import Connection
from tests.api.devices import b64, feed, item
from tests.factories import UserFactory
from tests.projecting import bring_up_to_date
from tests.projections.histories import (
    FEED,
    ITEM,
    minutes,
    moved,
    played,
    record,
    subscribed,
    unsubscribed,
)

SECRET = b64("https://www.patreon.com/rss/somebody?auth=mPkY3ZcQ0v")
FEEDS = [feed(1), feed(2), SECRET]
ITEMS = [item(1), item(2)]
PATHS = [
    "trending/podcasts?limit=1000",
    "trending/episodes?limit=1000",
    "timeline?limit=1000",
    "timeline?limit=1000&event_type=play",
    *(f"trending/{what}?feed={name}" for what in ("podcasts", "episodes") for name in FEEDS),
    *(f"timeline?limit=1000&feed={name}" for name in FEEDS),
    *(f"podcast/{name}/popularity" for name in FEEDS),
    *(f"episode/{name}/popularity" for name in ITEMS),
    *(f"episode/{name}/popularity?feed={of}" for name in ITEMS for of in FEEDS),
]
TABLES = {
    "public_events": "kind, rss_source_feed, feed_key, rss_source_item, item_key, happened_at, user_id",
    "podcast_popularity": "*",
    "episode_popularity": "*",
}
# headers that differ between two runs, because they are random or derived from random ids
RANDOM = ("ETag", "X-Request-ID")


def level(
    to: Level | None, user: UUID, feed: str | None = None, item: str | None = None, at: int = 0
) -> Event:
    return PrivacyChanged(
        user_id=user, level=to, rss_source_feed=feed, rss_source_item=item, changed_at=minutes(at)
    )


def saved(user: UUID, item: str = ITEM, feed: str = FEED, at: int = 0) -> Event:
    return EpisodeSaved(user_id=user, rss_source_feed=feed, rss_source_item=item, saved_at=minutes(at))


def unsaved(user: UUID, item: str = ITEM, feed: str = FEED, at: int = 0) -> Event:
    return EpisodeUnsaved(user_id=user, rss_source_feed=feed, rss_source_item=item, unsaved_at=minutes(at))


def shared(user: UUID, item: str = ITEM, feed: str = FEED, at: int = 0) -> Event:
    return EpisodeShared(user_id=user, rss_source_feed=feed, rss_source_item=item, shared_at=minutes(at))


class Act(NamedTuple):
    """One act of a listener, without the listener."""

    kind: str
    feed: str
    item: str
    at: int

    def by(self, user: UUID) -> Event:
        match self.kind:
            case "subscribe":
                return subscribed(user, self.feed, self.at)
            case "unsubscribe":
                return unsubscribed(user, self.feed, self.at)
            case "play":
                return played(user, self.item, feed=self.feed, at=self.at)
            case "move":
                return moved(user, self.item, at=self.at)
            case "save":
                return saved(user, self.item, self.feed, self.at)
            case "unsave":
                return unsaved(user, self.item, self.feed, self.at)
            case _:
                return shared(user, self.item, self.feed, self.at)


KINDS = ["subscribe", "unsubscribe", "play", "move", "save", "unsave", "share"]


def account(name: str, number: int) -> User:
    """A listener whose id is the same in every run."""
    return UserFactory.create(username=name, id=UUID(int=number))


def run_worker() -> None:
    """Do what the projectors and the worker do, as far as it affects what is public."""
    bring_up_to_date()
    popularity.recalculate()
    bring_up_to_date()


def perform(events: Iterable[Event], pause: int = 4) -> None:
    """Record the events, and run the worker after every ``pause`` events."""
    for number, event in enumerate(events, 1):
        record(event)
        if number % pause == 0:
            run_worker()
    run_worker()


def seen(path: str) -> dict[str, Any]:
    """What anybody gets from a path below /api/v1/public/."""
    answer = Client().get(f"/api/v1/public/{path}")
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = json.loads(answer.content)
    return found


def everything_seen() -> dict[str, tuple[dict[str, str], bytes]]:
    """Every public answer, headers and body; without random ids, and sorted where random ids determined the
    order.

    An error that an item is ambiguous, because several feeds have it, also counts as an answer.
    """
    found = {}
    for path in PATHS:
        answer = Client().get(f"/api/v1/public/{path}")
        assert answer.status_code == 200 or b'"ambiguous_item"' in answer.content, answer.content
        headers = {name: value for name, value in answer.headers.items() if name not in RANDOM}
        content = answer.content
        if path.startswith("timeline"):
            content = _without_ids(content)
        found[path] = (headers, content)
    return found


def everything_stored(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of the public tables, without random ids."""
    return {
        table: connection.execute(
            f'SELECT {columns} FROM public.{table} kept ORDER BY kept::text COLLATE "C"'
            if columns == "*"
            else f"SELECT {columns} FROM public.{table} ORDER BY {columns}"
        ).fetchall()
        for table, columns in TABLES.items()
    }


def _without_ids(content: bytes) -> bytes:
    answer = json.loads(content)
    for event in answer["events"]:
        del event["id"]
    times = [event["happened_at"] for event in answer["events"]]
    assert times == sorted(times, reverse=True)
    answer["events"].sort(key=json.dumps)
    return json.dumps(answer).encode()
