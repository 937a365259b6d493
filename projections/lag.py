"""How far each projector is behind the log, and what it has set aside: for metrics and readiness."""

from typing import NamedTuple

from django.db import connections

from eventstore import log
from projections.projectors import PROJECTORS


class Lag(NamedTuple):
    """``events`` it has not applied, the oldest of them ``seconds`` old; dead letters are applied in this."""

    projector: str
    events: int
    seconds: float


class Waiting(NamedTuple):
    """Dead letters of a projector: events that it cannot apply, and later ones that wait behind them."""

    projector: str
    failed: int
    behind: int


def lags() -> list[Lag]:
    """Of every projector; one that never ran has everything before it. Raises when a store is away."""
    with connections["projections"].cursor() as cursor:
        cursor.execute('SELECT projector, position FROM "users"."projector_positions"')
        reached: dict[str, int] = dict(cursor.fetchall())
    behind = log.lag([reached.get(name, 0) for name in PROJECTORS])
    return [Lag(name, *found) for name, found in zip(PROJECTORS, behind, strict=True)]


def waiting() -> list[Waiting]:
    """Of every projector. Raises when the store is away."""
    with connections["projections"].cursor() as cursor:
        cursor.execute(
            "SELECT projector, count(*) FILTER (WHERE error <> ''), count(*) FILTER (WHERE error = '')"
            ' FROM "users"."dead_letters" GROUP BY projector'
        )
        found = {name: (failed, behind) for name, failed, behind in cursor.fetchall()}
    return [Waiting(name, *found.get(name, (0, 0))) for name in PROJECTORS]
