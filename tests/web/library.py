"""Helpers that create podcasts, and what listeners follow and have heard, as the pages show it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from accounts.models import User
from eventstore.dispatcher import Origin, dispatch
from eventstore.domain.identifiers import feed_of_url, item_of
from eventstore.domain.listening import EpisodeHeard, Heard, ImportListening
from eventstore.domain.plays import RecordPlay
from eventstore.domain.subscriptions import Subscribe
from feeds.models import Episode, Feed
from tests.feeds.known import known_episode, known_feed
from tests.feeds.rows import item_name, name_of
from tests.projecting import bring_up_to_date
from web.addresses import in_path

NOW = datetime(2026, 11, 20, 21, 15, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\u202e"


def show(number: int = 1, episodes: int = 0, /, **fields: Any) -> Feed:
    """Create a fetched podcast whose episodes were published an hour apart, the last one an hour ago."""
    now = datetime.now(UTC)
    details = {"title": f"Show {number}", "episode_count": episodes, "newest_at": now, **fields}
    feed = known_feed(f"https://show{number}.example/feed.xml", **details)
    for count in range(episodes):
        at = now - timedelta(hours=episodes - count)
        known_episode(
            feed,
            f"{number}-{count}",
            f"https://audio.example/{number}/{count}.mp3",
            title=f"Episode {number}-{count}",
            published_at=at,
            sort_at=at,
        )
    return feed


def follow(user: User, *feeds: Feed) -> None:
    """Follow these feeds in this order, and bring the read models up to date."""
    for number, feed in enumerate(feeds):
        order = Subscribe(user_id=user.pk, feed=name_of(feed), now=NOW + timedelta(minutes=number))
        dispatch(order, Origin())
    bring_up_to_date()


def hear(user: User, episode: Episode, position: int = 0, played: bool = False) -> None:
    order = RecordPlay(
        user_id=user.pk,
        feed=name_of(episode.feed),
        item=item_name(episode),
        position=position,
        played=played,
        now=NOW,
    )
    dispatch(order, Origin())


def heard(
    feed: Feed, at: datetime, seconds: int, device: str = "Pixel 9", finished: bool = False
) -> EpisodeHeard:
    until = at + timedelta(seconds=seconds)
    listened = Heard(device, until, seconds, seconds, at, until if finished else None)
    return EpisodeHeard(name_of(feed), item_of(f"{at:%Y%m%d%H%M}", ""), (listened,))


def listen(user: User, *listening: EpisodeHeard) -> None:
    dispatch(ImportListening(user_id=user.pk, now=datetime.now(UTC), listening=listening), Origin())
    bring_up_to_date()


def a_year(feeds: list[Feed]) -> list[EpisodeHeard]:
    """Two sessions of listening on most days of the last year, on two devices."""
    today, found = datetime.now(UTC).replace(second=0, microsecond=0), []
    for number in range(365):
        if number % 9 == 4:
            continue
        morning = (today - timedelta(days=number)).replace(
            hour=7, minute=number % 50, second=0, microsecond=0
        )
        feed, other = feeds[number % len(feeds)], feeds[number * number % len(feeds)]
        found.append(heard(feed, morning, 600 + number * 37 % 3000, finished=number % 3 == 0))
        evening = morning.replace(hour=17 + number % 5)
        found.append(heard(other, evening, number * 71 % 5400 + 60, "Firefox on Linux", number % 4 == 0))
    return found


def page_of(feed: Feed | str) -> str:
    """Return the address of a podcast's page, given its row or its URL."""
    return f"/podcasts/{in_path(feed_of_url(feed) if isinstance(feed, str) else name_of(feed))}"


def page_of_episode(episode: Episode) -> str:
    return f"/episodes/{in_path(item_name(episode))}?feed={in_path(name_of(episode.feed))}"


def unknown_episode(guid: str = "nobody's") -> str:
    return f"/episodes/{in_path(item_of(guid, ''))}?feed={in_path(feed_of_url('https://nobody.example/'))}"
