"""A podcast app in Nextcloud mode: Basic with each call, and its own clock instead of our marks."""

from datetime import datetime, timedelta
from typing import Any

from tests.gpodder.apps import FORMAT, PodcastApp

BASE = "/index.php/apps/gpoddersync"
FIELDS = {"podcast", "episode", "timestamp", "guid", "position", "started", "total", "action"}


class NextcloudApp(PodcastApp):
    """An app whose clock is behind the server's by ``behind``."""

    def __init__(self, *args: Any, behind: timedelta = timedelta(), base: str = BASE, **kwargs: Any) -> None:
        super().__init__(*args, keeps_cookies=False, **kwargs)
        self.behind, self.base = behind, base
        self.since = {"subscriptions": 0, "episode_action": 0}
        self.followed: set[str] = set()
        self.heard: set[str] = set()

    def get(self, noun: str, since: int | None = None) -> dict[str, Any]:
        query = "" if since is None else f"?since={since}"
        return dict(self.json("GET", f"{self.base}/{noun}{query}"))

    def post(self, noun: str, body: Any) -> dict[str, Any]:
        answer = self.json("POST", f"{self.base}/{noun}/create", body)
        assert answer.keys() == {"timestamp"}
        return dict(answer)

    def sync(self, now: datetime, *, follow: str = "", play: dict[str, Any] | None = None) -> None:
        """Sync once in AntennaPod's order; after an upload the next ``since`` is the app's own clock."""
        clock = int((now - self.behind).timestamp())
        feeds = self.get("subscriptions", self.since["subscriptions"])
        self.followed = (self.followed | set(feeds["add"])) - set(feeds["remove"])
        self.since["subscriptions"] = feeds["timestamp"]
        if follow:
            self.post("subscription_change", {"add": [follow], "remove": []})
            self.followed.add(follow)
            self.since["subscriptions"] = clock
        answer = self.get("episode_action", self.since["episode_action"])
        self.heard |= {action["guid"] for action in answer["actions"]}
        self.since["episode_action"] = answer["timestamp"]
        if play:
            self.post("episode_action", [play])
            self.heard.add(play["guid"])
            self.since["episode_action"] = clock


def check_play(action: dict[str, Any]) -> None:
    """Check that AntennaPod and Kasts can read the play in this mode."""
    assert action.keys() <= FIELDS
    assert action["action"] == "PLAY"
    datetime.strptime(action["timestamp"], FORMAT)  # noqa: DTZ007
    assert all(type(action[name]) is int and action[name] >= 0 for name in ("started", "position", "total"))
