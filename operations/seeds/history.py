"""What the demonstration's listeners did in their four weeks: commands with times.

Nothing here is random or reads the clock, so the same account gets the same history whenever it is recorded.
"""

import base64
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from operator import attrgetter
from random import Random
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID, uuid5

from eventstore.domain.collections import AddFeedToCollection, CreateCollection
from eventstore.domain.identifiers import feed_of_url, normalise_item
from eventstore.domain.messages import Command, Origin
from eventstore.domain.playlists import AddToPlaylist, CreatePlaylist
from eventstore.domain.plays import RecordPlay, UpdatePosition
from eventstore.domain.privacy import ChangePrivacy, Level
from eventstore.domain.saved import SaveEpisode
from eventstore.domain.subscriptions import Subscribe

SPAN = timedelta(days=28)
ORIGIN = Origin(app_id="demonstration", device_id="demo-phone", device_name="Phone")


class Listener(NamedTuple):
    """``podcasts``: their names; ``hidden``: the one that is kept private."""

    level: Level
    podcasts: tuple[str, ...]
    hidden: str | None = None


# Invented podcasts (their domain is reserved): title, days between two episodes, minutes per episode.
PODCASTS: Mapping[str, tuple[str, float, int]] = MappingProxyType(
    {
        "night-trains": ("Night Trains", 7, 48),
        "the-long-table": ("The Long Table", 7, 62),
        "bread-and-salt": ("Bread and Salt", 3.5, 31),
        "small-hours": ("Small Hours", 3.5, 24),
        "seven-minutes": ("News in Seven Minutes", 1, 7),
    }
)
LISTENERS: Mapping[str, Listener] = MappingProxyType(
    {
        "demo-ana": Listener("public", ("night-trains", "bread-and-salt", "seven-minutes")),
        "demo-ben": Listener("anonymous", ("night-trains", "the-long-table", "small-hours")),
        "demo-chen": Listener("private", ("seven-minutes", "small-hours")),
        "demo-dora": Listener(
            "public", ("the-long-table", "night-trains", "bread-and-salt"), hidden="bread-and-salt"
        ),
    }
)


def of(name: str, user_id: UUID, began: datetime) -> list[Command]:
    """Return a listener's commands in the order of their times. The last one sets the account's privacy."""
    listener = LISTENERS[name]
    commands = [*_listens(name, listener, user_id, began), *_sorts(listener, user_id, began)]
    for number, podcast in enumerate(listener.podcasts):
        at = began + timedelta(minutes=3 * number)
        commands.append(Subscribe(user_id=user_id, feed=feed_of(podcast), now=at, at=at))
    if listener.hidden is not None:
        hidden, at = feed_of(listener.hidden), began + timedelta(days=1)
        commands.append(ChangePrivacy(user_id=user_id, level="private", feed=hidden, now=at, at=at))
    end = began + SPAN
    last = ChangePrivacy(user_id=user_id, level=listener.level, now=end, at=end)
    return [*sorted(commands, key=attrgetter("now")), last]


def feed_of(podcast: str) -> str:
    return feed_of_url(f"https://feeds.example.org/{podcast}.xml")


def _item_of(podcast: str, number: int) -> str:
    text = f"{podcast}-{number},https://media.example.org/{podcast}/{number}.mp3"
    return normalise_item(base64.b64encode(text.encode()).decode())


def _listens(name: str, listener: Listener, user_id: UUID, began: datetime) -> Iterator[Command]:
    dice = Random(name)  # noqa: S311 (the same habits each time)
    for podcast in listener.podcasts:
        _, days, minutes = PODCASTS[podcast]
        feed, length = feed_of(podcast), minutes * 60
        for number in range(1, int(SPAN.days / days) + 1):
            at = began + timedelta(days=(number - 1) * days, hours=6 + dice.random() * 20)
            mood = dice.random()
            if mood < 0.2 or at > began + SPAN - timedelta(hours=3):
                continue  # not to the listener's taste, or not out yet
            heard: dict[str, Any] = {"user_id": user_id, "item": _item_of(podcast, number)}
            half, end = (at + timedelta(seconds=length // part) for part in (2, 1))
            yield RecordPlay(**heard, feed=feed, position=0, played=False, now=at, at=at)
            yield UpdatePosition(**heard, position=length // 2, now=half, at=half)
            if mood < 0.4:
                continue  # fell asleep
            yield RecordPlay(**heard, feed=feed, position=length, played=True, now=end, at=end)
            if mood > 0.75:
                yield SaveEpisode(**heard, feed=feed, now=end, at=end)


def _sorts(listener: Listener, user_id: UUID, began: datetime) -> Iterator[Command]:
    """Yield a playlist and a collection, such as people make in their second week."""
    at = began + timedelta(days=8)
    playlist, collection = uuid5(user_id, "for the road"), uuid5(user_id, "mornings")
    own: dict[str, Any] = {"user_id": user_id, "is_public": listener.level == "public", "now": at}
    yield CreatePlaylist(playlist_id=playlist, name="For the road", **own)
    yield CreateCollection(collection_id=collection, name="Mornings", color="#2a9d8f", **own)
    for podcast in listener.podcasts[:2]:
        at += timedelta(minutes=1)
        feed, title = feed_of(podcast), PODCASTS[podcast][0]
        yield AddFeedToCollection(user_id=user_id, collection_id=collection, feed=feed, now=at, at=at)
        yield AddToPlaylist(
            user_id=user_id,
            playlist_id=playlist,
            feed=feed,
            item=_item_of(podcast, 1),
            item_title=f"{title} 1",
            feed_title=title,
            now=at,
            at=at,
        )
