"""Reads from streaming replicas of the projections, where there are any.

Nobody watches the replicas. A read asks one of them, and its answer carries the position that its rows
reflect. Where that is not enough, or where the replica fails, the primary is asked. It is enough when it is
at least what the caller has seen already, and what the primary had at a look that is not older than
``PROJECTIONS_REPLICA_MAX_LAG_SECONDS``. Whatever decides anything, and whatever the public sees, is read from
the primary in any case.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count
from time import monotonic
from typing import Any, NamedTuple

import django.db
import psycopg
from django.conf import settings

from projections.connect import run

logger = logging.getLogger(__name__)

# seconds in which a replica that failed is not asked again
LEFT_OUT = 5.0
FAILURES = (psycopg.Error, django.db.Error)
OK, BEHIND, UNREACHABLE, UNKNOWN = "ok", "behind", "unreachable", "unknown"
LOOK = """
SELECT ARRAY[(SELECT system_identifier FROM pg_control_system()),
             (SELECT oid::bigint FROM pg_database WHERE datname = current_database())],
       pg_is_in_recovery(),
       extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::double precision,
       (SELECT array_agg(projector) FROM "users"."projector_positions"),
       (SELECT array_agg(position) FROM "users"."projector_positions")
"""


class Look(NamedTuple):
    """What a server says of itself. ``database`` is the same on a primary and its replicas alone; ``age`` is
    that of the newest transaction that a replica has applied, in seconds.
    """

    database: list[int]
    in_recovery: bool
    age: float | None
    positions: dict[str, int]

    def word_beside(self, primary: "Look") -> str:
        """``ok``, or why this is no replica of the primary."""
        if self.database != primary.database:
            return "of another database"
        return OK if self.in_recovery else "not a replica"


class State(NamedTuple):
    """``word`` is ``ok``, or says why the replica is not read. ``seconds`` (about) and ``events``: how far
    it is behind the primary; None where that is not known.
    """

    number: int
    word: str
    seconds: float | None = None
    events: int | None = None


_looks: dict[str, tuple[float, Look]] = {}
_left_out_until: dict[str, float] = {}
_turns = count()
_minimum: ContextVar[int] = ContextVar("minimum", default=0)


@contextmanager
def at_least(position: int) -> Iterator[None]:
    """In this block a replica's answer counts only if it reflects this position."""
    before = _minimum.set(position)
    try:
        yield
    finally:
        _minimum.reset(before)


def choose() -> str | None:
    """The alias of a replica to ask; None where it has to be the primary.

    Raises when the primary is away, once it has been so for as long as a replica may lag.
    """
    usable = [alias for alias in settings.PROJECTIONS_REPLICAS if _is_usable(alias)]
    return usable[next(_turns) % len(usable)] if usable else None


def is_enough(projector: str, position: int) -> bool:
    """Whether a replica's answer may be given out, which reflects this position of the projector."""
    return position >= max(_minimum.get(), _look("projections").positions.get(projector, 0))


def leave_out(alias: str, failure: Exception) -> None:
    """Ask this replica no more for some seconds: a read there has failed."""
    if alias not in _left_out_until:
        reason = str(failure).partition("\n")[0]
        logger.warning("Replica %s of the projections is left out: %s", _number(alias), reason)
    _looks.pop(alias, None)
    _left_out_until[alias] = monotonic() + LEFT_OUT


def states() -> list[State]:
    """Of every replica what a look finds now, in the order of ``PROJECTIONS_REPLICA_URLS``."""
    _looks.clear()
    return [_state(alias) for alias in settings.PROJECTIONS_REPLICAS]


def forget() -> None:
    """Drop what this process knows of replicas."""
    _looks.clear()
    _left_out_until.clear()


def _state(alias: str) -> State:
    number = _number(alias)
    try:
        usable, primary = _is_usable(alias), _look("projections")
    except FAILURES:
        return State(number, UNKNOWN)
    if alias not in _looks:
        return State(number, UNREACHABLE)
    replica = _look(alias)
    if not usable:
        return State(number, replica.word_beside(primary))
    events = max(0, max(primary.positions.values(), default=0) - max(replica.positions.values(), default=0))
    return State(number, BEHIND if events else OK, replica.age if events else 0.0, events)


def _is_usable(alias: str) -> bool:
    if monotonic() < _left_out_until.get(alias, 0.0):
        return False
    primary = _look("projections")
    try:
        replica = _look(alias)
    except FAILURES as failure:
        leave_out(alias, failure)
        return False
    if _left_out_until.pop(alias, None):
        logger.info("Replica %s of the projections is read", _number(alias))
    return replica.word_beside(primary) == OK


def _look(alias: str) -> Look:
    """What a server said lately, or says now. Raises when it is away."""
    at, known = _looks.get(alias, (0.0, None))
    if known is None or monotonic() - at >= settings.PROJECTIONS_REPLICA_MAX_LAG_SECONDS:
        # the time before the answer: since then anything may have happened
        at = monotonic()
        row: Any = run(LOOK, [], alias).fetchone()
        database, in_recovery, age, names, positions = row
        known = Look(database, in_recovery, age, dict(zip(names or (), positions or (), strict=True)))
        _looks[alias] = at, known
    return known


def _number(alias: str) -> int:
    return settings.PROJECTIONS_REPLICAS.index(alias) + 1
