"""A connection that gives up: for servers in whose place another one can answer."""

from collections.abc import Generator
from time import monotonic
from typing import Any, TypeVar

import psycopg

# A page takes milliseconds. A server whose disk stands still keeps its sockets open and says nothing: each
# thread that asked it would wait for as long.
SECONDS = 5.0

Result = TypeVar("Result")
Row = TypeVar("Row")


class Impatient(psycopg.Connection[Row]):
    """Raises ``psycopg.OperationalError`` after 5 seconds without a word; then it is of no more use."""

    def wait(self, gen: Generator[Any, Any, Result], *args: Any, **kwargs: Any) -> Result:
        return super().wait(_limited(gen), *args, **kwargs)


def _limited(generator: Generator[Any, Any, Result]) -> Generator[Any, Any, Result]:
    """The same generator, which psycopg wakes ten times a second where nothing comes."""
    heard = monotonic()
    try:
        wanted = next(generator)
        while True:
            ready = yield wanted
            if ready:
                heard = monotonic()
            elif monotonic() - heard > SECONDS:
                raise psycopg.OperationalError(f"not a word for {SECONDS:g} s")
            wanted = generator.send(ready)
    except StopIteration as end:
        result: Result = end.value
        return result
