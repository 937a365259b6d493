"""Histories to project, and a projector that counts: what is applied twice or not at all shows in it."""

from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest

from projections.connect import Connection, connect
from projections.projectors.shape import Projector
from tests.projecting import bring_up_to_date
from tests.projections.histories import COUNTS, counting

Project: TypeAlias = Callable[[], int]


@pytest.fixture
def project(stores: None) -> Project:
    """``project()`` brings every projector to the head, in this process."""
    return bring_up_to_date


@pytest.fixture
def connection(stores: None) -> Iterator[Connection]:
    """A connection to the projections store."""
    with connect("projections") as connection:
        yield connection


@pytest.fixture
def counter(connection: Connection) -> Iterator[Projector]:
    """A projector that adds up positions per stream; unlike the real ones it does not forgive repeats."""
    connection.execute(f"CREATE TABLE {COUNTS} (stream bigint PRIMARY KEY, positions bigint[] NOT NULL)")
    yield counting()
    connection.execute(f"DROP TABLE {COUNTS}")
