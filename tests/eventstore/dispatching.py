"""Commands of the test users, other processes, and what is in the log afterwards."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from unittest.mock import patch
from uuid import UUID

from django.db import connections

from eventstore import codec, database, dispatcher, log
from eventstore.dispatcher import CommandId, Outcome
from eventstore.domain.identifiers import episode_key, feed_of_url
from eventstore.domain.messages import Command, Origin
from eventstore.domain.plays import RecordPlay, UpdatePosition
from eventstore.domain.subscriptions import Subscribe, Unsubscribe
from eventstore.domain.user import User, evolve
from eventstore.log import RecordedEvent
from eventstore.streams import Stream, Streams

ALICE = UUID("a11ce000-0000-4000-8000-000000000000")
BOB = UUID("b0b00000-0000-4000-8000-000000000000")
CHARLIE = UUID("c4a211e0-0000-4000-8000-000000000000")
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
NEWS, SCIENCE = (feed_of_url(f"https://example.org/{name}.xml") for name in ("news", "science"))
ITEM = "bW9uZGF5LA=="
EPISODE = episode_key(NEWS, ITEM)

Result = TypeVar("Result")


def subscribe(user_id: UUID = ALICE, feed: str = NEWS, minute: int = 0) -> Subscribe:
    return Subscribe(user_id=user_id, feed=feed, now=NOON + timedelta(minutes=minute))


def unsubscribe(user_id: UUID = ALICE, feed: str = NEWS, minute: int = 0) -> Unsubscribe:
    return Unsubscribe(user_id=user_id, feed=feed, now=NOON + timedelta(minutes=minute))


def play(position: int = 0, user_id: UUID = ALICE, item: str = ITEM) -> RecordPlay:
    return RecordPlay(user_id=user_id, feed=NEWS, item=item, position=position, played=False, now=NOON)


def move(position: int = 0, user_id: UUID = ALICE, item: str = ITEM) -> UpdatePosition:
    return UpdatePosition(user_id=user_id, item=item, position=position, now=NOON)


def dispatch(command: Command, command_id: CommandId | None = None, answer: Any = None) -> Outcome:
    return dispatcher.dispatch(command, Origin(), command_id=command_id, answer=answer)


def elsewhere(command: Command, command_id: CommandId | None = None, answer: Any = None) -> Outcome:
    """Dispatch a command in another process, which has nothing cached and does not notify this one."""
    with patch.object(dispatcher, "_streams", Streams()):
        return dispatch(command, command_id, answer)


def events_of(user_id: UUID = ALICE) -> list[RecordedEvent]:
    return log.read_stream(log.stream_of(user_id))


def types(user_id: UUID = ALICE) -> list[str]:
    return [row.type for row in events_of(user_id)]


def replayed(user_id: UUID = ALICE) -> User:
    """The state after replaying the stored events in the order of their versions."""
    rows = events_of(user_id)
    assert [row.version for row in rows] == list(range(1, len(rows) + 1))
    assert [row.position for row in rows] == sorted(row.position for row in rows)
    user = User(user_id)
    for row in rows:
        evolve(user, codec.decode(row.type, row.schema, row.data))
    return user


def execute(statement: str, *parameters: int | str) -> list[tuple[Any, ...]]:
    with connections[database.ALIAS].cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []


def append_what_nobody_knows(user_id: UUID = ALICE) -> None:
    execute(
        "INSERT INTO events.events (stream, version, type, schema, data, metadata)"
        " VALUES (%s, %s, 'UserSang', 1, '{}', '{}')",
        log.stream_of(user_id),
        len(events_of(user_id)) + 1,
    )


def let_retention_delete(upto: int, user_id: UUID = ALICE) -> None:
    """Delete the events of a stream up to version ``upto``, as retention does."""
    execute("SET balados.retention = 'on'")
    execute("DELETE FROM events.events WHERE stream = %s AND version <= %s", log.stream_of(user_id), upto)
    execute("RESET balados.retention")


def at_once(count: int, work: Callable[[int], Result]) -> list[Result]:
    """Run ``work(0)`` to ``work(count - 1)`` at once, in one thread each; return the results in order."""
    start = threading.Barrier(count)
    results: dict[int, Result] = {}
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            start.wait(60)
            results[number] = work(number)
        except BaseException as failure:
            failures.append(failure)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=[number]) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    if failures:
        raise failures[0]
    return [results[number] for number in range(count)]


class Processes:
    """A substitute for the dispatcher's streams: thread number n belongs to process n modulo ``count``."""

    def __init__(self, count: int) -> None:
        self.all = [Streams() for _ in range(count)]
        self._mine = threading.local()

    def join(self, number: int) -> None:
        self._mine.streams = self.all[number % len(self.all)]

    def take(self, user_id: UUID) -> Stream:
        return self._mine.streams.take(user_id)  # type: ignore[no-any-return]

    def give_back(self, stream: Stream) -> None:
        self._mine.streams.give_back(stream)
