"""Events to write, and slow writers: transactions that a test commits when it wants to."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
from django.db import connections

from eventstore import database, log
from eventstore.appending import APPEND_EVENTS
from eventstore.columns import columns_of
from eventstore.domain.identifiers import item_of
from eventstore.domain.messages import Origin
from eventstore.domain.plays import PlayRecorded

ALICE = UUID("a11ce000-0000-4000-8000-000000000000")
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
SLOW = "a slow writer"


def play(number: int, user_id: UUID = ALICE) -> PlayRecorded:
    """A play that is identified by its position."""
    return PlayRecorded(
        user_id=user_id,
        rss_source_feed="Zg==",
        rss_source_item=item_of(f"item-{number}", ""),
        position=number,
        played=False,
        played_at=NOON,
    )


def plays(*numbers: int) -> list[PlayRecorded]:
    return [play(number) for number in numbers]


def connect(name: str = SLOW) -> "psycopg.Connection[Any]":
    """A separate connection to the event store, in autocommit mode."""
    settings = connections[database.ALIAS].settings_dict
    return psycopg.connect(
        dbname=settings["NAME"],
        user=settings["USER"],
        host=settings["HOST"],
        application_name=name,
        autocommit=True,
    )


class SlowWriter:
    """An append whose transaction stays open: positions are drawn, but nothing is visible yet."""

    def __init__(self, stream: int, expected: int, events: Sequence[PlayRecorded]) -> None:
        self.connection = connect()
        # without a limit, a test that fails before it commits would block the next one for ever
        self.connection.execute("SET idle_in_transaction_session_timeout = '30s'")
        self.connection.execute("BEGIN")
        parameters = columns_of(stream, expected, events, Origin())
        row = self.connection.execute(APPEND_EVENTS, parameters).fetchone()
        assert row is not None
        self.position: int = row[0]

    def commit(self) -> None:
        self.connection.execute("COMMIT")
        self.connection.close()

    def roll_back(self) -> None:
        self.connection.execute("ROLLBACK")
        self.connection.close()

    def die(self) -> None:
        """Let the server end the session in the middle of the transaction."""
        pid = self.connection.info.backend_pid
        with connect("the operator") as operator:
            operator.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        with suppress(psycopg.Error):
            self.connection.execute("SELECT 1")
        self.connection.close()


@contextmanager
def appending(*arguments: Any) -> Iterator[list[int | None]]:
    """Append in a separate thread; the block runs while that append waits for a rival's lock."""
    outcome: list[int | None] = []

    def append() -> None:
        try:
            outcome.append(log.append(*arguments))
        finally:
            connections.close_all()

    ours = threading.Thread(target=append)
    ours.start()
    with connect("the test") as watcher:
        while not watcher.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchall()[0][0]:
            ours.join(0.01)
            assert ours.is_alive(), "did not wait"
    yield outcome
    ours.join(60)


def stored(stream: int) -> list[tuple[int, int]]:
    """Version and number of every play of a stream, in the order of positions."""
    with connect("the test") as connection:
        return connection.execute(
            "SELECT version, (data ->> 'position')::integer FROM events.events"
            " WHERE stream = %s ORDER BY position",
            [stream],
        ).fetchall()
