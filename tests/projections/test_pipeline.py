"""Statements that an event loop sends without waiting for a thread."""

import asyncio
from collections.abc import Iterator

import pytest

from eventstore.prepared import Prepared
from projections import pipeline
from projections.connect import Connection, connect
from projections.pipeline import Appends, OutcomeUnknown, Pipeline
from tests.direct import opened

SLEEP = Prepared("sleep", "SELECT pg_sleep(%(seconds)s::float8)")
DIVIDE = Prepared("divide", "SELECT 10 / %(number)s::integer")
REPEAT = Prepared("repeat", "SELECT repeat(%(text)s::text, %(times)s::integer)")


async def ready() -> Pipeline:
    asked = Pipeline("system")
    assert await asked.ask(DIVIDE, {"number": b"1"}) is None
    await opened(asked)
    return asked


def test_a_store_that_does_not_answer_is_not_waited_for(
    stores: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "TIMEOUT", 0.02)

    async def test() -> None:
        asked = await ready()
        assert await asked.ask(SLEEP, {"seconds": b"0"}) == [[b""]]
        found = await asyncio.gather(*(asked.ask(SLEEP, {"seconds": b"60"}) for _ in range(3)))
        assert found == [None] * 3
        assert asked._connection is None

    asyncio.run(test())


def test_more_than_fit_are_left_to_threads_and_an_error_ends_the_connection(stores: None) -> None:
    async def test() -> None:
        asked = await ready()
        numbers = range(1, pipeline.MOST_WAITING + 2)
        *given, last = await asyncio.gather(*(asked.ask(DIVIDE, {"number": b"%d" % one}) for one in numbers))
        assert given == [[[b"%d" % (10 // one)]] for one in numbers[:-1]]
        assert last is None
        assert await asked.ask(DIVIDE, {"number": b"0"}) is None
        assert asked._connection is None

    asyncio.run(test())


def test_what_does_not_fit_into_the_socket_is_sent_when_it_does(stores: None) -> None:
    async def test() -> None:
        asked = await ready()
        values = {"text": b"a" * 500_000, "times": b"2"}
        found = await asyncio.gather(*(asked.ask(REPEAT, values) for _ in range(8)))
        assert found == [[[b"a" * 1_000_000]]] * 8
        assert asked._connection is not None
        asked._close(TimeoutError())

    asyncio.run(test())


INSERT = Prepared("insert", "INSERT INTO events.numbers VALUES (%(number)s::integer) RETURNING number")
SLEEP_AND_INSERT = Prepared(
    "sleep_and_insert",
    "INSERT INTO events.numbers SELECT %(number)s::integer FROM pg_sleep(%(seconds)s::float8)"
    " RETURNING number",
)


@pytest.fixture
def numbers(stores: None) -> Iterator[Connection]:
    """A table of numbers, each once; 13 is refused at the commit."""
    with connect("events") as connection:
        connection.execute("""
            CREATE TABLE events.numbers (number integer PRIMARY KEY);
            CREATE FUNCTION events.no_13() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN
                    IF new.number = 13 THEN RAISE EXCEPTION 'unlucky'; END IF;
                    RETURN NULL;
                END $$;
            CREATE CONSTRAINT TRIGGER no_13 AFTER INSERT ON events.numbers DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW EXECUTE FUNCTION events.no_13()""")
        try:
            yield connection
        finally:
            connection.execute("DROP TABLE events.numbers; DROP FUNCTION events.no_13")


def numbers_in(connection: Connection) -> list[int]:
    return [number for (number,) in connection.execute("SELECT number FROM events.numbers ORDER BY number")]


def number(value: int, **more: bytes) -> dict[str, bytes]:
    return {"number": b"%d" % value, **more}


async def appending() -> Appends:
    appends = Appends("events")
    assert await appends.ask(INSERT, number(0)) is None
    await opened(appends)
    return appends


def test_what_is_appended_in_one_turn_shares_a_commit_and_is_sent_in_order(numbers: Connection) -> None:
    async def test() -> None:
        appends = await appending()
        first = [appends.ask(INSERT, number(value), order=-value) for value in (1, 2, 3)]
        assert await asyncio.gather(*first) == [[[b"1"]], [[b"2"]], [[b"3"]]]
        await appends.ask(INSERT, number(4))
        appends._close(TimeoutError())

    asyncio.run(test())
    rows = numbers.execute("SELECT number, xmin::text FROM events.numbers ORDER BY ctid").fetchall()
    assert [value for value, _ in rows] == [3, 2, 1, 4]
    assert len({transaction for _, transaction in rows[:3]}) == 1
    assert rows[3][1] != rows[0][1]


@pytest.mark.parametrize("refused", [7, 13], ids=["by its statement", "by the commit"])
def test_of_a_group_that_fails_nothing_is_recorded(numbers: Connection, refused: int) -> None:
    async def test() -> None:
        appends = await appending()
        assert await appends.ask(INSERT, number(7)) == [[b"7"]]
        found = await asyncio.gather(*(appends.ask(INSERT, number(value)) for value in (1, refused, 2)))
        assert found == [None, None, None]
        assert await appends.ask(INSERT, number(3)) == [[b"3"]]
        appends._close(TimeoutError())

    asyncio.run(test())
    assert numbers_in(numbers) == [3, 7]


def test_what_waits_for_a_slow_group_is_let_go_and_the_group_is_not(
    numbers: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "TIMEOUT", 0.05)

    async def test() -> None:
        appends = await appending()
        slow = appends.ask(SLEEP_AND_INSERT, number(1, seconds=b"0.5"))
        await asyncio.sleep(0)
        waiting = appends.ask(INSERT, number(2))
        assert await waiting is None
        assert await appends.ask(INSERT, number(3)) is None
        assert not slow.done()
        assert await slow == [[b"1"]]
        assert await appends.ask(INSERT, number(4)) == [[b"4"]]
        appends._close(TimeoutError())

    asyncio.run(test())
    assert numbers_in(numbers) == [1, 4]


def test_after_a_break_nobody_knows_what_was_recorded(numbers: Connection) -> None:
    async def test() -> None:
        appends = await appending()
        sent = appends.ask(SLEEP_AND_INSERT, number(1, seconds=b"60"))
        await asyncio.sleep(0)
        gathered = appends.ask(INSERT, number(2))
        assert appends._connection is not None
        numbers.execute("SELECT pg_terminate_backend(%s, 5000)", [appends._connection.info.backend_pid])
        with pytest.raises(OutcomeUnknown):
            await sent
        assert await gathered is None

    asyncio.run(test())
    assert numbers_in(numbers) == []
