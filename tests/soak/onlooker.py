"""Somebody without an account, who looks at everything public for what must not be public."""

import threading
from collections.abc import Iterator, Sequence
from itertools import cycle
from urllib.parse import quote

from tests.soak.wire import Ledger, from_home, send
from tests.soak.world import Show, url_safe

PAUSE = 0.25
# no listener's home has this number or a higher one
STRANGERS = 10_000
MOST_PAGES = 5


class Onlooker:
    """Sends requests in a thread of its own, from ``start`` to ``stop``; what it finds goes to the ledger."""

    def __init__(self, server: str, ledger: Ledger, shows: Sequence[Show], forbidden: Sequence[str]) -> None:
        self.server, self.ledger = server, ledger
        self.forbidden = list(forbidden)
        self._paths = cycle(paths(shows))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, name="onlooker", daemon=True)
        self.looks = 0

    def start(self) -> "Onlooker":
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def look_at(self, path: str) -> str:
        """Return the text of the page at ``path``, and of some pages that follow it."""
        text = ""
        cursor: str | None = ""
        for _ in range(MOST_PAGES):
            if cursor is None or self._stop.is_set():
                break
            # operators look at everything else from inside, not through the proxy
            home = from_home(STRANGERS + self.looks % 250) if path.startswith("/api/") else {}
            answer = send(self.ledger, "GET", self.server, path + cursor, None, home)
            text += answer.text
            if answer.position:
                self.ledger.fault(f"{path} says how far the private log has come")
            following = answer.body.get("next_cursor")
            cursor = f"{'&' if '?' in path else '?'}cursor={quote(following)}" if following else None
        for word in self.forbidden:
            if word in text:
                self.ledger.fault(f"{path} shows {word}")
        self.looks += 1
        return text

    def _look(self) -> None:
        while not self._stop.wait(PAUSE):
            self.look_at(next(self._paths))


def paths(shows: Sequence[Show]) -> list[str]:
    """Return every public address, with the queries that it offers."""
    return list(_paths(shows))


def _paths(shows: Sequence[Show]) -> Iterator[str]:
    public = "/api/v1/public"
    for show in shows:
        yield f"{public}/timeline?limit=100"
        yield f"{public}/trending/podcasts?limit=100"
        yield f"{public}/trending/episodes?limit=100"
        yield f"{public}/trending/episodes?feed={url_safe(show.feed)}"
        yield f"{public}/timeline?feed={url_safe(show.feed)}"
        yield f"{public}/podcast/{url_safe(show.feed)}/popularity"
        yield f"{public}/episode/{url_safe(show.episodes[0].item)}/popularity"
        yield "/health/ready"
        yield "/metrics"
