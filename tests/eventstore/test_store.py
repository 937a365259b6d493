"""Appending and reading, which everything else relies on."""

import threading
from datetime import timedelta
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest
from django.db import connections
from psycopg.errors import UniqueViolation

from eventstore import administration, codec, database, log, retention
from eventstore.appending import CommandAlreadyRecorded
from eventstore.dispatcher import CommandId, Origin
from eventstore.log import StreamErased
from tests.eventstore.writers import ALICE, NOON, SlowWriter, appending, connect, plays, stored


@pytest.fixture
def stream(stores: None) -> int:
    return log.stream_of(ALICE)


def command_id(key: UUID | None = None) -> CommandId:
    return CommandId(key or uuid4(), b"a digest")


def test_an_event_is_read_as_it_was_appended(stream: int) -> None:
    origin = Origin(app_id="org.example", device_id="d", device_name="phone", occurred_at=NOON)
    position = log.append(stream, 0, plays(7), origin)

    [row] = log.read_stream(stream)

    assert (row.position, row.stream, row.version, row.type, row.schema) == (
        position,
        stream,
        1,
        "PlayRecorded",
        1,
    )
    assert [codec.decode(row.type, row.schema, row.data)] == plays(7)
    assert msgspec.json.decode(row.metadata, type=Origin) == origin
    assert row.recorded_at.utcoffset() == timedelta(0)


@pytest.mark.parametrize("expected", [0, 1, 3, 9])
@pytest.mark.parametrize("count", [1, 3])
def test_a_wrong_expected_version_records_nothing(stream: int, expected: int, count: int) -> None:
    log.append(stream, 0, plays(1, 2), Origin())

    assert log.append(stream, expected, plays(*range(10, 10 + count)), Origin()) is None

    assert len(log.read_stream(stream)) == 2


def test_an_expected_version_beyond_an_empty_stream_records_nothing(stream: int) -> None:
    assert log.append(stream, 1, plays(1), Origin()) is None
    assert log.append(stream, 1, plays(1), Origin(), command_id()) is None
    assert log.head() == 0


def test_positions_rise_with_versions(stream: int) -> None:
    last = log.append(stream, 0, plays(*range(500)), Origin())

    rows = log.read_stream(stream)

    assert [row.version for row in rows] == list(range(1, 501))
    assert [codec.decode(row.type, row.schema, row.data) for row in rows] == plays(*range(500))
    positions = [row.position for row in rows]
    assert positions == sorted(positions)
    assert positions[-1] == last


@pytest.mark.parametrize("remembered", [False, True])
@pytest.mark.parametrize("count", [1, 3])
def test_events_are_recorded_whole_or_not_at_all_beside_a_rival(
    stream: int, count: int, remembered: bool
) -> None:
    """The rival's one event must not replace our first one while the rest are appended after it."""
    rival = SlowWriter(stream, 0, plays(1))
    command = command_id() if remembered else None
    with appending(stream, 0, plays(*range(10, 10 + count)), Origin(), command) as outcome:
        rival.commit()

    assert outcome == [None]
    assert stored(stream) == [(1, 1)]
    assert command is None or log.remembered_command(stream, command.key) is None


@pytest.mark.parametrize("end", ["roll_back", "die"])
@pytest.mark.parametrize("count", [1, 3])
def test_events_are_recorded_when_their_rival_gives_up(stream: int, count: int, end: str) -> None:
    rival = SlowWriter(stream, 0, plays(1))
    numbers = range(10, 10 + count)
    with appending(stream, 0, plays(*numbers), Origin()) as outcome:
        getattr(rival, end)()

    assert outcome == [log.head()]
    assert stored(stream) == list(zip(range(1, count + 1), numbers, strict=True))


@pytest.mark.parametrize("remembered", [False, True])
@pytest.mark.parametrize("count", [1, 3])
def test_a_position_that_is_taken_is_no_conflict_of_writers(
    stream: int, count: int, remembered: bool
) -> None:
    """This happens after a restore without the sequence: it must be repaired, not retried."""
    log.append(stream, 0, plays(1, 2, 3), Origin())
    with connect("the operator") as operator:
        operator.execute("SELECT setval(pg_get_serial_sequence('events.events', 'position'), 1, false)")
    with pytest.raises(UniqueViolation, match="events_pkey"):
        log.append(stream, 3, plays(*range(count)), Origin(), command_id() if remembered else None)


@pytest.mark.parametrize("count", [1, 3])
def test_a_command_is_remembered_with_its_events(stream: int, count: int) -> None:
    command = command_id()
    position = log.append(stream, 0, plays(*range(count)), Origin(), command, b"the answer")

    remembered = log.remembered_command(stream, command.key)

    assert remembered == (command.fingerprint, position, count, b"the answer")


