"""What the demonstration's listeners did in their four weeks: commands with times. Nothing here is random or
knows the clock, so the same account gets the same history whenever it is recorded.
"""

import base64
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from operator import attrgetter
from random import Random
from types import MappingProxyType
from typing import NamedTuple
from uuid import UUID, uuid5

from eventstore.domain.collections import AddFeedToCollection, CreateCollection
from eventstore.domain.identifiers import feed_of_url, normalise_item
from eventstore.domain.messages import Command
from eventstore.domain.playlists import AddToPlaylist, CreatePlaylist
from eventstore.domain.plays import RecordPlay, UpdatePosition
from eventstore.domain.privacy import ChangePrivacy, Level
from eventstore.domain.saved import SaveEpisode, ShareEpisode
from eventstore.domain.subscriptions import Subscribe, Unsubscribe
from eventstore.log import Origin

SPAN = timedelta(days=28)
ORIGIN = Origin(app_id="demonstration", device_id="demo-phone", device_name="Phone")


class Podcast(NamedTuple):
    """An invented podcast (its domain is reserved) with a new episode of ``minutes`` every ``days``."""

    title: str
    days: float
    minutes: int


class Listener(NamedTuple):
    """``unsubscribed``: a podcast that was followed for a while; ``hidden``: one that is kept private."""

    level: Level
    podcasts: tuple[str, ...]
    unsubscribed: str | None = None
    hidden: str | None = None


PODCASTS: Mapping[str, Podcast] = MappingProxyType(
    {
        "night-trains": Podcast("Night Trains", 7, 48),
        "the-long-table": Podcast("The Long Table", 7, 62),
        "bread-and-salt": Podcast("Bread and Salt", 3.5, 31),
        "small-hours": Podcast("Small Hours", 3.5, 24),
        "seven-minutes": Podcast("News in Seven Minutes", 1, 7),
        "tide-tables": Podcast("Tide Tables", 14, 75),
    }
)
LISTENERS: Mapping[str, Listener] = MappingProxyType(
    {
        "demo-ana": Listener("public", ("night-trains", "bread-and-salt", "seven-minutes", "tide-tables")),
        "demo-ben": Listener(
            "anonymous", ("night-trains", "the-long-table", "small-hours"), unsubscribed="small-hours"
        ),
        "demo-chen": Listener("private", ("seven-minutes", "small-hours", "tide-tables")),
        "demo-dora": Listener(
            "public", ("the-long-table", "night-trains", "bread-and-salt"), hidden="bread-and-salt"
        ),
    }
)


class Episode(NamedTuple):
    podcast: str
    number: int
    published: datetime

    @property
    def item(self) -> str:
        text = f"{self.podcast}-{self.number},https://media.example.org/{self.podcast}/{self.number}.mp3"
        return normalise_item(base64.b64encode(text.encode()).decode())


def of(name: str, user_id: UUID, began: datetime) -> list[Command]:
    """A listener's commands in the order of their times. The last one sets the privacy of the account."""
    listener = LISTENERS[name]
    commands = [*_follows(listener, user_id, began), *_listens(name, listener, user_id, began)]
    commands += _sorts(listener, user_id, began)
    if listener.hidden is not None:
        hidden, at = feed_of(listener.hidden), began + timedelta(days=1)
        commands.append(ChangePrivacy(user_id=user_id, level="private", feed=hidden, now=at, at=at))
    commands.sort(key=attrgetter("now"))
    end = began + SPAN
    return [*commands, ChangePrivacy(user_id=user_id, level=listener.level, now=end, at=end)]


def feed_of(podcast: str) -> str:
    return feed_of_url(f"https://feeds.example.org/{podcast}.xml")


def _follows(listener: Listener, user_id: UUID, began: datetime) -> Iterator[Command]:
    for number, podcast in enumerate(listener.podcasts):
        at = began + timedelta(minutes=3 * number)
        yield Subscribe(user_id=user_id, feed=feed_of(podcast), now=at, at=at)
    if listener.unsubscribed is not None:
        at = began + timedelta(days=19, hours=2)
        yield Unsubscribe(user_id=user_id, feed=feed_of(listener.unsubscribed), now=at, at=at)


def _listens(name: str, listener: Listener, user_id: UUID, began: datetime) -> Iterator[Command]:
    dice = Random(name)  # noqa: S311 (the same habits each time)
    for podcast in listener.podcasts:
        for episode in episodes(podcast, began):
            at = episode.published + timedelta(hours=1 + dice.random() * 20)
            mood = dice.random()
            if mood < 0.2 or at > began + SPAN - timedelta(hours=3):
                continue  # not to the listener's taste, or not out yet
            feed, item, length = feed_of(podcast), episode.item, PODCASTS[podcast].minutes * 60
            yield RecordPlay(user_id=user_id, feed=feed, item=item, position=0, played=False, now=at, at=at)
            at += timedelta(seconds=length // 2)
            yield UpdatePosition(user_id=user_id, item=item, position=length // 2, now=at, at=at)
            if mood < 0.4:
                continue  # fell asleep
            at += timedelta(seconds=length // 2)
            yield RecordPlay(
                user_id=user_id, feed=feed, item=item, position=length, played=True, now=at, at=at
            )
            at += timedelta(minutes=1)
            if mood > 0.75:
                yield SaveEpisode(user_id=user_id, feed=feed, item=item, now=at, at=at)
            if mood > 0.93:
                yield ShareEpisode(user_id=user_id, feed=feed, item=item, now=at, at=at)


def _sorts(listener: Listener, user_id: UUID, began: datetime) -> Iterator[Command]:
    """A playlist and a collection, as people make them in their second week."""
    at = began + timedelta(days=8)
    playlist, collection = uuid5(user_id, "for the road"), uuid5(user_id, "mornings")
    shown = listener.level == "public"
    yield CreatePlaylist(user_id=user_id, playlist_id=playlist, name="For the road", is_public=shown, now=at)
    yield CreateCollection(
        user_id=user_id, collection_id=collection, name="Mornings", color="#2a9d8f", is_public=shown, now=at
    )
    for number, podcast in enumerate(listener.podcasts[:2]):
        at += timedelta(minutes=1)
        yield AddFeedToCollection(
            user_id=user_id, collection_id=collection, feed=feed_of(podcast), now=at, at=at
        )
        for episode in list(episodes(podcast, began))[: 3 - number]:
            at += timedelta(seconds=20)
            yield AddToPlaylist(
                user_id=user_id,
                playlist_id=playlist,
                feed=feed_of(podcast),
                item=episode.item,
                item_title=f"{PODCASTS[podcast].title} {episode.number}",
                feed_title=PODCASTS[podcast].title,
                now=at,
                at=at,
            )


def episodes(podcast: str, began: datetime) -> Iterator[Episode]:
    """What came out in the four weeks."""
    every = timedelta(days=PODCASTS[podcast].days)
    for number in range(int(SPAN / every)):
        yield Episode(podcast, number + 1, began + number * every + timedelta(hours=5))
