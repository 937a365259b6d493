"""Places to move stores to, and a listener who writes before, during and after the move."""

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
from eventstore.domain.messages import Origin
from eventstore.domain.plays import RecordPlay
from projections.failures import in_maintenance
from tests.api.devices import item

CAST = [UUID(int=number, version=4) for number in range(1, 4)]
FEED = "aHR0cHM6Ly9leGFtcGxlLm9yZy9mZWVk"
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


Settings = Mapping[str, Any]  # as balados.databases.store returns them


@contextmanager
def override_connection(alias: str, settings: Settings) -> Iterator[None]:
    """Let ``alias`` be the store at ``settings`` in this thread, without a connection pool."""
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
    """Record a play that ``number`` identifies."""
    command = RecordPlay(
        user_id=user_id, feed=FEED, item=item(number), position=number, played=False, now=NOON
    )
    dispatch(command, Origin())


def written() -> list[int]:
    """Return the numbers of the plays in the log, ordered by position."""
    rows = log.read_all(0, 1_000_000)
    return [
        int(row.data.partition('"position": ')[2].partition(",")[0]) for row in rows if "Play" in row.type
    ]


def gaps() -> list[int]:
    """Return the streams whose versions are not 1 to n without a gap."""
    with connections["events"].cursor() as cursor:
        cursor.execute(
            "SELECT stream FROM events.events GROUP BY stream HAVING count(*) <> max(version)"
            " OR min(version) <> 1 OR count(DISTINCT version) <> count(*)"
        )
        return [stream for (stream,) in cursor.fetchall()]


class Listener(threading.Thread):
    """Keeps recording plays as a process does: at the old place, and after a restart at the new one.

    ``done`` holds the numbers that were acknowledged; ``refused`` counts the writes refused by maintenance.
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
        """Use the new settings from the next play on."""
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
                    dispatcher.clear_cache()
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
                # a refused number is not sent again: later reports replace what could not be recorded
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
