"""Building read models anew from the events, beside the live ones, which go on being read and updated.

A rebuild is a projector that is very late, writes to fresh tables and has a name of its own. When it has
come as far as the live one, one transaction swaps tables, dead letters and position. Both meet at the row of
the live position, which each transaction of a projector locks first: so they need no other arrangement, and
the process that runs the projectors goes on without knowing. It merely finds its position moved, where the
rebuild was ahead, and starts from there.
"""

import time
from collections.abc import Callable, Sequence

from psycopg.errors import DeadlockDetected, LockNotAvailable

from eventstore import log
from eventstore.follower import settled_head
from projections import shadows
from projections.catch_up import apply_until
from projections.connect import Connection, connect
from projections.locks import try_lock, unlock
from projections.projectors.shape import Projector
from projections.shadows import Use
from projections.worker import StalePosition, Worker, load

SWAP_ATTEMPTS = 60
PAUSE = 0.5

TAKE_OVER = """
DELETE FROM "users"."dead_letters" WHERE projector = %(live)s;
UPDATE "users"."dead_letters" SET projector = %(live)s WHERE projector = %(shadow)s;
UPDATE "users"."projector_positions" live
   SET position = shadow.position, parked = shadow.parked, updated_at = clock_timestamp()
  FROM "users"."projector_positions" shadow WHERE live.projector = %(live)s AND shadow.projector = %(shadow)s;
DELETE FROM "users"."projector_positions" WHERE projector = %(shadow)s
"""
FORGET = """
DELETE FROM "users"."dead_letters" WHERE projector = %(shadow)s;
DELETE FROM "users"."projector_positions" WHERE projector = %(shadow)s
"""


class AlreadyRunning(Exception):
    """Another process rebuilds this projector."""


def rebuild(
    projectors: Sequence[Projector], progress: Callable[[int, int], None] = lambda position, head: None
) -> None:
    """Fill fresh tables from all events, then swap them in, projector by projector.

    Readers see the old rows until they see all of the new. ``progress`` is called with the position reached
    and the one to reach, less those that restores have left out. Raises ``AlreadyRunning``,
    ``LockNotAvailable`` when readers hold a table for half a minute, ``TableChanged`` when a migration ran
    meanwhile, and the errors of a store that is away; then nothing has changed. What a killed rebuild leaves,
    the next one removes.
    """
    # nothing counts before the swap, which flushes all: no waiting for the disk until then
    with connect("projections", synchronous_commit="off", application_name="balados-rebuild") as connection:
        for projector in projectors:
            if not try_lock(connection, name_beside(projector)):
                raise AlreadyRunning(projector.name)
        try:
            workers = [begin(connection, projector) for projector in projectors]
            head = settled_head()
            leaps = log.position_gaps()
            apply_until_beside_erasures(
                workers, head, lambda position: progress(less(leaps, position), less(leaps, head))
            )
            for worker in workers:
                for table in worker.projector.tables:
                    shadows.finish(connection, table)
            for worker in workers:
                _swap_when_possible(worker)
        finally:
            if not connection.closed:
                for projector in projectors:
                    forget(connection, projector)
                    # the server ends the session a moment later, and the next rebuild may come before that
                    unlock(connection, name_beside(projector))


def less(leaps: Sequence[tuple[int, int]], position: int) -> int:
    """A position without those below it that can be no event's (``leaps``: of ``log.position_gaps``)."""
    return position - sum(min(position, last) - first for first, last in leaps if position > first)


def name_beside(projector: Projector, use: Use = "rebuild") -> str:
    """What a projector is called that fills shadows: its lock, its position, its dead letters."""
    return f"{projector.name}__{use}"


def begin(connection: Connection, projector: Projector, use: Use = "rebuild") -> Worker:
    """A worker that fills empty shadows from the first event on; what a killed one left goes before."""
    forget(connection, projector, use)
    for table in projector.tables:
        shadows.create(connection, table, use)
    return Worker(projector, connection, name_beside(projector, use), shadows.shadows(projector.tables, use))


def forget(connection: Connection, projector: Projector, use: Use = "rebuild") -> None:
    """Remove the shadows of a projector, their position and dead letters."""
    shadows.drop(connection, projector.tables, use)
    _run(connection, FORGET, projector, use)


def apply_until_beside_erasures(
    workers: Sequence[Worker], upto: int, reached: Callable[[int], None] = lambda position: None
) -> None:
    """``apply_until``, also while accounts are erased."""
    while True:
        try:
            apply_until(workers, upto, reached=reached)
        except StalePosition:
            erased = [worker.refresh() for worker in workers]
            if not any(erased):
                raise
        else:
            return


def _swap_when_possible(worker: Worker) -> None:
    for attempt in range(SWAP_ATTEMPTS):
        apply_until_beside_erasures([worker], settled_head())
        try:
            with worker.connection.transaction():
                _swap(worker)
        except StalePosition:
            if not worker.refresh():
                raise
        except (LockNotAvailable, DeadlockDetected):  # readers at work
            if attempt == SWAP_ATTEMPTS - 1:
                raise
            # undone with the transaction
            worker.refresh()
            time.sleep(PAUSE)
        else:
            return


def _swap(worker: Worker) -> None:
    connection, projector = worker.connection, worker.projector
    connection.execute("SET LOCAL synchronous_commit = on")
    load(connection, projector.name)
    ((live,),) = connection.execute(
        'SELECT position FROM "users"."projector_positions" WHERE projector = %s FOR UPDATE', [projector.name]
    )
    # what the live one has passed, this one may pass; it waits now, and gets no further
    apply_until([worker], live)
    shadows.swap(connection, projector.tables)
    _run(connection, TAKE_OVER, projector)


def _run(connection: Connection, statements: str, projector: Projector, use: Use = "rebuild") -> None:
    names = {"live": projector.name, "shadow": name_beside(projector, use)}
    for statement in statements.split(";"):
        connection.execute(statement, names)
