"""Waiting until every projector has passed a position, for good."""

import time
from collections.abc import Callable

from eventstore import store
from projections.projectors import PROJECTORS

# projectors acknowledge once a second what is on their disk
PATIENCE = 30.0
PAUSE = 0.05


def wait_for_all(
    position: int, seconds: float = PATIENCE, pause: Callable[[float], None] = time.sleep
) -> int:
    """Wait until all have acknowledged ``position``, at most so long; returns how far all have come.

    Dead letters hold the acknowledgement back, for as long as they wait.
    """
    deadline = time.monotonic() + seconds
    while (passed := store.passed(PROJECTORS)) < position and time.monotonic() < deadline:
        pause(PAUSE)
    return passed
