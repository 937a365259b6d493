"""A device of a listener: its memory, what it did offline, its clock, and its place in the server's log.

It knows the server only by its public API. What it does online it requests from the server, and learns of
with the next sync; what it does offline it does to its own memory, and sends with the next sync.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from tests.soak.clock import Clock
from tests.soak.memory import ENTRIES, Json, Memory, Shown
from tests.soak.wire import Answer, Wire

if TYPE_CHECKING:
    from tests.soak.listening import Report


class Device:
    """A device whose clock is off by ``error``. With ``queues_plays``, it later sends every position played
    offline one by one, instead of only the newest with a sync."""

    def __init__(
        self, wire: Wire, clock: Clock, error: timedelta = timedelta(), *, queues_plays: bool = False
    ) -> None:
        self.wire = wire
        self.clock = clock
        self.error = error
        self.memory = Memory()
        self.cursor: str | None = None
        self.queues_plays = queues_plays
        self.position = ""
        self._unsent: Json = {}
        # plays to be sent one by one; and, by item, what the next sync will have reported
        self.later: list[tuple[Json, Report]] = []
        self.unsynced: dict[str, Report] = {}
        self.forget()

    def forget(self) -> None:
        """Forget everything, as if the app had been installed anew."""
        self.memory, self.cursor = Memory(), None
        self._unsent = {topic: [] for topic in ENTRIES}
        self.later, self.unsynced = [], {}

    def now(self) -> datetime:
        """Return the time by the device's own clock."""
        return self.clock.now() + self.error

    def act(self, topic: str, entry: Json) -> None:
        """Do something on the device, whether or not the server can be reached."""
        self.memory.remember(topic, entry)
        self._unsent[topic].append(entry)

    def ask(self, method: str, path: str, body: Json | None = None, *, allow: Container[int] = ()) -> Answer:
        """Write with a request of its own; ``allow`` holds the error statuses that may be answered."""
        answer = self.wire.send(method, path, body, allow=allow, key=str(uuid4()))
        self._seen(answer)
        return answer

    def tell(self, reports: Iterable[Report], method: str, path: str, body: Json) -> Answer:
        """Send a request that reports these positions, and note in each when it was sent and answered."""
        sent = self.clock.now()
        answer = self.ask(method, path, body)
        for one in reports:
            one.reached = sent, self.clock.now()
        return answer

    def read(self, path: str) -> Json:
        """Read something that includes what this device has written."""
        return self.wire.send("GET", path, position=self.position).body

    def sync(self, *, everything: bool = False, answer_lost: bool = False) -> None:
        """Send what was done, and receive what the others did. A lost answer leaves the device as it was."""
        self._send_plays()
        unsent = self._unsent
        if everything:  # the memory holds only each key's last action
            unsent = {
                topic: [*unsent[topic], *entries] for topic, entries in self.memory.everything().items()
            }
        sent = self.clock.now()
        answer = self.wire.send("POST", "/api/v1/sync", {"cursor": self.cursor, **unsent}, key=str(uuid4()))
        for one in self.unsynced.values():
            one.reached = one.reached or (sent, self.clock.now())
        if answer_lost or answer.status != 200:
            return
        self._seen(answer)
        self._learn(answer.body)
        self._unsent = {topic: [] for topic in ENTRIES}
        self.unsynced = {}

    def view(self) -> list[Shown]:
        return self.memory.view()

    def _send_plays(self) -> None:
        while self.later:
            body, report = self.later[0]
            self.tell([report], "POST", "/api/v1/plays", body)
            self.later.pop(0)

    def _learn(self, answer: Json) -> None:
        if answer["full"]:
            self.memory = Memory()
        for conflict in answer["conflicts"]:
            # conflicts come beside what is new, as the server may have known better for a long time
            self.memory.remember(KINDS[conflict["type"]], conflict["server"])
        for topic, entries in answer["data"].items():
            self.memory.remember(topic, *entries)
        self.cursor = answer["cursor"]

    def _seen(self, answer: Answer) -> None:
        self.position = answer.position or self.position


# conflicts' names for the topics
KINDS = {topic.kind: plural for plural, topic in ENTRIES.items()}
