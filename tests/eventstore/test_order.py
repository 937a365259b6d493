"""Tests that prove the global order, and tests that prove that they would detect a violation.

Commits are delayed and rolled back on purpose while a follower reads: nothing may be skipped or delivered
twice, and each stream must be in version order. The same scenarios must fail for a follower that ignores gaps
and for a table without its unique constraint; otherwise they would prove nothing.
"""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol
from uuid import uuid4

import pytest
from django.db import connections

from eventstore import log
from eventstore.dispatcher import Origin
from eventstore.follower import Follower, settled_head
from eventstore.log import RecordedEvent
from tests.eventstore.writers import ALICE, SlowWriter, connect, play, plays, stored


class Reader(Protocol):
    """Anything that follows the global order."""

    def read(self, limit: int = 1000) -> list[RecordedEvent]: ...


class NaiveFollower:
    """A follower with the usual mistake: it takes everything above its last position as next."""

    def __init__(self) -> None:
        self.position = 0

    def read(self, limit: int = 1000) -> list[RecordedEvent]:
        rows = log.read_all(self.position, limit)
        if rows:
            self.position = rows[-1].position
        return rows


NewReader = Callable[[], Reader]


def delayed_commit(new_reader: NewReader) -> None:
    """A lower position is committed after higher ones have been read."""
    slow_stream, stream = log.stream_of(uuid4()), log.stream_of(uuid4())
    slow = SlowWriter(slow_stream, 0, plays(1))
    for version in range(4):
        log.append(stream, version, plays(10 + version), Origin())
    reader = new_reader()
    delivered = [row for _ in range(3) for row in reader.read()]
    slow.commit()
    delivered += drained(reader)
    assert_complete(delivered)


def several_delayed_commits(new_reader: NewReader) -> None:
    """Transactions are committed from the newest to the oldest; one is rolled back and one is killed."""
    slow = [SlowWriter(log.stream_of(uuid4()), 0, plays(number, number + 1)) for number in range(0, 12, 2)]
    log.append(log.stream_of(ALICE), 0, plays(100), Origin())
    reader = new_reader()
    delivered = reader.read()
    for number, writer in reversed(list(enumerate(slow))):
        {2: writer.roll_back, 4: writer.die}.get(number, writer.commit)()
        delivered += reader.read()
    delivered += drained(reader)
    assert_complete(delivered)


def storm(new_reader: NewReader) -> None:
    """Sixteen writers on two streams, four that are slow or roll back, and one reader that keeps polling."""
    streams = [log.stream_of(uuid4()) for _ in range(2)]
    writers = [threading.Thread(target=write, args=(streams[n % 2], n, 12)) for n in range(16)]
    writers += [threading.Thread(target=dawdle, args=(n,)) for n in range(4)]
    reader = new_reader()
    delivered: list[RecordedEvent] = []
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        delivered += reader.read(limit=7)
    delivered += drained(reader)
    for stream in streams:
        assert sorted(number for _, number in stored(stream)) == sorted(
            n * 100 + i for n in range(16) if streams[n % 2] == stream for i in range(12)
        )
    assert_complete(delivered)


SCENARIOS = [delayed_commit, several_delayed_commits, storm]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_follower_skips_nothing_and_repeats_nothing(
    stores: None, scenario: Callable[[NewReader], None]
) -> None:
    scenario(Follower)


@pytest.mark.parametrize("scenario", [delayed_commit, several_delayed_commits])
def test_the_scenarios_turn_red_for_a_naive_follower(
    stores: None, scenario: Callable[[NewReader], None]
) -> None:
    with pytest.raises(AssertionError, match="skipped"):
        scenario(NaiveFollower)


def two_rivals() -> None:
    """Two writers expect the same version; the first has not committed when the second one appends."""
    stream = log.stream_of(ALICE)
    first = SlowWriter(stream, 0, plays(1, 2))
    outcome: list[int | None] = []
    second = threading.Thread(target=append_in_thread, args=(stream, 0, (3, 4), outcome))
    second.start()
    wait_until_it_waits_or_ends(second)
    first.commit()
    second.join(60)
    assert outcome == [None], "both recorded version 1"
    assert [version for version, _ in stored(stream)] == [1, 2]


def test_of_two_rivals_one_records_and_the_other_nothing(stores: None) -> None:
    two_rivals()


def test_the_rivals_turn_red_without_the_unique_constraint(stores: None) -> None:
    with without_the_unique_constraint(), pytest.raises(AssertionError, match="both recorded"):
        two_rivals()


def test_thirty_two_writers_on_one_stream_leave_versions_without_a_gap(stores: None) -> None:
    stream = log.stream_of(ALICE)
    writers = [threading.Thread(target=write, args=(stream, n, 10)) for n in range(32)]
    follower, delivered = Follower(), list[RecordedEvent]()
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        delivered += follower.read()
    delivered += drained(follower)
    assert [row.version for row in delivered] == list(range(1, 321))
    assert_complete(delivered)


def test_it_waits_at_a_gap_as_long_as_it_may_fill(stores: None) -> None:
    slow = SlowWriter(log.stream_of(uuid4()), 0, plays(1))
    log.append(log.stream_of(ALICE), 0, plays(2), Origin())
    follower = Follower()
    assert [follower.read() for _ in range(5)] == [[]] * 5
    slow.commit()
    assert [row.position for row in drained(follower)] == [1, 2]


