"""An event that cannot be applied stops only its own stream, and only for one projector."""

from collections.abc import Callable, Sequence

import pytest
from django.db import connections
from psycopg.errors import ProgramLimitExceeded

from eventstore import log
from projections import catch_up, deadletters, runner
from projections.catch_up import apply_until
from projections.connect import Connection
from projections.projectors import PROJECTORS
from projections.projectors.shape import Fact, Projector
from projections.runner import Runner
from projections.worker import Worker, safe_positions
from tests.projections.histories import (
    ALICE,
    BOB,
    CHARLIE,
    counted,
    counting,
    played,
    record,
    record_raw,
    saved,
    subscribed,
)
from tests.projections.running import run_until

pytestmark = pytest.mark.usefixtures("stores")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catch_up, "PAUSES", (0, 0, 0))


def failing_at(*positions: int) -> Projector:
    def fail(facts: Sequence[Fact]) -> None:
        for recorded, _ in facts:
            if recorded.position in positions:
                raise ValueError(f"cannot apply {recorded.position}")

    return counting(before=fail)


def three_streams(rounds: int = 5) -> int:
    return record(*(played(user, position=n) for n in range(rounds) for user in (ALICE, BOB, CHARLIE)))


def waiting(connection: Connection) -> list[tuple[int, str]]:
    return [(letter.position, letter.error) for letter in deadletters.letters(connection)]


def test_it_parks_the_event_and_what_follows_in_its_stream(
    connection: Connection, counter: Projector
) -> None:
    head = three_streams()
    worker = Worker(failing_at(4), connection)
    apply_until([worker], head)
    assert worker.position == saved(connection, "counter") == head
    assert waiting(connection) == [(4, "ValueError: cannot apply 4"), (7, ""), (10, ""), (13, "")]
    assert sorted(counted(connection)) == [1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15]


def test_it_tries_a_few_times_before_it_parks(connection: Connection, counter: Projector) -> None:
    failures = 2

    def fail_twice(facts: Sequence[Fact]) -> None:
        nonlocal failures
        if failures and facts[0].recorded.position == 1 and len(facts) == 1:
            failures -= 1
            raise ValueError("for now")

    head = record(played(ALICE))
    apply_until([Worker(counting(before=fail_twice), connection)], head)
    assert waiting(connection) == []
    assert counted(connection) == [1]


def test_the_events_after_it_that_come_later_wait_too(connection: Connection, counter: Projector) -> None:
    apply_until([Worker(failing_at(1), connection)], three_streams(1))
    head = three_streams(1)
    apply_until([Worker(counter, connection)], head)
    assert [position for position, _ in waiting(connection)] == [1, 4]
    assert sorted(counted(connection)) == [2, 3, 5, 6]


@pytest.mark.parametrize(
    ("type_", "schema", "data", "error"),
    [
        ("PodcastTranscribed", 1, "{}", "UnknownEvent: unknown event type PodcastTranscribed"),
        ("PlayRecorded", 99, "{}", "UnknownEvent: PlayRecorded v99 is newer than this program (v1)"),
        ("PlayRecorded", 1, '{"position": "far"}', "UndecodableEvent: PlayRecorded v1: "),
    ],
)
def test_it_parks_what_it_cannot_decode(
    connection: Connection, counter: Projector, type_: str, schema: int, data: str, error: str
) -> None:
    three_streams(1)
    bad = record_raw(ALICE, type_, schema, data)
    head = three_streams(1)
    apply_until([Worker(counter, connection)], head)
    (first, behind) = waiting(connection)
    assert first[0] == bad
    assert first[1].startswith(error)
    assert behind == (5, "")
    assert sorted(counted(connection)) == [1, 2, 3, 6, 7]


def test_other_projectors_apply_what_one_cannot(connection: Connection, counter: Projector) -> None:
    head = record(played(ALICE), subscribed(ALICE))
    healthy = Worker(PROJECTORS["plays"], connection)
    apply_until([Worker(failing_at(1), connection), healthy], head)
    assert connection.execute("SELECT count(*) FROM users.play_statuses").fetchone() == (1,)
    assert [letter.projector for letter in deadletters.letters(connection)] == ["counter"]


def test_a_row_too_large_for_its_index_is_the_events_fault(
    connection: Connection, counter: Projector
) -> None:
    # its class is OperationalError, as if the store were unavailable
    def too_large(facts: Sequence[Fact]) -> None:
        try:
            connection.execute("SELECT array_fill(0, ARRAY[1000000000])")
        except ProgramLimitExceeded:
            raise
        raise AssertionError("the server had room for it")

    head = record(played(ALICE))
    apply_until([Worker(counting(before=too_large), connection)], head)
    ((position, error),) = waiting(connection)
    assert position == 1
    assert error.startswith("ProgramLimitExceeded")


