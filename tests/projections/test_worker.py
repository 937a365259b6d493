"""Rows and position are written together: each event is applied once, however often it is delivered."""

import random
from collections.abc import Callable, Sequence

import msgspec
import pytest

from eventstore import log
from projections.batches import Batch
from projections.connect import Connection, connect
from projections.erasure import erase_history
from projections.projectors import PROJECTORS
from projections.projectors.shape import Fact, Projector
from projections.worker import StalePosition, Worker, apply_together, flush, safe_positions
from tests.projections.histories import (
    ALICE,
    BOB,
    counted,
    counting,
    played,
    record,
    saved,
    subscribed,
)

pytestmark = pytest.mark.usefixtures("stores")


def batch(after: int = 0, upto: int = log.LAST_POSITION) -> Batch:
    events = log.read_all(after, 1_000, upto)
    return Batch(events, events[-1].position)


def test_it_applies_an_event_once_however_often_it_is_delivered(
    connection: Connection, counter: Projector
) -> None:
    head = record(*(played(user, position=n) for n in range(20) for user in (ALICE, BOB)))
    worker = Worker(counter, connection)
    choose = random.Random(10)
    while worker.position < head:
        # start anywhere up to what was applied, because no reader leaves a gap
        events = log.read_all(choose.randint(0, worker.position), choose.randint(1, 9))
        twice = [event for event in events for _ in range(2)]
        worker.apply(Batch(twice, events[-1].position))
    assert sorted(counted(connection)) == list(range(1, head + 1))


def test_it_saves_neither_rows_nor_position_when_it_fails_between_them(
    connection: Connection, counter: Projector
) -> None:
    def fail(facts: Sequence[Fact]) -> None:
        raise RuntimeError("after the rows")

    record(played(ALICE))
    with pytest.raises(RuntimeError):
        Worker(counting(after=fail), connection).apply(batch())
    assert counted(connection) == []
    assert saved(connection, "counter") == 0


def test_it_leaves_the_rows_alone_when_its_position_was_moved(
    connection: Connection, counter: Projector
) -> None:
    record(played(ALICE))
    zombie = Worker(counter, connection)
    Worker(counter, connection).apply(batch())
    record(played(ALICE, position=1))
    with pytest.raises(StalePosition):
        zombie.apply(batch())
    assert counted(connection) == [1]


def live(worker: Worker, events: Batch) -> None:
    apply_together(worker.connection, [worker], events)


@pytest.mark.parametrize("apply", [Worker.apply, live], ids=["late", "live"])
def test_events_that_were_read_before_an_account_was_erased_are_not_applied(
    connection: Connection, apply: Callable[[Worker, Batch], None]
) -> None:
    record(played(ALICE))
    worker, read = Worker(PROJECTORS["plays"], connection), batch()
    erase_history(ALICE)
    with pytest.raises(StalePosition):
        apply(worker, read)
    assert rows(connection, "users.play_statuses") == saved(connection, "plays") == 0


def test_two_that_write_at_once_do_not_both_write(connection: Connection, counter: Projector) -> None:
    record(played(ALICE))
    with connect("projections", lock_timeout="5s") as other:
        rival = Worker(counter, other)

        def overtaken(facts: Sequence[Fact]) -> None:
            other.execute("SET lock_timeout = '50ms'")
            with pytest.raises(Exception, match="lock timeout"):
                rival.apply(batch())

        Worker(counting(after=overtaken), connection).apply(batch())
        with pytest.raises(StalePosition):
            rival.apply(batch())
    assert counted(connection) == [1]


def test_it_decodes_only_what_the_projector_handles(connection: Connection) -> None:
    position = record(subscribed(ALICE))
    event = msgspec.structs.replace(log.read_all(0, 1)[0], data="not JSON")
    worker = Worker(PROJECTORS["plays"], connection)
    worker.apply(Batch([event], position))
    assert worker.position == position


def test_all_workers_apply_a_batch_in_one_transaction(connection: Connection) -> None:
    head = record(subscribed(ALICE), played(ALICE))
    workers = [Worker(projector, connection) for projector in PROJECTORS.values()]
    apply_together(connection, workers, batch())
    assert {saved(connection, name) for name in PROJECTORS} == {head}
    assert {worker.position for worker in workers} == {head}
    assert rows(connection, "users.subscriptions") == rows(connection, "users.play_statuses") == 1


def test_a_position_that_was_moved_stops_them_all(connection: Connection) -> None:
    record(subscribed(ALICE), played(ALICE))
    workers = [Worker(projector, connection) for projector in PROJECTORS.values()]
    connection.execute("UPDATE users.projector_positions SET position = 7 WHERE projector = 'subscriptions'")
    with pytest.raises(StalePosition):
        apply_together(connection, workers, batch())
    assert rows(connection, "users.play_statuses") == saved(connection, "plays") == 0
    assert {worker.position for worker in workers} == {0}


def test_a_projector_that_fails_undoes_what_the_others_did(
    connection: Connection, counter: Projector
) -> None:
    def fails(facts: Sequence[Fact]) -> None:
        raise ValueError("not today")

    record(played(ALICE))
    workers = [Worker(PROJECTORS["plays"], connection), Worker(counting(after=fails), connection)]
    with pytest.raises(ValueError, match="not today"):
        apply_together(connection, workers, batch())
    assert rows(connection, "users.play_statuses") == saved(connection, "plays") == 0
    apply_together(connection, workers[:1], batch())
    assert rows(connection, "users.play_statuses") == 1


def test_what_is_acknowledged_is_on_the_disk() -> None:
    with connect("projections", synchronous_commit="off") as connection:
        head = record(played(ALICE))
        worker = Worker(PROJECTORS["plays"], connection)
        worker.apply(batch())
        ((written,),) = connection.execute("SELECT pg_current_wal_insert_lsn()::text")
        assert safe_positions(connection, ["plays"]) == {"plays": head}
        flush(connection, ["plays"])
        ((safe,),) = connection.execute("SELECT pg_current_wal_flush_lsn() >= %s::pg_lsn", [written])
        assert safe


def rows(connection: Connection, table: str) -> int:
    ((count,),) = connection.execute(f"SELECT count(*) FROM {table}")
    return int(count)
