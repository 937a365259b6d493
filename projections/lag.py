"""How far each projector is behind the log, its dead letters, and waiting until all have caught up."""

import time
from collections.abc import Callable
from typing import NamedTuple

from django.db import connections

from eventstore import administration, log, retention
from eventstore.instance import WrongStore
from projections.connect import run
from projections.projectors import PROJECTORS

# seconds; projectors acknowledge once a second what is on their disk
PATIENCE = 30.0
PAUSE = 0.05
POSITIONS = 'SELECT projector, position, parked FROM "users"."projector_positions"'


class Lag(NamedTuple):
    """``events`` not yet applied, the oldest of them ``seconds`` old; dead letters count as applied here."""

    projector: str
    events: int
    seconds: float


class DeadLetterCount(NamedTuple):
    """A projector's dead letters: events that it cannot apply, and later ones that wait behind them."""

    projector: str
    failed: int
    behind: int


def lags() -> list[Lag]:
    """Return the lag of every projector; one that never ran lacks everything. Raises when a store is away."""
    with connections["projections"].cursor() as cursor:
        cursor.execute('SELECT projector, position FROM "users"."projector_positions"')
        reached: dict[str, int] = dict(cursor.fetchall())
    behind = log.lag([reached.get(name, 0) for name in PROJECTORS])
    return [Lag(name, *found) for name, found in zip(PROJECTORS, behind, strict=True)]


def check_log() -> None:
    """Raise ``WrongStore`` if the read models are at a position that the log has not assigned yet.

    Then the log is an older copy, and would give new events numbers that already mean something else.
    """
    ((reached,),) = run('SELECT coalesce(max(position), 0) FROM "users"."projector_positions"', []).fetchall()
    if reached > (last := administration.last_position()):
        raise WrongStore(
            f"The events store is older than the read models: it is at {last}, and they are at {reached}."
            " Look at EVENT_STORE_URL. After a restore by other means: store_restore --in-place."
        )


def dead_letter_counts() -> list[DeadLetterCount]:
    """Return the counts of every projector. Raises when the store is away."""
    with connections["projections"].cursor() as cursor:
        cursor.execute(
            "SELECT projector, count(*) FILTER (WHERE error <> ''), count(*) FILTER (WHERE error = '')"
            ' FROM "users"."dead_letters" GROUP BY projector'
        )
        found = {name: (failed, behind) for name, failed, behind in cursor.fetchall()}
    return [DeadLetterCount(name, *found.get(name, (0, 0))) for name in PROJECTORS]


def wait_for_all(
    position: int, seconds: float = PATIENCE, pause: Callable[[float], None] = time.sleep
) -> bool:
    """Wait at most ``seconds`` until every projector has reached ``position``; return False if one has not.

    Projectors with dead letters go on with the other streams, but do not acknowledge; nobody waits for that.
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
