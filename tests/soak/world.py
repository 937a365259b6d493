"""The podcasts of a soak: those that everybody may hear, and those that reveal who listens."""

import base64
from typing import NamedTuple

SHOWS, EPISODES, OWN_EPISODES = 30, 12, 3


class Episode(NamedTuple):
    feed: str
    item: str


class Show(NamedTuple):
    """A podcast: ``url`` is its address as text, and ``feed`` is how the API names it."""

    url: str
    feed: str
    episodes: tuple[Episode, ...]


def show(name: str, url: str, episodes: int) -> Show:
    feed = encoded(url)
    items = (f"{name}-{n:03},https://media.example.org/{name}/{n:03}.mp3" for n in range(episodes))
    return Show(url, feed, tuple(Episode(feed, encoded(item)) for item in items))


def shared() -> list[Show]:
    """Return the shows that many hear; the first ones are heard most."""
    names = [f"show-{number:02}" for number in range(SHOWS)]
    return [show(name, f"https://feeds.example.org/{name}.xml", EPISODES) for name in names]


def own(number: int) -> Show:
    """Return a show that only one listener hears: wherever it is shown, it reveals who listens."""
    return show(f"cellar-{number:03}", f"https://feeds.example.org/cellar-{number:03}.xml", OWN_EPISODES)


def paid(number: int) -> Show:
    """Return a member's private feed, which whoever knows its address may hear."""
    return show(
        f"paid-{number:03}", f"https://www.patreon.com/rss/paid?auth=member-{number:03}", OWN_EPISODES
    )


def regretted(number: int) -> Show:
    """Return a show that is heard once, and then removed from the history for good."""
    return show(f"regret-{number:03}", f"https://feeds.example.org/regret-{number:03}.xml", OWN_EPISODES)


def words(of: Show) -> list[str]:
    """Return the texts by which a show would be recognized wherever it is written."""
    return [of.url, of.feed, *(episode.item for episode in of.episodes)]


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def url_safe(name: str) -> str:
    """Return the same name for use in a path."""
    return name.replace("+", "-").replace("/", "_").rstrip("=")
