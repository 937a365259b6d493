"""gPodder's own sync engine (Debian's package ``gpodder``), without its window, run by the system's Python.

    /usr/bin/python3 engine.py HOME SERVER NAME DEVICE CAPTION

The password is the first line that the program reads. Each further line is a request in JSON, which is
answered by one line. The engine is gPodder's; only the podcasts and episodes that it asks for are kept here,
and its clock shows the time that the request gives.
"""

import json
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import gpodder

gpodder.home = sys.argv[1]
from gpodder import config, my  # noqa: E402  # they use gpodder.home on import


class Episode:
    """What gPodder's database keeps of an episode, as far as the engine uses it."""

    def __init__(self, podcast: str, url: str) -> None:
        self.channel, self.url = SimpleNamespace(url=podcast), url
        self.current_position = self.current_position_updated = self.total_time = 0
        self.is_played = False

    def mark(self, is_played: bool) -> None:
        self.is_played = is_played

    def save(self) -> None:
        pass


class Engine:
    def __init__(self, server: str, name: str, device: str, caption: str, password: str) -> None:
        self.config = config.Config(f"{gpodder.home}/Settings.json")
        wanted = self.config.mygpo
        wanted.server, wanted.username, wanted.password = server, name, password
        wanted.device.uid, wanted.device.caption, wanted.device.type = device, caption, "desktop"
        wanted.enabled = True
        self.client = my.MygPoClient(self.config)
        self.client.create_device()
        # the podcasts that the app's list shows
        self.followed: list[str] = []
        self.episodes: dict[str, Episode] = {}
        self.heard: list[list[Any]] = []

    def follow(self, url: str) -> None:
        self.followed.append(url)
        self.client._store.remove([my.SubscribeAction.remove(url)])
        self.client._store.save([my.SubscribeAction.add(url)])

    def unfollow(self, url: str) -> None:
        self.followed.remove(url)
        self.client._store.remove([my.SubscribeAction.add(url)])
        self.client._store.save([my.SubscribeAction.remove(url)])

    def play(self, podcast: str, url: str, started: int, position: int, total: int, at: int) -> None:
        my.time = SimpleNamespace(time=lambda: at, sleep=None)
        episode = self._episode(podcast, url)
        episode.current_position, episode.current_position_updated = position, at
        self.client.on_playback_full(episode, started, position, total)

    def sync(self) -> dict[str, Any]:
        """Do what gPodder's worker does, and then what its window does with the actions that it received."""
        failed: list[str] = []
        for name in ("update_device", "synchronize_subscriptions", "synchronize_episodes"):
            setattr(self.client, name, self._noting(name, failed))
        self.client._worker_proc(forced=True)
        for name in ("update_device", "synchronize_subscriptions", "synchronize_episodes"):
            delattr(self.client, name)
        received = self.client.get_received_actions()
        for action in received:
            if action.is_add and action.url not in self.followed:
                self.followed.append(action.url)
            elif action.is_remove and action.url in self.followed:
                self.followed.remove(action.url)
        self.client.confirm_received_actions(received)
        for old, new in ((one.old_url, one.new_url) for one in self.client.get_rewritten_urls()):
            self.followed = [new if url == old else url for url in self.followed]
        for action in self.client._store.load(my.ReceivedEpisodeAction):
            if action.action == "play":
                self.heard.append([action.episode_url, action.timestamp, action.position])
        self.client.process_episode_actions(self._episode)
        return {
            "failed": failed,
            "enabled": bool(self.client.can_access_webservice()),
            "followed": self.followed,
            "positions": {url: one.current_position for url, one in self.episodes.items()},
            "heard": self.heard,
        }

    def _noting(self, name: str, failed: list[str]) -> Callable[..., bool]:
        real: Callable[..., bool] = getattr(self.client, name)

        def noting(*args: Any) -> bool:
            went_well = real(*args)
            if not went_well:
                failed.append(name)
            return went_well

        return noting

    def _episode(self, podcast: str, url: str) -> Episode:
        return self.episodes.setdefault(url, Episode(podcast, url))


def main() -> None:
    _, _, server, name, device, caption = sys.argv
    engine = Engine(server, name, device, caption, sys.stdin.readline().rstrip("\n"))
    for line in sys.stdin:
        request = json.loads(line)
        answer = getattr(engine, request.pop("do"))(**request)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
