"""What real podcast apps have in common: a database that each keeps by its own rules, and HTTP over a socket.

The clients next to this module accept no more of an answer than the programs that they model, and fail where
those would fail or do harm.
"""

import base64
from datetime import datetime
from typing import Any, NamedTuple

import requests

# naive UTC in whole seconds, the only form that all of them read
FORMAT = "%Y-%m-%dT%H:%M:%S"
# seconds before the end from which on an episode counts as finished
CREDITS = 30
BATCH = 30


class Refused(Exception):
    """Raised for an answer that the app cannot handle."""


class Episode(NamedTuple):
    feed: str
    guid: str
    url: str
    length: int


class Heard(NamedTuple):
    """A play; two different plays of one episode differ in time or position."""

    url: str
    at: str
    position: int


class Wire:
    """An HTTP client that keeps cookies, follows no redirects, and accepts only status 200."""

    def __init__(self, server: str, agent: str) -> None:
        self.server = server
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["User-Agent"] = agent
        self.calls: list[str] = []

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> bytes:
        """Send a request; ``headers`` have _ instead of -. Raises ``Refused`` for any status but 200."""
        self.calls.append(f"{method} {path.partition('?')[0]}")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.session.request(
            method, self.server + path, data=body, headers=named, allow_redirects=False, timeout=30
        )
        if answer.status_code != 200:
            raise Refused(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer.content


class Player:
    """An app on one device.

    ``followed`` and ``positions`` (seconds, by the episode's address) are its database; ``heard`` has every
    play that it has made or received, ``sent`` those that it has uploaded.
    """

    agent = ""

    def __init__(self, server: str, name: str, password: str, device: str, episodes: list[Episode]) -> None:
        self.wire = Wire(server, self.agent)
        self.name, self.password, self.device = name, password, device
        self.episodes = {episode.url: episode for episode in episodes}
        self.followed: set[str] = set()
        self.positions: dict[str, int] = {}
        self.heard: set[Heard] = set()
        self.sent: set[Heard] = set()
        # episodes that were played with a clock behind a known play: there only this device has its position
        self.overruled: set[str] = set()
        self.added: list[str] = []
        self.removed: list[str] = []
        self.queue: list[dict[str, Any]] = []

    def set_up(self, caption: str) -> None:
        """Do what the app does when a server is entered. Raises ``Refused``."""
        raise NotImplementedError

    def sync(self) -> None:
        """Sync podcasts and episodes. Raises ``Refused``."""
        raise NotImplementedError

    def follow(self, feed: str) -> None:
        self.followed.add(feed)
        self.added.append(feed)
        self.removed = [one for one in self.removed if one != feed]

    def unfollow(self, feed: str) -> None:
        self.followed.discard(feed)
        self.removed.append(feed)
        self.added = [one for one in self.added if one != feed]

    def cleaned(self, url: str) -> str:
        """Return a received podcast's address as the app stores it."""
        return url

    def play(self, url: str, position: int, at: datetime) -> None:
        """Hear an episode up to a position, and queue the play for the next sync."""
        one = Heard(url, at.strftime(FORMAT), position)
        if any(other.url == url and other.at >= one.at for other in self.heard):
            self.overruled.add(url)
        self.heard.add(one)
        self.positions[url] = position
        self.queue.append(self.action_of(self.episodes[url], one))

    def action_of(self, episode: Episode, one: Heard) -> dict[str, Any]:
        """Return a play as this app writes it."""
        return {
            "podcast": self.cleaned(episode.feed),
            "episode": episode.url,
            "guid": episode.guid,
            "action": "play",
            "timestamp": one.at,
            "started": max(one.position - 60, 0),
            "position": one.position,
            "total": episode.length,
        }

    def note_sent(self, actions: list[dict[str, Any]]) -> None:
        sent = {Heard(one["episode"], one["timestamp"], one["position"]) for one in actions}
        self.sent |= sent
        self.heard |= sent

    def learn(self, url: str, at: str, position: int) -> None:
        self.heard.add(Heard(url, at, position))

    def shown(self) -> dict[str, int]:
        """Return each episode's position as the app shows it; an episode near its end counts as finished."""
        return {
            url: self.episodes[url].length if self.is_finished(url, position) else position
            for url, position in self.positions.items()
        }

    def is_finished(self, url: str, position: int) -> bool:
        return position >= self.episodes[url].length - CREDITS

    def basic(self, encoding: str) -> str:
        return "Basic " + base64.b64encode(f"{self.name}:{self.password}".encode(encoding)).decode()


def number(value: Any, *, most: int = 2**63 - 1) -> int:
    """Return a whole number from 0 to ``most``. Raises ``Refused`` for anything else."""
    if type(value) is not int or not 0 <= value <= most:
        raise Refused(f"no number that the app reads: {value!r}")
    return value


def newest(actions: list[dict[str, Any]]) -> dict[Any, dict[str, Any]]:
    """Return each episode's play with the latest time; of two with one time, the later in the list."""
    found: dict[Any, dict[str, Any]] = {}
    for action in actions:
        key = action["podcast"], action["episode"]
        if key not in found or found[key]["timestamp"] <= action["timestamp"]:
            found[key] = action
    return found