def test_after_the_fix_a_retry_applies_them_in_order(connection: Connection, counter: Projector) -> None:
    apply_until([Worker(failing_at(4, 5), connection)], three_streams())
    fixed = Worker(counter, connection)
    assert deadletters.retry(fixed) == (8, 0)
    assert waiting(connection) == []
    assert not fixed.parked
    rows = connection.execute("SELECT positions FROM users.counts ORDER BY stream").fetchall()
    assert rows == [([1, 4, 7, 10, 13],), ([2, 5, 8, 11, 14],), ([3, 6, 9, 12, 15],)]


def test_a_retry_goes_as_far_as_it_can(connection: Connection, counter: Projector) -> None:
    apply_until([Worker(failing_at(4, 5), connection)], three_streams())
    assert deadletters.retry(Worker(failing_at(10), connection)) == (6, 2)
    assert waiting(connection) == [(10, "ValueError: cannot apply 10"), (13, "")]
    (letter, _) = deadletters.letters(connection)
    assert letter.attempts == 1
    assert deadletters.retry(Worker(failing_at(10), connection)) == (0, 2)
    assert deadletters.letters(connection)[0].attempts == 2


def test_letters_whose_event_was_removed_are_dropped(connection: Connection, counter: Projector) -> None:
    apply_until([Worker(failing_at(1), connection)], three_streams(2))
    with connections["events"].cursor() as cursor:
        cursor.execute("SELECT set_config('balados.retention', 'on', false)")
        cursor.execute("DELETE FROM events.events WHERE position = 1")
        cursor.execute("SELECT set_config('balados.retention', 'off', false)")
    assert deadletters.retry(Worker(failing_at(1), connection)) == (2, 0)
    assert sorted(counted(connection)) == [2, 3, 4, 5, 6]


def test_the_oldest_letter_is_what_retention_may_not_pass(connection: Connection, counter: Projector) -> None:
    apply_until([Worker(failing_at(5), connection)], three_streams())
    assert safe_positions(connection, ["counter", "subscriptions"]) == {"counter": 4}
    assert log.head() == saved(connection, "counter")


@pytest.fixture
def _briskly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the live loop take projectors back at once."""
    monkeypatch.setattr(runner, "HOUSEKEEPING_EVERY", 0.0)


def a_batch_with(connection: Connection, poison: Callable[[], int], *projectors: Projector) -> int:
    """Run a live batch over three streams, with Bob's poison event in the middle; return its position."""
    live = Runner(projectors)
    try:
        run_until(live, log.head())
        three_streams()
        position = poison()
        head = three_streams()
        run_until(live, head)
        # a second batch: the live loop has all projectors again, and later events of Bob wait
        assert live.positions().keys() == {projector.name for projector in projectors}
        run_until(live, three_streams(1))
    finally:
        live.close()
    return position


@pytest.mark.usefixtures("_briskly")
def test_a_poison_event_in_the_middle_of_a_batch_holds_back_its_own_stream_and_projector_only(
    connection: Connection, counter: Projector
) -> None:
    broken = failing_at(17)
    poison = a_batch_with(
        connection, lambda: record(played(CHARLIE), played(BOB, position=99)), *PROJECTORS.values(), broken
    )
    assert poison == 17
    bobs = [event.position for event in log.read_stream(log.stream_of(BOB))]
    late = [position for position in bobs if position >= poison]
    assert len(late) == 1 + 5 + 1
    assert waiting(connection) == [
        (poison, f"ValueError: cannot apply {poison}"),
        *((position, "") for position in late[1:]),
    ]
    assert {letter.projector for letter in deadletters.letters(connection)} == {"counter"}
    everything = {event.position for event in log.read_all(0, 1_000)}
    assert sorted(counted(connection)) == sorted(everything - set(late))
    heads = [saved(connection, name) for name in (*PROJECTORS, "counter")]
    assert set(heads) == {log.head()}


@pytest.mark.usefixtures("_briskly")
def test_an_event_that_nobody_can_read_holds_back_its_stream_for_all_and_no_other_stream(
    connection: Connection, counter: Projector
) -> None:
    projectors = (*PROJECTORS.values(), counter)
    poison = a_batch_with(connection, lambda: record_raw(BOB, "PodcastTranscribed"), *projectors)
    letters = deadletters.letters(connection)
    assert {letter.stream for letter in letters} == {log.stream_of(BOB)}
    failed = {letter.projector: letter.position for letter in letters if letter.error}
    assert failed == dict.fromkeys((projector.name for projector in projectors), poison)
    bobs = {event.position for event in log.read_stream(log.stream_of(BOB)) if event.position >= poison}
    everything = {event.position for event in log.read_all(0, 1_000)}
    assert sorted(counted(connection)) == sorted(everything - bobs)
    heard = {row[0] for row in connection.execute("SELECT user_id FROM users.play_statuses")}
    assert heard == {ALICE, BOB, CHARLIE}