def test_a_remembered_command_records_nothing_again(stream: int) -> None:
    command = command_id()
    log.append(stream, 0, plays(1), Origin(), command)
    with pytest.raises(CommandAlreadyRecorded):
        log.append(stream, 1, plays(2), Origin(), command)
    assert len(log.read_stream(stream)) == 1


def test_a_command_at_a_wrong_version_is_not_remembered(stream: int) -> None:
    command = command_id()
    assert log.append(stream, 5, plays(1), Origin(), command) is None
    assert log.remembered_command(stream, command.key) is None


def test_a_command_id_belongs_to_its_stream(stream: int) -> None:
    command = command_id()
    log.append(stream, 0, plays(1), Origin(), command, b"for Alice")
    assert log.remembered_command(log.stream_of(uuid4()), command.key) is None


def test_a_command_that_recorded_nothing_is_remembered_once(stream: int) -> None:
    command = command_id()
    log.remember_command(stream, command, 0, 0, b"nothing new")
    with pytest.raises(CommandAlreadyRecorded):
        log.remember_command(stream, command, 0, 0, b"something else")
    found = log.remembered_command(stream, command.key)
    assert found is not None
    assert found.answer == b"nothing new"


def test_old_command_ids_are_purged(stream: int) -> None:
    old, new = command_id(), command_id()
    for command in (old, new):
        log.remember_command(stream, command, 0, 0, b"")
    with connect() as clock:
        clock.execute("UPDATE events.commands SET at = at - interval '49 hours' WHERE id = %s", [old.key])
        [(now,)] = clock.execute("SELECT now()").fetchall()

    assert retention.delete_old_commands(now - timedelta(hours=48)) == 1

    assert log.remembered_command(stream, old.key) is None
    assert log.remembered_command(stream, new.key) is not None


def test_positions_are_acknowledged(stores: None) -> None:
    retention.acknowledge({"subscriptions": 3, "plays": 4})
    retention.acknowledge({"subscriptions": 5})
    with connect() as connection:
        rows = connection.execute("SELECT projector, position FROM events.projection_versions").fetchall()
    assert dict(rows) == {"subscriptions": 5, "plays": 4}


def test_a_hint_that_fails_is_no_failure(stores: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise psycopg.OperationalError("away")

    monkeypatch.setattr(log, "_hinted", 0.0)
    monkeypatch.setattr(database, "raw_connection", away)
    log.notify()


def test_a_hint_reaches_those_who_listen_at_most_four_times_a_second(
    stores: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "_hinted", 0.0)
    with connect() as listener:
        listener.execute(f"LISTEN {log.NOTIFICATION_CHANNEL}")
        for _ in range(50):
            log.notify()
        heard = list(listener.notifies(timeout=0.2, stop_after=50))
    assert len(heard) == 1


def test_one_user_has_one_stream_whoever_opens_it(stores: None) -> None:
    opened: set[int] = set()

    def open_it() -> None:
        try:
            log.clear_caches()
            opened.add(log.stream_of(ALICE))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(opened) == 1


def test_an_erased_stream_takes_no_writer(stream: int) -> None:
    with connect() as connection:
        connection.execute("UPDATE events.streams SET tombstone = now() WHERE id = %s", [stream])
    log.clear_caches()
    with pytest.raises(StreamErased):
        log.stream_of(ALICE)


def test_a_broken_connection_is_replaced(stream: int) -> None:
    pid = connections[database.ALIAS].connection.info.backend_pid
    with connect("the operator") as operator:
        operator.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    with pytest.raises(psycopg.OperationalError):
        log.append(stream, 0, plays(1), Origin())
    assert log.append(stream, 0, plays(1), Origin()) is not None


def test_what_a_restore_has_left_out_counts_as_no_event_that_anybody_lacks(stores: None) -> None:
    def play_on(stream: int, count: int) -> None:
        version = len(log.read_stream(stream))
        assert log.append(stream, version, plays(*range(count)), Origin())

    stream = log.stream_of(ALICE)
    play_on(stream, 6_000)
    following = administration.begin_epoch(0)
    assert following > 1_000_000_000
    stream = log.stream_of(ALICE)
    play_on(stream, 6_000)
    assert log.head() == following + 5_999
    lacking = [count for count, _ in log.lag([0, 6_000, following - 1, log.head()])]
    assert lacking == [12_000, 6_000, 6_000, 0]


def test_a_restore_gives_no_number_out_again_that_anybody_may_remember(stores: None) -> None:
    stream = log.stream_of(ALICE)
    log.append(stream, 0, plays(1), Origin())
    retention.acknowledge({"subscriptions": 1})
    before = log.epoch()
    first = administration.begin_epoch(known=5_000_000_000)
    second = administration.begin_epoch(known=0)
    assert (first, second) == (6_000_000_001, 7_000_000_001)
    assert len({before, log.epoch()}) == 2
    assert retention.acknowledged_by_all(["subscriptions"]) == 0
    assert log.stream_of(uuid4()) > stream + 1_000_000_000
