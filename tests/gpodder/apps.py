"""A podcast app as strict as the real ones: it signs in once, and then sends only its cookie."""

import base64
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.http.response import HttpResponseBase
from django.test import Client
from mygpoclient.api import EpisodeAction

# naive UTC in whole seconds
FORMAT = "%Y-%m-%dT%H:%M:%S"
TIMES = {"started", "position", "total"}
ACTION_FIELDS = {"podcast", "episode", "guid", "action", "timestamp", "device", *TIMES}


def basic(name: str, password: str, encoding: str = "utf-8") -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode(encoding)).decode()


def feed_url(number: int = 1) -> str:
    return f"https://example.org/{number}.xml"


def play(number: int = 1, feed: int = 1, at: Any = "2026-05-01T12:00:00", **more: Any) -> dict[str, Any]:
    """Return a play as AntennaPod sends it."""
    return {
        "podcast": feed_url(feed),
        "episode": f"https://example.org/{feed}/{number}.mp3",
        "guid": f"episode-{feed}-{number}",
        "action": "play",
        "timestamp": at,
        "started": 0,
        "position": 60,
        "total": 600,
    } | more


def content_of(answer: HttpResponseBase) -> bytes:
    if answer.streaming:
        return b"".join(answer.streaming_content)  # type: ignore[attr-defined]
    return bytes(answer.content)  # type: ignore[attr-defined]


class PodcastApp:
    def __init__(
        self, name: str, password: str, device: str, *, agent: str = "test", keeps_cookies: bool = True
    ) -> None:
        self.name, self.password, self.device, self.agent = name, password, device, agent
        self.keeps_cookies = keeps_cookies
        self.client = Client(raise_request_exception=True)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> HttpResponseBase:
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        if not self.keeps_cookies:
            self.client.cookies.clear()
        extra: Any = {"HTTP_USER_AGENT": self.agent}
        if "sessionid" not in self.client.cookies:
            extra["HTTP_AUTHORIZATION"] = basic(self.name, self.password)
        extra |= {f"HTTP_{name.upper()}": value for name, value in headers.items()}
        return self.client.generic(method, path, raw, "application/x-www-form-urlencoded", **extra)

    def json(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.ask(method, path, body)
        content = content_of(answer)
        assert answer.status_code == 200, (method, path, answer.status_code, content[:300])
        assert answer["Cache-Control"] == "no-store"
        assert content.isascii()
        return json.loads(content)

    # podcasts

    def subscriptions(self, since: int = 0) -> dict[str, Any]:
        answer = self.json("GET", f"/api/2/subscriptions/{self.name}/{self.device}.json?since={since}")
        assert set(answer) == {"add", "remove", "timestamp"}
        assert not set(answer["add"]) & set(answer["remove"])
        return dict(answer)

    def upload_subscriptions(self, add: Iterable[str] = (), remove: Iterable[str] = ()) -> dict[str, Any]:
        body = {"add": list(add), "remove": list(remove)}
        answer = self.json("POST", f"/api/2/subscriptions/{self.name}/{self.device}.json", body)
        assert {"timestamp", "update_urls"} <= set(answer)
        return dict(answer)

    # episodes

    def actions(self, since: int = 0, query: str = "") -> dict[str, Any]:
        answer = self.json("GET", f"/api/2/episodes/{self.name}.json?since={since}{query}")
        assert set(answer) == {"actions", "timestamp"}
        for action in answer["actions"]:
            check_action(action)
        return dict(answer)

    def upload(self, *actions: Any) -> dict[str, Any]:
        answer = self.json("POST", f"/api/2/episodes/{self.name}.json", list(actions))
        assert {"timestamp", "update_urls"} <= set(answer)
        return dict(answer)


def check_action(action: dict[str, Any]) -> None:
    """Check that every app can read the action."""
    EpisodeAction.from_dictionary(action)
    assert set(action) <= ACTION_FIELDS
    datetime.strptime(action["timestamp"], FORMAT)  # noqa: DTZ007
    assert action["action"] in ("play", "download", "delete", "new", "flattr")
    numbers: list[Any] = [action.get(name) for name in ("started", "position", "total")]
    if action["action"] != "play":
        assert numbers == [None] * 3
        return
    assert all(type(number) is int and 0 <= number < 2**31 for number in numbers)
    assert numbers[2] > 0
