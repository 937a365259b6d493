"""Sync servers from which listeners move, with the quirks of the real ones.

oPodSync: times end with Z, ``since`` is inclusive and compared with the action's own time, no settings (503),
captions as names. mygpo: devices must be known, ``null`` for what a play does not state. Nextcloud: no
devices, times end with ``+00:00``, upper-case actions, -1 for absent values; any other path is a web page or
404.
"""

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.feeds.origin import Exchange, Origin, answer

NAME, PASSWORD = "alice", "moved away 1"
PREFIX = "/index.php/apps/gpoddersync"
Answered = tuple[int, Any]


def play(number: int = 1, feed: int = 1, at: Any = "2025-03-01T12:00:00Z", **more: Any) -> dict[str, Any]:
    return {
        "podcast": f"https://shows.example/{feed}.xml",
        "episode": f"https://audio.example/{feed}/{number}.mp3",
        "guid": f"guid-{feed}-{number}",
        "action": "play",
        "timestamp": at,
        "started": 0,
        "position": 60 + number,
        "total": 600,
        "device": "phone",
    } | more


class SyncServer:
    """A server with one account, on an ``Origin``.

    ``asked`` lists the paths that were answered, without their queries. The entries of ``instead`` for a path
    are returned in place of its real answers, each entry once.
    """

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.address = origin.url("")
        self.asked: list[str] = []
        self.instead: dict[str, list[Any]] = {}
        self.devices: list[dict[str, Any]] = [{"id": "phone", "caption": "My phone", "type": "mobile"}]
        self.lists: dict[str, list[Any]] = {"phone": []}
        self.actions: list[Any] = []
        self.settings: dict[str, dict[str, Any]] = {}
        self.favourites: list[dict[str, Any]] = []
        self.page_size = 100_000
        origin.otherwise(self._handle)

    async def _handle(self, exchange: Exchange) -> None:
        asked = urlsplit(exchange.asked.path)
        self.asked.append(asked.path)
        if waiting := self.instead.get(asked.path):
            await waiting.pop(0)(exchange)
            return
        status, content = self._answer(asked.path, parse_qs(asked.query), exchange.asked.headers)
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        kind = "text/html" if isinstance(content, bytes) else "application/json"
        await answer(body, status=status, content_type=kind)(exchange)

    def _answer(self, path: str, query: dict[str, list[str]], headers: dict[str, str]) -> Answered:
        if self.is_open(path):
            return self.open_answer(path)
        wanted = "Basic " + b64encode(f"{NAME}:{PASSWORD}".encode()).decode()
        if headers.get("authorization") != wanted:
            return 401, {"message": "Who is it?"}
        return self.answer(path, query, int(query.get("since", ["0"])[0]))

    def is_open(self, path: str) -> bool:
        """Whether a path is answered without a password, because no data of an account are there."""
        return not path.startswith(("/api/2/", "/subscriptions/"))

    def open_answer(self, path: str) -> Answered:
        return 404, b"<html>Nothing here</html>"

    def answer(self, path: str, query: dict[str, list[str]], since: int) -> Answered:
        raise NotImplementedError


class OPodSync(SyncServer):
    def answer(self, path: str, query: dict[str, list[str]], since: int) -> Answered:
        if path.startswith("/api/2/devices/"):
            return 200, [{**one, "name": one.get("caption"), "user": 1} for one in self.devices]
        if path.startswith("/api/2/subscriptions/"):
            found = [url for urls in self.lists.values() for url in urls]
            return 200, {"add": found, "remove": [], "update_urls": [], "timestamp": 1_800_000_000}
        if path.startswith("/subscriptions/"):
            return 200, [{"feed": url, "title": None} for urls in self.lists.values() for url in urls]
        if path.startswith("/api/2/episodes/"):
            # actions whose time is in the future are part of every answer
            found = self.actions if not since else [one for one in self.actions if "2099" in str(one)]
            return 200, {"timestamp": 1_800_000_000 + since % 7, "actions": found}
        if path.startswith("/api/2/favorites/"):
            return 200, []
        return 503, {"code": 503, "message": "Not implemented"}


class Mygpo(SyncServer):
    def answer(self, path: str, query: dict[str, list[str]], since: int) -> Answered:
        if path.startswith("/api/2/devices/"):
            return 200, self.devices
        if path.startswith("/api/2/subscriptions/"):
            device = path.rpartition("/")[2].removesuffix(".json")
            if device not in self.lists:
                return 404, b"no such device"
            return 200, {"add": self.lists[device], "remove": ["https://gone.example/"], "timestamp": 1}
        if path.startswith("/subscriptions/"):
            return 200, [{"url": url, "title": "?"} for urls in self.lists.values() for url in urls]
        if path.startswith("/api/2/episodes/"):
            found = self.actions[since : since + self.page_size]
            return 200, {"actions": found, "timestamp": since + len(found)}
        if path.startswith("/api/2/settings/"):
            scope = path.rpartition("/")[2].removesuffix(".json")
            return 200, self.settings.get(":".join([scope, *(value[0] for value in query.values())]), {})
        if path.startswith("/api/2/favorites/"):
            return 200, self.favourites
        return 404, b"<html>Not found</html>"


class Nextcloud(SyncServer):
    has_app = True

    def is_open(self, path: str) -> bool:
        return not path.startswith(PREFIX) or not self.has_app

    def open_answer(self, path: str) -> Answered:
        if path == "/status.php":
            return 200, {
                "installed": True,
                "maintenance": False,
                "versionstring": "31.0.2",
                "productname": "My Cloud",
            }
        return 404, b"<html>Page not found</html>"

    def answer(self, path: str, query: dict[str, list[str]], since: int) -> Answered:
        if path == f"{PREFIX}/subscriptions":
            return 200, {"add": self.lists["phone"], "remove": [], "timestamp": 1_800_000_000}
        if path == f"{PREFIX}/episode_action":
            found = [] if since else [_as_nextcloud(one) for one in self.actions]
            return 200, {"actions": found, "timestamp": 1_800_000_000}
        return 404, b""


def _as_nextcloud(action: dict[str, Any]) -> dict[str, Any]:
    numbers = {name: action.get(name, -1) for name in ("started", "position", "total")}
    fields = {name: action.get(name) for name in ("podcast", "episode", "guid")}
    at = str(action["timestamp"]).replace("Z", "+00:00")
    return {**fields, **numbers, "action": action["action"].upper(), "timestamp": at}


Kind = Callable[[Origin], SyncServer]
