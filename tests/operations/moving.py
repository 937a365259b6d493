"""Places to move stores to, and a listener's writes before, during and after."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import UUID

from django.db import connections
from django.db.utils import load_backend

from eventstore import dispatcher, log
from eventstore.dispatcher import dispatch
from eventstore.domain.plays import RecordPlay
from eventstore.log import Origin
from projections.failures import in_maintenance
from tests.api.devices import item

CAST = [UUID(int=number, version=4) for number in range(1, 4)]
FEED = "aHR0cHM6Ly9leGFtcGxlLm9yZy9mZWVk"
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


Settings = Mapping[str, Any]  # as balados.databases.store gives them


@contextmanager
def override_connection(alias: str, settings: Settings) -> Iterator[None]:
    """In this thread ``alias`` is the store at ``settings``, without a pool."""
    usual = connections[alias]
    options = {key: value for key, value in settings["OPTIONS"].items() if key != "pool"}
    wanted = {**usual.settings_dict, **settings, "OPTIONS": options}
    connections[alias] = load_backend(wanted["ENGINE"]).DatabaseWrapper(wanted, alias)
    try:
        yield
    finally:
        connections[alias].close()
        connections[alias] = usual


def write(number: int, user_id: UUID = CAST[0]) -> None:
    """Record a play that its number tells apart."""
    command = RecordPlay(
        user_id=user_id, feed=FEED, item=item(number), position=number, played=False, now=NOON
    )
    dispatch(command, Origin())


def written() -> list[int]:
    """The numbers in the log, in the order of positions."""
    rows = log.read_all(0, 1_000_000)
    return [
        int(row.data.partition('"position": ')[2].partition(",")[0]) for row in rows if "Play" in row.type
    ]


def gaps() -> list[int]:
    """Streams whose versions are not 1 to n."""
    with connections["events"].cursor() as cursor:
        cursor.execute(
            "SELECT stream FROM events.events GROUP BY stream HAVING count(*) <> max(version)"
            " OR min(version) <> 1 OR count(DISTINCT version) <> count(*)"
        )
        return [stream for (stream,) in cursor.fetchall()]


class Listener(threading.Thread):
    """Plays on and on, as a process does: at the old place, and once it was restarted at the new.

    ``done`` are the numbers that were acknowledged, ``refused`` how often the answer was maintenance.
    """

    def __init__(self, alias: str) -> None:
        super().__init__(daemon=True)
        self.done: list[int] = []
        self.refused = 0
        self.failure: Exception | None = None
        self._alias = alias
        self._new: Settings | None = None
        self._stopped = False
        self._numbers = count(1)

    def restart(self, settings: Settings) -> None:
        """From the next play on with the new setting."""
        self._new = settings

    def stop(self) -> None:
        self._stopped = True
        self.join(30)

    def run(self) -> None:
        try:
            self._play(lambda: self._new is not None)
            if self._new is not None:
                with override_connection(self._alias, self._new):
                    log.clear_caches()
                    dispatcher.forget()
                    self._play(lambda: False)
        except Exception as failure:
            self.failure = failure
        finally:
            connections.close_all()

    def _play(self, over: Callable[[], bool]) -> None:
        while not self._stopped and not over():
            number = next(self._numbers)
            try:
                write(number, CAST[number % len(CAST)])
            except Exception as failure:
                if not in_maintenance(failure):
                    raise
                self.refused += 1
                # what nobody could record is said again later: numbers that were refused do not come back
                threading.Event().wait(0.005)
            else:
                self.done.append(number)


@contextmanager
def listening(alias: str) -> Iterator[Listener]:
    listener = Listener(alias)
    listener.start()
    try:
        yield listener
    finally:
        listener.stop()
    if listener.failure is not None:
        raise listener.failure
