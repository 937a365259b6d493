"""Count the statements that a page sends to the stores."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest


@contextmanager
def counting() -> Iterator[Callable[[], int]]:
    """Yield a function that returns how many statements ran since it was last called."""
    asked: list[Any] = []
    execute = psycopg.Cursor.execute

    def noted(cursor: Any, query: Any, *args: Any, **options: Any) -> Any:
        asked.append(query)
        return execute(cursor, query, *args, **options)

    def since() -> int:
        number = len(asked)
        asked.clear()
        return number

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", noted)
        yield since
