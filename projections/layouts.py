"""How each projector is shared out, and changing it while several processes are at work.

The rows of ``users.projector_positions`` are the truth: all rows of a projector say into how many shards it
is divided, and whoever applies events asks for that number with the position. So a change needs nobody's
consent. One transaction locks the rows, brings every shard to one position and writes the new rows: it is
either before or after everything that any process saves, and a process that still thinks of the old shards
finds its row gone, as it finds its position moved after a rebuild.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from projections import deadletters
from projections.catchup import catch_up
from projections.connect import Connection
from projections.deadletters import Retried
from projections.locks import try_lock, unlock
from projections.projectors.shape import Projector
from projections.shards import Shard, shards
from projections.worker import Moved, Worker

logger = logging.getLogger(__name__)

LAYOUTS = 'SELECT projector, max(shards) FROM "users"."projector_positions" GROUP BY projector'
# Two that begin at once must not both find nothing; whoever writes a row waits for the blink of an eye.
ALONE = 'LOCK TABLE "users"."projector_positions" IN SHARE ROW EXCLUSIVE MODE'
CREATE = """
INSERT INTO "users"."projector_positions" (projector, shard, shards, position, parked)
SELECT %(name)s, number, %(of)s, 0, false FROM generate_series(0, %(of)s - 1) AS number
 WHERE NOT EXISTS (SELECT FROM "users"."projector_positions" WHERE projector = %(name)s)
"""
HOLD = """
SELECT shard, shards, position, epoch FROM "users"."projector_positions" WHERE projector = %s
 ORDER BY shard FOR UPDATE
"""
FORGET = 'DELETE FROM "users"."projector_positions" WHERE projector = %s'
WRITE = """
INSERT INTO "users"."projector_positions" (projector, shard, shards, position, epoch, parked, updated_at)
SELECT %(name)s, number, %(of)s, %(position)s, %(epoch)s,
       EXISTS (SELECT FROM "users"."dead_letters" letter
                WHERE letter.projector = %(name)s AND mod(letter.stream, %(of)s) = number),
       clock_timestamp()
  FROM generate_series(0, %(of)s - 1) AS number
"""
# What every shard of these has applied or need not ask for: their letters hold it back.
SETTLED = """
SELECT reached.projector, least(reached.position, min(letter.position) - 1)
  FROM (SELECT projector, min(position) AS position FROM "users"."projector_positions"
         WHERE projector = ANY(%s) GROUP BY projector) AS reached
  LEFT JOIN "users"."dead_letters" letter USING (projector)
 GROUP BY reached.projector, reached.position
"""
# Shards further apart than this come nearer before the change: it holds up all of them.
APART = 1_000
PAUSE = 0.1
ATTEMPTS = 20


class Held(NamedTuple):
    """A row of a projector that is locked until the end of the transaction."""

    shard: Shard
    position: int
    epoch: int


def layouts(connection: Connection) -> dict[str, int]:
    """Into how many shards each projector that ever ran is divided."""
    return {str(name): int(of) for name, of in connection.execute(LAYOUTS)}


def hold(connection: Connection, name: str) -> list[Held]:
    """Lock all rows of a projector, so that none of its shards gets any further before the transaction ends.

    Raises ``Moved`` where there are none, or others change them all the time.
    """
    for _ in range(ATTEMPTS):
        rows = connection.execute(HOLD, [name]).fetchall()
        # a change of the layout while we waited for its rows: they are gone, the new ones not seen yet
        if rows and len(rows) == rows[0][1]:
            return [Held(Shard(number, of), position, epoch) for number, of, position, epoch in rows]
    raise Moved(name)


def lay_out(
    connection: Connection,
    projector: Projector,
    of: int,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Divide a projector into so many shards, where it is not; all of them go on from one position.

    May run beside processes that work on the old shards. Of two that want it differently at once the last
    has its way: neither insists. Raises the errors of a store that is away; then nothing has changed, or all.
    """
    name = projector.name
    with connection.transaction():
        if name not in layouts(connection):
            connection.execute(ALONE)
            connection.execute(CREATE, {"name": name, "of": of})
    while (now := layouts(connection).get(name, of)) != of and not stopped():
        with suppress(Moved):  # somebody else changes it: look again
            if not _drawn_level(connection, projector, now, stopped):
                continue
            with connection.transaction():
                _divide(connection, projector, of)
            return


def _divide(connection: Connection, projector: Projector, of: int) -> None:
    connection.execute("SET LOCAL synchronous_commit = on")
    rows = hold(connection, projector.name)
    if len(rows) == of:
        return
    # what one shard has passed, all others may pass
    position = max(row.position for row in rows)
    catch_up([Worker(projector, connection, shard=row.shard) for row in rows], position)
    connection.execute(FORGET, [projector.name])
    epoch = max(row.epoch for row in rows)
    values = {"name": projector.name, "of": of, "position": position, "epoch": epoch}
    connection.execute(WRITE, values)
    logger.warning("%s was divided into %s, now into %s, from %s on", projector.name, len(rows), of, position)


def _drawn_level(connection: Connection, projector: Projector, of: int, stopped: Callable[[], bool]) -> bool:
    """Wait until no shard is far behind the first; those that nobody works on are brought forward here.
    False when stopped before.
    """
    while not stopped():
        workers = [Worker(projector, connection, shard=shard) for shard in shards(of)]
        first = max(worker.position for worker in workers)
        late = [worker for worker in workers if first - worker.position > APART]
        if not late:
            return True
        for worker in late:
            if not try_lock(connection, worker.label):
                continue
            try:
                worker.refresh()
                catch_up([worker], first, stopped=stopped)
            finally:
                unlock(connection, worker.label)
        time.sleep(PAUSE)
    return False


def settled(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """How far every shard of these projectors has come for good, once what is seen now is on the disk."""
    return {str(name): int(position) for name, position in connection.execute(SETTLED, [names])}


def workers(projector: Projector, connection: Connection) -> list[Worker]:
    """A worker for each shard there is. Raises ``Moved`` where that changes meanwhile."""
    of = layouts(connection).get(projector.name, 1)
    return [Worker(projector, connection, shard=shard) for shard in shards(of)]


def retry_letters(
    projector: Projector, connection: Connection, chosen: Iterable[int] | None = None
) -> Retried:
    """``deadletters.retry`` for all shards of a projector, of these streams or of all."""
    streams = None if chosen is None else set(chosen)
    for _ in range(ATTEMPTS):
        with suppress(Moved):  # shared out anew meanwhile: what was applied stays applied
            results = [
                deadletters.retry(
                    worker, None if streams is None else [each for each in streams if worker.shard.has(each)]
                )
                for worker in workers(projector, connection)
            ]
            return Retried(sum(each.applied for each in results), sum(each.left for each in results))
    raise Moved(projector.name)
