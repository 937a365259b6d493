"""Projecting within the test's process, for tests that need read models but no projector process."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from eventstore.follower import settled_head
from projections import public, queries
from projections.catch_up import apply_until
from projections.connect import connect
from projections.projectors import PROJECTORS
from projections.worker import Worker


def bring_up_to_date() -> int:
    """Bring every projector to the head of the log; returns that position."""
    head = settled_head()
    with connect("projections") as connection:
        for projector in PROJECTORS.values():
            apply_until([Worker(projector, connection)], head)
    return head


@contextmanager
def lagging_projectors(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Simulate projectors that lag, without waiting for them; yields the positions that were waited for."""
    waited: list[int] = []

    def impatient(projector: str, position: int) -> None:
        waited.append(position)
        raise queries.Behind(projector, position, 0)

    with monkeypatch.context() as patch:
        patch.setattr(public, "wait_for", impatient)
        yield waited