@pytest.mark.parametrize("end", ["roll_back", "die"])
def test_it_does_not_wait_for_what_never_comes(stores: None, end: str) -> None:
    slow = SlowWriter(log.stream_of(uuid4()), 0, plays(1))
    log.append(log.stream_of(ALICE), 0, plays(2), Origin())
    follower = Follower()
    assert follower.read() == []
    getattr(slow, end)()
    assert [row.position for row in follower.read()] == [2]


def test_it_does_not_wait_for_those_who_came_after_the_gap(stores: None) -> None:
    gap = SlowWriter(log.stream_of(uuid4()), 0, plays(1))
    log.append(log.stream_of(ALICE), 0, plays(2), Origin())
    follower = Follower()
    assert follower.read() == []
    later = SlowWriter(log.stream_of(uuid4()), 0, plays(3))
    gap.roll_back()
    assert [row.position for row in follower.read()] == [2]
    later.commit()
    assert [row.position for row in drained(follower)] == [3]


def test_it_crosses_gaps_of_conflicts_and_of_deleted_events(stores: None) -> None:
    stream = log.stream_of(ALICE)
    for version in range(6):
        log.append(stream, version, plays(version), Origin())
        assert log.append(stream, version, plays(99), Origin()) is None
    with connect() as retention:
        retention.execute("SET balados.retention = 'on'")
        retention.execute("DELETE FROM events.events WHERE position BETWEEN 2 AND 4")
    follower = Follower()
    assert drained(follower, limit=1) == log.read_all(0, 100)


def test_it_goes_on_when_all_above_a_gap_is_deleted_meanwhile(stores: None) -> None:
    slow = SlowWriter(log.stream_of(uuid4()), 0, plays(1))
    position = log.append(log.stream_of(ALICE), 0, plays(2), Origin())
    follower = Follower()
    assert follower.read() == []
    slow.roll_back()
    with connect() as retention:
        retention.execute("SET balados.retention = 'on'")
        retention.execute("DELETE FROM events.events")
    follower.read()
    log.append(log.stream_of(ALICE), 0, plays(3), Origin())
    assert position is not None
    assert [row.position for row in drained(follower)] == [position + 1]


def test_a_settled_head_waits_for_the_holders_below_it(stores: None) -> None:
    slow = SlowWriter(log.stream_of(uuid4()), 0, plays(1))
    head = log.append(log.stream_of(ALICE), 0, plays(2), Origin())
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            slow.commit()

    assert settled_head(pause) == head
    assert len(pauses) >= 3
    assert len(log.read_all(0, 10)) == 2


def drained(reader: Reader, limit: int = 1000) -> list[RecordedEvent]:
    """The rows that the reader still delivers, until it has returned nothing three times in a row."""
    rows: list[RecordedEvent] = []
    idle = 0
    while idle < 3:
        more = reader.read(limit=limit)
        idle = 0 if more else idle + 1
        rows += more
    return rows


def assert_complete(delivered: list[RecordedEvent]) -> None:
    """Check that all stored events were delivered once, in order, and that no stream has a gap."""
    there = log.read_all(0, 1_000_000)
    missing = {row.position for row in there} - {row.position for row in delivered}
    assert not missing, f"skipped {sorted(missing)}"
    assert delivered == there
    versions: dict[int, int] = {}
    for row in delivered:
        assert row.version == versions.get(row.stream, 0) + 1
        versions[row.stream] = row.version


def write(stream: int, writer: int, count: int) -> None:
    """Append ``count`` plays one by one, and retry each until its expected version is right."""
    try:
        version = 0
        for number in range(count):
            while log.append(stream, version, [play(writer * 100 + number)], Origin()) is None:
                version = max(
                    (row.version for row in log.read_stream(stream, after=version)), default=version
                )
            version += 1
    finally:
        connections.close_all()


def dawdle(seed: int) -> None:
    """Open transactions that draw positions, one after the other, and commit about half of them."""
    chance = random.Random(seed)
    try:
        for _ in range(10):
            slow = SlowWriter(log.stream_of(uuid4()), 0, plays(*range(chance.randint(1, 3))))
            slow.connection.execute("SELECT pg_sleep(%s)", [chance.random() / 100])
            chance.choice([slow.commit, slow.roll_back])()
    finally:
        connections.close_all()


def append_in_thread(stream: int, expected: int, numbers: tuple[int, ...], outcome: list[int | None]) -> None:
    try:
        outcome.append(log.append(stream, expected, plays(*numbers), Origin()))
    finally:
        connections.close_all()


def wait_until_it_waits_or_ends(thread: threading.Thread) -> None:
    """Wait until the thread's statement waits for the other's lock, or ends because nothing blocked it."""
    with connect("the test") as connection:
        while thread.is_alive():
            [(waiting,)] = connection.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchall()
            if waiting:
                return
            thread.join(0.01)


@contextmanager
def without_the_unique_constraint() -> Iterator[None]:
    with connect() as operator:
        operator.execute("ALTER TABLE events.events DROP CONSTRAINT events_stream_version")
        try:
            yield
        finally:
            operator.execute("TRUNCATE events.events")
            operator.execute(
                "ALTER TABLE events.events ADD CONSTRAINT events_stream_version UNIQUE (stream, version)"
            )
