"""A model of Kasts 25 in both modes, after its code: its calls, their order, what it accepts."""

import json
import re
import time
from typing import Any
from urllib.parse import unquote

from tests.gpodder.player import BATCH, Episode, Player, Refused, number

LARGEST = 2**31 - 1
# the only form that QDateTime reads; a fraction is cut off before
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
NEAR = 10


class Kasts(Player):
    """gpodder mode: the app sends its password, in its system's encoding, with each call. It adds one to
    every number that it keeps, and asks again for as long as the answer's number is older than its clock."""

    agent = "Kasts/25.08"

    def __init__(self, server: str, name: str, password: str, device: str, episodes: list[Episode]) -> None:
        super().__init__(server, name, password, device, episodes)
        # empty: it has not been given a number that it accepts
        self.since: dict[str, int] = {}

    def set_up(self, caption: str) -> None:
        """Do what the app's dialog does: list devices, register a new one, and synchronize them all."""
        devices = f"/api/2/devices/{self.name}"
        for one in self._json("GET", f"{devices}.json"):
            assert isinstance(one["caption"], str), one
        self._send(f"{devices}/{self.device}.json", {"caption": caption, "type": "laptop"})
        groups = f"/api/2/sync-devices/{self.name}.json"
        answer = self._json("GET", groups)
        known = {name for group in answer["synchronized"] for name in group} | set(answer["not-synchronized"])
        assert self.device in known, answer
        self._send(groups, {"synchronize": [sorted(known)], "stop-synchronize": []})

    def sync(self) -> None:
        """Sync podcasts, then episodes. Raises ``Refused``."""
        self._sync_feeds()
        plays = self._read_actions()
        self._upload(self._resolved(plays))

    def _sync_feeds(self) -> None:
        since = self.since.get("feeds", 0)
        add = sorted(self.followed) if since == 0 else list(dict.fromkeys(self.added))
        remove = [] if since == 0 else list(dict.fromkeys(self.removed))
        answer = self._json("GET", self.feeds_path(since))
        self.followed |= {self.cleaned(url) for url in answer["add"]}
        self.followed -= {self.cleaned(url) for url in answer["remove"]}
        self._note("feeds", answer)
        if add or remove:
            self._note("feeds", self._send(self.upload_feeds_path(), {"add": add, "remove": remove}))
        self.added, self.removed = [], []

    def _read_actions(self) -> dict[str, dict[str, Any]]:
        """Read all actions, and return the play with the latest time for each episode."""
        found: dict[str, dict[str, Any]] = {}
        while True:
            since = self.since.get("actions", 0)
            answer = self._json("GET", self.actions_path(since))
            plays = [one for one in map(self._read, answer["actions"]) if one is not None]
            for one in plays:
                self.learn(one["episode"], one["timestamp"], one["position"])
                known = found.get(one["episode"])
                if known is None or known["timestamp"] <= one["timestamp"]:
                    found[one["episode"]] = one
            self._note("actions", answer)
            if answer["timestamp"] > time.time() - NEAR or not plays:
                return found
            if self.since.get("actions", 0) == since:
                raise Refused("it would ask for the same without end")

    def _read(self, action: dict[str, Any]) -> dict[str, Any] | None:
        """Return the action if it is a play of a known episode, else None. Raises ``Refused``."""
        if not TIME.fullmatch(str(action.get("timestamp")).partition(".")[0]):
            raise Refused(f"a time that it takes for another: {action}")
        if action["action"].lower() != "play":
            return None
        numbers = {name: number(action[name], most=LARGEST) for name in ("started", "position", "total")}
        if numbers["total"] == 0:
            raise Refused(f"it would take that for heard: {action}")
        return {**action, **numbers} if action["episode"] in self.episodes else None

    def _resolved(self, received: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the plays left to send: the newest of each episode, unless a newer one was received, which
        is applied instead."""
        own: dict[str, dict[str, Any]] = {}
        for one in self.queue:
            if one["episode"] not in own or own[one["episode"]]["timestamp"] <= one["timestamp"]:
                own[one["episode"]] = one
        for url, one in received.items():
            if url in own and own[url]["timestamp"] < one["timestamp"]:
                del own[url]
            if url not in own or own[url]["timestamp"] <= one["timestamp"]:
                self.positions[url] = one["position"]
        return list(own.values())

    def _upload(self, actions: list[dict[str, Any]]) -> None:
        for start in range(0, len(actions), BATCH):
            self._note("actions", self._send(self.upload_actions_path(), actions[start : start + BATCH]))
        self.note_sent(actions)
        self.queue = []

    def action_of(self, episode: Episode, one: Any) -> dict[str, Any]:
        return super().action_of(episode, one) | {"device": self.device}

    def _note(self, topic: str, answer: dict[str, Any]) -> None:
        mark = answer["timestamp"]
        if type(mark) is not int or not 1 < mark <= LARGEST:
            raise Refused(f"it would never keep {mark!r}")
        self.since[topic] = mark + 1

    def _json(self, method: str, path: str) -> Any:
        return json.loads(self.wire.ask(method, path, Authorization=self.basic("utf-8")))

    def _send(self, path: str, body: Any) -> Any:
        raw = json.dumps(body).encode()
        kind = "application/x-www-form-urlencoded"
        answer = self.wire.ask("POST", path, raw, Authorization=self.basic("utf-8"), Content_Type=kind)
        return json.loads(answer) if answer else {}

    # differences between its two modes

    def cleaned(self, url: str) -> str:
        """Decode every percent escape, which the app takes for a bug of gpodder.net."""
        return unquote(url)

    def feeds_path(self, since: int) -> str:
        return f"{self.upload_feeds_path()}?since={since}"

    def upload_feeds_path(self) -> str:
        return f"/api/2/subscriptions/{self.name}/{self.device}.json"

    def actions_path(self, since: int) -> str:
        return f"{self.upload_actions_path()}?since={since}&aggregated={'false' if since else 'true'}"

    def upload_actions_path(self) -> str:
        return f"/api/2/episodes/{self.name}.json"


class NextcloudKasts(Kasts):
    """Kasts in its Nextcloud mode."""

    def set_up(self, caption: str) -> None:
        """Log in, for which the app requests the complete list of podcasts and nothing else."""
        self._json("GET", self.feeds_path(0))

    def cleaned(self, url: str) -> str:
        return url

    def feeds_path(self, since: int) -> str:
        return f"/index.php/apps/gpoddersync/subscriptions?since={since}"

    def upload_feeds_path(self) -> str:
        return "/index.php/apps/gpoddersync/subscription_change/create"

    def actions_path(self, since: int) -> str:
        return f"/index.php/apps/gpoddersync/episode_action?since={since}"

    def upload_actions_path(self) -> str:
        return "/index.php/apps/gpoddersync/episode_action/create"
