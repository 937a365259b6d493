"""Reads from streaming replicas of the projections, where there are any.

Nothing monitors the replicas. Each read asks one of them in turn, and its answer carries the position that
its rows reflect. If that is below the wanted position, or the replica fails, the primary is asked. The wanted
position is the higher of what the caller has already seen and what the primary had at a look no older than
``PROJECTIONS_REPLICA_MAX_LAG_SECONDS``. Whatever decides anything, and whatever the public sees, is always
read from the primary.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count
from time import monotonic
from typing import Any, NamedTuple, TypeAlias

import django.db
import psycopg
from django.conf import settings

from projections.connect import run

logger = logging.getLogger(__name__)

# seconds for which a replica that failed is not asked again
LEFT_OUT = 5.0
FAILURES = (psycopg.Error, django.db.Error)
OK, BEHIND, UNREACHABLE, UNKNOWN = "ok", "behind", "unreachable", "unknown"
POSITIONS = 'SELECT projector, position FROM "users"."projector_positions"'
# the position of a server, and the age of the newest transaction that a replica has applied
LOOK = """
SELECT coalesce(max(position), 0),
       extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::double precision
  FROM "users"."projector_positions"
"""
# the position that the rows reflect, and the rows
Found: TypeAlias = tuple[int, list[tuple[Any, ...]]]


class State(NamedTuple):
    """The state of a replica. ``word`` is ``ok``, or says why the replica is not read.

    ``seconds`` (about) and ``events``: how far it is behind the primary; None if that is unknown.
    """

    number: int
    word: str
    seconds: float | None = None
    events: int | None = None


_looked_at = float("-inf")
_positions: dict[str, int] = {}
_left_out_until: dict[str, float] = {}
_turns = count()
_minimum: ContextVar[int] = ContextVar("minimum", default=0)


@contextmanager
def at_least(position: int) -> Iterator[None]:
    """In this block, a replica's answer counts only if it reflects this position."""
    before = _minimum.set(position)
    try:
        yield
    finally:
        _minimum.reset(before)


def read(projector: str, ask: Callable[[str], Found]) -> Found:
    """Return what ``ask`` finds in the store whose alias it is given: a replica if it is recent enough, else
    the primary.

    Raises when the primary is away, once that has lasted for as long as a replica may lag.
    """
    usable = [
        alias for alias in settings.PROJECTIONS_REPLICAS if monotonic() > _left_out_until.get(alias, 0.0)
    ]
    if usable:
        alias = usable[next(_turns) % len(usable)]
        try:
            found = ask(alias)
        except FAILURES as failure:
            _leave_out(alias, failure)
        else:
            if _left_out_until.pop(alias, None):
                logger.info("Replica %s of the projections is read", _number(alias))
            if found[0] >= max(_minimum.get(), _position_of_primary(projector)):
                return found
    return ask("projections")


def states() -> list[State]:
    """Return the state of every replica, in the order of ``PROJECTIONS_REPLICA_URLS``."""
    primary = _look("projections") if settings.PROJECTIONS_REPLICAS else None
    return [_state(_number(alias), primary, _look(alias)) for alias in settings.PROJECTIONS_REPLICAS]


def _state(number: int, primary: tuple[int, float] | None, replica: tuple[int, float] | None) -> State:
    if primary is None:
        return State(number, UNKNOWN)
    if replica is None:
        return State(number, UNREACHABLE)
    events = max(0, primary[0] - replica[0])
    return State(number, BEHIND if events else OK, replica[1] if events else 0.0, events)


def _look(alias: str) -> tuple[int, float] | None:
    """Return the position and the age of a server's data; None when it is away."""
    try:
        return run(LOOK, [], alias).fetchone()
    except FAILURES:
        return None


def _leave_out(alias: str, failure: Exception) -> None:
    if alias not in _left_out_until:
        reason = str(failure).partition("\n")[0]
        logger.warning("Replica %s of the projections is left out: %s", _number(alias), reason)
    _left_out_until[alias] = monotonic() + LEFT_OUT


def _position_of_primary(projector: str) -> int:
    global _looked_at, _positions
    if monotonic() - _looked_at >= settings.PROJECTIONS_REPLICA_MAX_LAG_SECONDS:
        # the time before the query: anything may have happened since then
        now = monotonic()
        _positions, _looked_at = dict(run(POSITIONS, []).fetchall()), now
    return _positions.get(projector, 0)


def _number(alias: str) -> int:
    return settings.PROJECTIONS_REPLICAS.index(alias) + 1
