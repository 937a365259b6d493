"""gPodder 3.11: its order of calls and what it keeps, through the library that it uses itself; and its own
engine, where Debian's package ``gpodder`` is installed."""

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mygpoclient import api

from tests.gpodder.player import FORMAT, Episode, Heard, Player, Refused

PYTHON = "/usr/bin/python3"
ENGINE = Path(__file__).parent / "engine.py"

ACTIONS_AT_ONCE = 100


class GPodder(Player):
    """A model of gPodder: its next ``since`` is the number of its last read for episodes, and that of its
    last upload for podcasts. It knows no GUIDs, and accepts no play that is older than its own."""

    def __init__(self, server: str, name: str, password: str, device: str, episodes: list[Episode]) -> None:
        super().__init__(server, name, password, device, episodes)
        self.restart()
        self.since_feeds = self.since_actions = 0
        self.updated: dict[str, str] = {}
        self.rewritten: dict[str, str] = {}

    def restart(self) -> None:
        """Start as a new process, which signs in again."""
        self.client = api.MygPodderClient(self.name, self.password, self.wire.server)

    def set_up(self, caption: str) -> None:
        assert self.client.update_device_settings(self.device, caption=caption, type="desktop")

    def sync(self) -> None:
        self._sync_feeds()
        self._sync_actions()

    def _sync_feeds(self) -> None:
        answer = self.client.pull_subscriptions(self.device, self.since_feeds)
        self.since_feeds = answer.since
        self.followed |= {url for url in answer.add if url not in self.removed}
        self.followed -= {url for url in answer.remove if url not in self.added}
        if self.added or self.removed:
            uploaded = self.client.update_subscriptions(
                self.device, list(dict.fromkeys(self.added)), list(dict.fromkeys(self.removed))
            )
            self.since_feeds = uploaded.since
            self.rewritten |= {old: new for old, new in uploaded.update_urls if new}
        self.added, self.removed = [], []

    def _sync_actions(self) -> None:
        answer = self.client.download_episode_actions(self.since_actions)
        self.since_actions = answer.since
        for action in answer.actions:
            if action.action == "play":
                self._take(action)
        for start in range(0, len(self.queue), ACTIONS_AT_ONCE):
            batch = self.queue[start : start + ACTIONS_AT_ONCE]
            self.client.upload_episode_actions([_action(self.device, one) for one in batch])
        self.note_sent(self.queue)
        self.queue = []

    def play(self, url: str, position: int, at: Any) -> None:
        super().play(url, position, at)
        self.updated[url] = self.queue[-1]["timestamp"]

    def _take(self, action: api.EpisodeAction) -> None:
        self.learn(action.episode, action.timestamp, action.position)
        if action.timestamp > self.updated.get(action.episode, ""):
            self.positions[action.episode] = action.position
            self.updated[action.episode] = action.timestamp

    def action_of(self, episode: Episode, one: Heard) -> dict[str, Any]:
        return {name: value for name, value in super().action_of(episode, one).items() if name != "guid"}


def _action(device: str, one: dict[str, Any]) -> api.EpisodeAction:
    numbers = (one["started"], one["position"], one["total"])
    return api.EpisodeAction(one["podcast"], one["episode"], "play", device, one["timestamp"], *numbers)


def is_installed() -> bool:
    """Return whether gPodder itself is installed for the system's own Python."""
    if not Path(PYTHON).exists():
        return False
    probe = [PYTHON, "-c", "import gpodder.my"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


class RealGPodder(Player):
    """gPodder's engine in a process of its own; ``home`` is an empty directory."""

    def __init__(self, *args: Any, home: Path) -> None:
        super().__init__(*args)
        self.home = home

    def set_up(self, caption: str) -> None:
        command = [PYTHON, str(ENGINE), str(self.home), self.wire.server, self.name, self.device, caption]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._write(self.password)

    def leave(self) -> None:
        """Quit, as when its window is closed: it sends what is left."""
        self.process.communicate(timeout=30)

    def follow(self, feed: str) -> None:
        self.followed.add(feed)
        self._ask("follow", url=feed)

    def unfollow(self, feed: str) -> None:
        self.followed.discard(feed)
        self._ask("unfollow", url=feed)

    def play(self, url: str, position: int, at: datetime) -> None:
        super().play(url, position, at)
        one = self.queue[-1]
        numbers = {name: one[name] for name in ("started", "position", "total")}
        self._ask("play", podcast=one["podcast"], url=url, at=int(at.timestamp()), **numbers)

    def sync(self) -> None:
        answer = self._ask("sync")
        if answer["failed"] or not answer["enabled"]:
            raise Refused(f"gPodder itself: {answer}")
        self.followed = set(answer["followed"])
        self.positions = answer["positions"]
        for url, at, position in answer["heard"]:
            self.learn(url, datetime.fromtimestamp(at, UTC).strftime(FORMAT), position)
        self.note_sent(self.queue)
        self.queue = []

    def _ask(self, what: str, **fields: Any) -> Any:
        self._write(json.dumps({"do": what, **fields}))
        assert self.process.stdout is not None
        answer = self.process.stdout.readline()
        if not answer:
            raise Refused("gPodder has ended")
        return json.loads(answer)

    def _write(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
