"""Rebuilding read models from the events, beside the live ones, which are still read and updated.

A rebuild is a projector that is very late, writes to fresh tables and has a name of its own. When it has
reached the position of the live one, one transaction swaps tables, dead letters and position. Both lock the
row of the live position first in each of their transactions. So they need no other coordination, and the
process that runs the projectors does not have to know: if the rebuild was ahead, it merely finds its position
moved, and continues from there.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from psycopg.errors import DeadlockDetected, LockNotAvailable

from eventstore import log
from eventstore.follower import settled_head
from projections import shadows
from projections.catch_up import apply_until
from projections.connect import Connection, connect
from projections.locks import try_lock, unlock
from projections.projectors.shape import Projector
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
    """Another process is filling fresh tables of this projector."""


def rebuild(
    projectors: Sequence[Projector], progress: Callable[[int, int], None] = lambda done, total: None
) -> None:
    """Fill fresh tables from all events, then swap them in, projector by projector.

    Readers see the old rows until they see all of the new. ``progress`` is called as by ``fill``. Raises
    ``AlreadyRunning``, ``LockNotAvailable`` when readers hold a table for half a minute, ``TableChanged``
    when a migration ran meanwhile, and the errors of a store that is away; then nothing has changed.
    """
    with fresh_tables(projectors, "balados-rebuild") as workers:
        fill(workers, settled_head(), progress)
        for worker in workers:
            for table in worker.projector.tables:
                shadows.finish(worker.connection, table)
        for worker in workers:
            _swap_when_possible(worker)


@contextmanager
def fresh_tables(projectors: Sequence[Projector], application_name: str) -> Iterator[list[Worker]]:
    """Yield workers that fill empty tables of their own, which nobody reads; delete what is left of these at
    the end.

    What a killed process left is deleted first. Raises ``AlreadyRunning``.
    """
    # nothing counts before the swap, which flushes everything, so until then no commit waits for the disk
    with connect("projections", application_name, synchronous_commit="off") as connection:
        for projector in projectors:
            if not try_lock(connection, _name_beside(projector)):
                raise AlreadyRunning(projector.name)
        try:
            yield [_begin(connection, projector) for projector in projectors]
        finally:
            if not connection.closed:
                for projector in projectors:
                    _forget(connection, projector)
                    # the server ends the session a moment later, and the next rebuild may come sooner
                    unlock(connection, _name_beside(projector))


def fill(workers: Sequence[Worker], upto: int, progress: Callable[[int, int], None]) -> None:
    """Apply all events up to a position. ``progress`` gets the number of events applied, and of all
    events."""
    done, total = 0, log.count_events(upto)

    def applied(events: int) -> None:
        nonlocal done
        done = min(done + events, total)
        progress(done, total)

    apply_until_beside_erasures(workers, upto, applied)


def apply_until_beside_erasures(
    workers: Sequence[Worker], upto: int, applied: Callable[[int], None] = lambda events: None
) -> None:
    """Do what ``apply_until`` does, even while accounts are being erased."""
    while True:
        try:
            apply_until(workers, upto, applied=applied)
        except StalePosition:
            erased = [worker.refresh() for worker in workers]
            if not any(erased):
                raise
        else:
            return


def _name_beside(projector: Projector) -> str:
    """Return the name of a projector that fills shadows: for its lock, its position, its dead letters."""
    return f"{projector.name}__rebuild"


def _begin(connection: Connection, projector: Projector) -> Worker:
    _forget(connection, projector)
    for table in projector.tables:
        shadows.create(connection, table)
    return Worker(projector, connection, _name_beside(projector), shadows.shadows(projector.tables))


def _forget(connection: Connection, projector: Projector) -> None:
    with connection.transaction():
        # first, because an erasure, which deletes from the shadows that it finds, has locked these rows
        _run(connection, FORGET, projector)
        shadows.drop(connection, projector.tables)


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
            # the transaction was rolled back, and the worker's position with it
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
    # what the live projector has passed is safe to pass here; it waits for its row, and gets no further
    apply_until([worker], live)
    shadows.swap(connection, projector.tables)
    _run(connection, TAKE_OVER, projector)


def _run(connection: Connection, statements: str, projector: Projector) -> None:
    names = {"live": projector.name, "shadow": _name_beside(projector)}
    for statement in statements.split(";"):
        connection.execute(statement, names)
