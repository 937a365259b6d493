"""A model of AntennaPod 3.11 in both modes, after its code: its calls, their order, what it accepts."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tests.gpodder.player import BATCH, FORMAT, Episode, Player, Refused, newest, number

GPODDER_TYPE, JSON_TYPE = "plain/text; charset=utf-8", "application/json; charset=utf-8"


class AntennaPod(Player):
    """gpodder mode: the app signs in at the start of every sync, and then sends only its cookie. Its next
    ``since`` is the number of its last upload or, where nothing was uploaded, of its last read."""

    agent = "AntennaPod/3.11.2"

    def __init__(self, server: str, name: str, password: str, device: str, episodes: list[Episode]) -> None:
        super().__init__(server, name, password, device, episodes)
        self.since_feeds = self.since_actions = 0

    def set_up(self, caption: str) -> None:
        """Sign in, list the existing devices, and register as one."""
        self._log_in()
        for one in self._json("GET", f"/api/2/devices/{self.name}.json"):
            assert {"id", "caption", "type", "subscriptions"} <= one.keys(), one
        body = {"caption": caption, "type": "mobile"}
        self._send(f"/api/2/devices/{self.name}/{self.device}.json", body)

    def sync(self) -> None:
        """Sync podcasts first, and once more if a new one had to be fetched, then episodes. Raises
        ``Refused``."""
        self._log_in()
        if self._sync_feeds():
            self._log_in()
            self._sync_feeds()
        self._sync_actions()

    def cleaned(self, url: str) -> str:
        """Decode encoded colons, which the app takes for a bug of gpodder.net."""
        return url.replace("%3A", ":")

    def _sync_feeds(self) -> bool:
        """Sync podcasts, and return whether some came that the app did not follow."""
        answer = self._json("GET", self.feeds_path(self.since_feeds))
        added = [self.cleaned(url) for url in answer["add"]]
        removed = [self.cleaned(url) for url in answer["remove"]]
        mark = number(answer["timestamp"])
        first = sorted(self.followed)
        new = {url for url in added if url.startswith("http") and url not in self.removed} - self.followed
        self.followed |= new
        self.followed -= {url for url in removed if url not in self.added}
        queued = first if self.since_feeds == 0 else self.added
        to_add = [url for url in queued if url not in added]
        to_remove = [url for url in self.removed if url not in removed]
        if to_add or to_remove:
            mark = self.upload_feeds(to_add, to_remove)
        self.added, self.removed = [], []
        self.since_feeds = mark
        return bool(new)

    def _sync_actions(self) -> None:
        is_first = self.since_actions == 0
        answer = self._json("GET", self.actions_path(self.since_actions))
        mark = number(answer["timestamp"])
        self._apply([one for one in map(self._read, answer["actions"]) if one is not None])
        queue = [*self.queue, *(self._all_finished() if is_first else [])]
        for start in range(0, len(queue), BATCH):
            mark = self.upload_actions(queue[start : start + BATCH])
        self.note_sent(queue)
        self.queue = []
        self.since_actions = mark

    def _read(self, action: dict[str, Any]) -> dict[str, Any] | None:
        """Return a play that the app accepts, or None for an action that it ignores. Raises ``Refused``."""
        for name in ("podcast", "episode", "action"):
            if not isinstance(action.get(name), str):
                raise Refused(f"no {name}: {action}")
        if action["action"].upper() != "PLAY":
            return None
        datetime.strptime(action["timestamp"], FORMAT)  # noqa: DTZ007
        if not (
            number(action["started"]) >= 0 and number(action["position"]) > 0 and number(action["total"])
        ):
            raise Refused(f"it would set the position to a second before the begin: {action}")
        return action

    def _apply(self, plays: list[dict[str, Any]]) -> None:
        """Apply the newest play of each episode, unless a newer one waits to be sent. The app does not check
        whether a play that it has sent already is newer."""
        queued = newest(self.queue)
        for action in plays:
            self.learn(action["episode"], action["timestamp"], action["position"])
        for key, action in newest(plays).items():
            own = queued.get(key)
            if own is None or own["timestamp"] <= action["timestamp"]:
                self.positions[action["episode"]] = action["position"]

    def _all_finished(self) -> list[dict[str, Any]]:
        """Return actions for the first sync: all episodes that are finished, with the current time."""
        at = datetime.now(UTC).strftime(FORMAT)
        return [
            {
                "podcast": self.cleaned(self.episodes[url].feed),
                "episode": url,
                "guid": self.episodes[url].guid,
                "action": "play",
                "timestamp": at,
                **dict.fromkeys(("started", "position", "total"), self.episodes[url].length),
            }
            for url, position in self.positions.items()
            if self.is_finished(url, position)
        ]

    # differences between its two modes

    def _log_in(self) -> None:
        path = f"/api/2/auth/{self.name}/login.json"
        self.wire.ask("POST", path, b"", Authorization=self.basic("utf-8"), Content_Type=GPODDER_TYPE)

    def feeds_path(self, since: int) -> str:
        return f"/api/2/subscriptions/{self.name}/{self.device}.json?since={since}"

    def actions_path(self, since: int) -> str:
        return f"/api/2/episodes/{self.name}.json?since={since}"

    def upload_feeds(self, add: list[str], remove: list[str]) -> int:
        return self._uploaded(self.feeds_path(0).partition("?")[0], {"add": add, "remove": remove})

    def upload_actions(self, actions: list[dict[str, Any]]) -> int:
        body = [{**action, "device": self.device} for action in actions]
        return self._uploaded(self.actions_path(0).partition("?")[0], body)

    def _uploaded(self, path: str, body: Any) -> int:
        answer = json.loads(self._send(path, body))
        for sent, kept in answer["update_urls"]:
            assert isinstance(sent, str), answer
            assert isinstance(kept, str), answer
        return number(answer["timestamp"])

    def _send(self, path: str, body: Any) -> bytes:
        return self.wire.ask("POST", path, json.dumps(body).encode(), **self.headers(JSON_TYPE))

    def _json(self, method: str, path: str) -> Any:
        return json.loads(self.wire.ask(method, path, None, **self.headers()).decode())

    def headers(self, content_type: str = "") -> dict[str, str]:
        return {"Content_Type": content_type} if content_type else {}


class NextcloudAntennaPod(AntennaPod):
    """Nextcloud mode: the app sends its password, in Latin-1, with each call. After an upload its next
    ``since`` is its own clock, which is off by ``clock_is_off`` seconds."""

    def __init__(self, *args: Any, clock_is_off: int = 0) -> None:
        super().__init__(*args)
        self.clock_is_off = clock_is_off

    def let_in(self, open_in_browser: Callable[[str], None]) -> None:
        """Login flow v2: open a page in the browser, and poll for the result."""
        form = "application/x-www-form-urlencoded"
        begun = json.loads(self.wire.ask("POST", "/index.php/login/v2", b"", Content_Type=form))
        server, poll = self.wire.server, begun["poll"]
        path = poll["endpoint"].removeprefix(server)
        token = f"token={poll['token']}".encode()
        try:
            raise AssertionError(self.wire.ask("POST", path, token, Content_Type=form))
        except Refused:
            open_in_browser(begun["login"])
        granted = json.loads(self.wire.ask("POST", path, token, Content_Type=form))
        assert granted["server"] == server
        self.name, self.password = granted["loginName"], granted["appPassword"]

    def _log_in(self) -> None:
        """Do nothing: each call carries the password."""

    def feeds_path(self, since: int) -> str:
        return f"/index.php/apps/gpoddersync/subscriptions?since={since}"

    def actions_path(self, since: int) -> str:
        return f"/index.php/apps/gpoddersync/episode_action?since={since}"

    def upload_feeds(self, add: list[str], remove: list[str]) -> int:
        self._send("/index.php/apps/gpoddersync/subscription_change/create", {"add": add, "remove": remove})
        return int(time.time()) + self.clock_is_off

    def upload_actions(self, actions: list[dict[str, Any]]) -> int:
        self._send("/index.php/apps/gpoddersync/episode_action/create", actions)
        return int(time.time()) + self.clock_is_off

    def headers(self, content_type: str = "") -> dict[str, str]:
        own = {"Authorization": self.basic("latin-1"), "Accept": "application/json"}
        return own | super().headers(content_type)
