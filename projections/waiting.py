"""Waiting until the read models reflect a position, for good."""

import time
from collections.abc import Callable

from eventstore import retention
from projections.connect import run
from projections.projectors import PROJECTORS

# projectors acknowledge once a second what is on their disk
PATIENCE = 30.0
PAUSE = 0.05
POSITIONS = 'SELECT projector, position, parked FROM "users"."projector_positions"'


def wait_for_all(
    position: int, seconds: float = PATIENCE, pause: Callable[[float], None] = time.sleep
) -> bool:
    """Wait until every projector has reached ``position``, at most so long; false where one has not.

    Those with dead letters go on with the other streams, and merely do not acknowledge: nobody waits for it.
    """
    deadline = time.monotonic() + seconds
    while not _reached(position):
        if time.monotonic() >= deadline:
            return False
        pause(PAUSE)
    return True


def _reached(position: int) -> bool:
    saved = {str(name): (int(at), bool(parked)) for name, at, parked in run(POSITIONS, [])}
    known = [saved.get(name, (0, False)) for name in PROJECTORS]
    if min(at for at, _ in known) < position:
        return False
    healthy = [name for name in PROJECTORS if name in saved and not saved[name][1]]
    return not healthy or retention.acknowledged_by_all(healthy) >= position
