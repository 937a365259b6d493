"""A connection that gives up: for servers in whose place another one can answer."""

import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg

# A page takes milliseconds. A server whose disk stands still keeps its sockets open and says nothing: each
# thread that asked it would wait for as long.
SECONDS = 5.0

Result = TypeVar("Result")
Row = TypeVar("Row")


class Impatient(psycopg.Connection[Row]):
    """Raises ``psycopg.OperationalError`` after 5 seconds without the whole answer; then it is of no use."""

    def wait(self, gen: Generator[Any, Any, Result], *args: Any, **kwargs: Any) -> Result:
        return super().wait(_limited(gen, time.monotonic() + SECONDS), *args, **kwargs)


def _limited(generator: Generator[Any, Any, Result], deadline: float) -> Generator[Any, Any, Result]:
    """The same generator, which psycopg wakes ten times a second whether anything came or not."""
    try:
        wanted = next(generator)
        while True:
            ready = yield wanted
            if time.monotonic() > deadline:
                raise psycopg.OperationalError(f"no answer within {SECONDS:g} s")
            wanted = generator.send(ready)
    except StopIteration as end:
        result: Result = end.value
        return result
