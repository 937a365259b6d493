"""Statements that an event loop sends without waiting for a thread."""

import asyncio

import pytest

from eventstore.prepared import Prepared
from projections import pipeline
from projections.pipeline import Pipeline
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
