"""The process that keeps the read models up to date: ONE path for live, late and rebuild.

One follower of the global order feeds every projector whose lock this process holds. A projector that is far
behind, or meets an event that it cannot apply, goes on in a thread of its own (late.py) and comes back.
Nothing is kept that the position does not say: after any failure of a store everything is dropped and
started anew, as after kill -9.
"""

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import groupby

from django.conf import settings
from psycopg.errors import TransactionTimeout

from eventstore import log, retention
from eventstore.follower import Follower
from projections import deadletters, layouts
from projections.batches import Batch
from projections.connect import OF_A_PROJECTOR, Connection, connect, discard
from projections.failures import in_maintenance, is_outage
from projections.holdings import Holdings, Unit
from projections.late import NEAR, Late
from projections.listener import Listener
from projections.projectors import PROJECTORS
from projections.projectors.shape import Projector
from projections.shards import Shard
from projections.worker import Moved, Worker, apply_together, flushed

logger = logging.getLogger(__name__)

# Seconds between two looks: a twentieth of the time since the last event, within these. So what comes often
# is seen at once, and what comes seldom costs little. Append to projected at 200/s: docs/performance.md.
SHORTEST_POLL = 0.0002
LONGEST_POLL = 0.005
POLL_SHARE = 1 / 20
# Writers send one hint in 250 ms at most, so whoever was woken or had an event polls on for a while.
AWAKE = 1.0
# Free locks are looked for so often: with the server's own notice of a dead holder under 5 s to take over.
TEND_EVERY = 1.0
# Seconds. A process that froze amid a transaction of the live loop holds its rows, and is not "idle in
# transaction": the statements go out in one piece, and the server waits for the rest of it. PostgreSQL 17 can
# end that. A batch that takes longer by itself (a checkpoint of 50,000 plays on a slow disk, a wait for an
# erasure) is given four times as long when it begins again, and so on, or it would begin again for ever.
LONGEST_TRANSACTION = 3.0
LONGER = 4
# Seconds until it is as before: batches that take long come in a row.
PATIENT = 60.0
ACKNOWLEDGE_EVERY = 1.0
LONGEST_BACKOFF = 2.0
MOVED = """
SELECT projector, shard, shards, position FROM "users"."projector_positions" WHERE projector = ANY(%s)
"""


class Runner:
    """Runs projectors. Not for sharing between threads; ``close`` it at the end.

    ``applied`` is called with projector (and shard) and position after each commit of the live loop.
    ``of``: into how many shards to divide each projector at the start, by default PROJECTOR_SHARDS; from then
    on the store tells, so that of several processes the last that was started decides.
    """

    def __init__(
        self,
        projectors: Iterable[Projector] | None = None,
        applied: Callable[[str, int], None] = lambda projector, position: None,
        of: int | None = None,
    ) -> None:
        chosen = PROJECTORS.values() if projectors is None else projectors
        self._projectors = {projector.name: projector for projector in chosen}
        self._applied = applied
        self._holdings = Holdings(self._projectors, settings.PROJECTOR_SHARDS if of is None else of)
        self._stopped: Callable[[], bool] = lambda: False
        self._listener = Listener()
        self._connection: Connection | None = None
        self._follower: Follower | None = None
        self._live: dict[str, Worker] = {}
        self._late: list[Late] = []
        self._acknowledged: dict[str, int] = {}
        self._tended_at = self._acknowledged_at = float("-inf")
        self._longest, self._patient_until = LONGEST_TRANSACTION, 0.0

    def run(self, stopped: Callable[[], bool], ready: Callable[[], None]) -> None:
        """Work until ``stopped``, whatever the stores do. ``ready`` is called once, when every lock is held
        or known to be held by another process.
        """
        self._stopped = stopped
        backoff = 0.1
        woken_at = float("-inf")
        is_ready = False
        while not stopped():
            try:
                moving = self.step()
                if not is_ready:
                    is_ready = True
                    ready()
                backoff = 0.1
                if self._longest != LONGEST_TRANSACTION and time.monotonic() > self._patient_until:
                    self._allow(LONGEST_TRANSACTION)
                if moving or self._rest(time.monotonic() - woken_at):
                    woken_at = time.monotonic()
            except Exception as failure:
                if not is_outage(failure):
                    raise
                said = str(failure).strip().partition("\n")[0] if in_maintenance(failure) else failure
                logger.warning("A store is away, trying again in %.1f s: %s", backoff, said)
                self._drop_everything()
                if isinstance(failure, TransactionTimeout):
                    self._allow(LONGER * self._longest)
                    self._patient_until = time.monotonic() + PATIENT
                time.sleep(backoff)
                backoff = min(backoff * 2, LONGEST_BACKOFF)
        self.close()

    def step(self) -> bool:
        """Apply what there is, up to a batch; false when there was nothing. Raises when a store is away."""
        self._tend()
        follower = self._follower
        if follower is None:
            return False
        before = follower.position
        batch = Batch(follower.read(), follower.position)
        if batch.upto == before:
            return False
        self._apply_all(batch)
        return True

    def run_until(self, position: int, seconds: float = 30.0) -> None:
        """Work until every projector has reached ``position``. Raises ``TimeoutError``."""
        deadline = time.monotonic() + seconds
        while not self._reached(position):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not at {position}: {self.positions()}")
            if not self.step():
                time.sleep(SHORTEST_POLL)

    def positions(self) -> dict[str, int]:
        """How far the projectors (and shards) of the live loop have come."""
        return {label: worker.position for label, worker in self._live.items()}

    def close(self) -> None:
        """Let go of everything, in order: late ones first, then a last word to the store, locks last."""
        for late in self._late:
            late.stop()
        for late in self._late:
            late.join()
        try:
            self._acknowledge()
        except Exception as failure:
            if not is_outage(failure):
                raise
        self._drop_everything()
        self._listener.close()

    def _rest(self, quiet: float) -> bool:
        """Pause until it is worth to look again, after ``quiet`` seconds of nothing; true for a hint."""
        if quiet < AWAKE:
            time.sleep(min(max(quiet * POLL_SHARE, SHORTEST_POLL), LONGEST_POLL))
            return False
        if self._listener.hinted():
            return True
        return self._listener.wait()

    def _tend(self) -> None:
        """What needs doing now and then: locks, projectors that come back, acknowledgements."""
        now = time.monotonic()
        due = now - self._tended_at >= TEND_EVERY
        if due:
            self._tended_at = now
            self._look_for_moves()
            busy = {unit.label for late in self._late for unit in late.units}
            gone, came = self._holdings.settle(busy, self._stopped)
            for label in gone:
                self._live.pop(label, None)
            self._admit(came, fresh=True)
        for late in [late for late in self._late if not late.is_alive()]:
            self._take_back(late, again=due)
        if now - self._acknowledged_at >= ACKNOWLEDGE_EVERY:
            self._acknowledged_at = now
            self._acknowledge()

    def _admit(self, units: Iterable[Unit], *, fresh: bool) -> None:
        """Let them join the live loop, or catch up first."""
        workers = [worker for unit in units if (worker := self._worker(unit)) is not None]
        if workers and self._follower is None:
            self._follower = Follower(max(worker.position for worker in workers))
        for of_one in _by_projector(
            # dead letters are tried again by a fresh process: it may be the one with the fix
            worker
            for worker in workers
            if (fresh and worker.parked) or self._position() - worker.position > NEAR
        ):
            self._fall_behind(of_one)
            workers = [worker for worker in workers if worker not in of_one]
        for worker in workers:
            self._live[worker.label] = worker
            if worker.position < self._position():
                missing = log.read_all(worker.position, NEAR, self._position())
                self._apply(worker, Batch(missing, self._position()))

    def _take_back(self, late: Late, *, again: bool) -> None:
        """After a thread has ended; ``again``: now is the time to retry what failed for no event's fault."""
        if late.failure is None:
            self._late.remove(late)
            self._admit(late.units, fresh=False)
        elif isinstance(late.failure, Moved):
            self._late.remove(late)
            for unit in late.units:
                self._lose(unit.label)
        elif not is_outage(late.failure):
            raise late.failure
        elif again:
            logger.warning("%s cannot go on, trying again: %s", late.units[0].projector.name, late.failure)
            self._late.remove(late)
            self._begin_late(late.units)

    def _apply_all(self, batch: Batch) -> None:
        """Together; where that fails, one by one, so that the trouble of one is not that of the others."""
        connection = self._connection
        if connection is None:
            return
        apart = [worker for worker in self._live.values() if worker.parked]
        together = [worker for worker in self._live.values() if not worker.parked]
        try:
            apply_together(connection, together, batch)
        except Exception as failure:
            if connection.closed or in_maintenance(failure):
                raise
            logger.info("One by one before %s: %s", batch.upto, type(failure).__name__)
            apart += together
        else:
            for worker in together:
                self._applied(worker.label, worker.position)
        for worker in apart:
            self._apply(worker, batch)

    def _apply(self, worker: Worker, batch: Batch) -> None:
        try:
            worker.apply(batch)
        except Moved:
            self._lose(worker.label)
        except Exception as failure:
            if worker.connection.closed or in_maintenance(failure):
                raise
            # its own trouble (an event, a missing column, a deadlock), and not that of the others
            # by name: PostgreSQL tells the row that failed along, and the dead letter keeps it all
            logger.warning("%s stumbled before %s: %s", worker.label, batch.upto, type(failure).__name__)
            self._fall_behind([worker])
        else:
            self._applied(worker.label, worker.position)

    def _fall_behind(self, workers: list[Worker]) -> None:
        """These, of one projector, go on in a thread of their own."""
        for worker in workers:
            self._live.pop(worker.label, None)
        self._begin_late([Unit(worker.projector, worker.shard) for worker in workers])

    def _begin_late(self, units: list[Unit]) -> None:
        self._late.append(late := Late(units, self._position))
        late.start()

    def _look_for_moves(self) -> None:
        """Whether a rebuild, a reset or another division has moved a position: where no event comes, no batch
        would notice.
        """
        if self._connection is None or not self._live:
            return
        rows = self._connection.execute(MOVED, [list({worker.name for worker in self._live.values()})])
        saved = {Shard(number, of).label(name): position for name, number, of, position in rows}
        for label in [label for label, worker in self._live.items() if saved.get(label) != worker.position]:
            self._lose(label)

    def _lose(self, label: str) -> None:
        """Somebody else saved a position: a rebuild was swapped in, the projector was shared out anew, or
        another process thinks it holds the lock. Start anew from what is saved, if the lock can be had.
        """
        logger.info("The position of %s was moved by somebody else", label)
        self._live.pop(label, None)
        self._holdings.release(label)
        self._tended_at = float("-inf")

    def _acknowledge(self) -> None:
        """Tell the event store what it may forget: only what is on the disk here."""
        positions = {label: self._safe(worker) for label, worker in self._live.items()}
        if self._connection is None or positions == self._acknowledged:
            return
        divided = sorted({worker.name for worker in self._live.values() if worker.shard.of > 1})
        # of all shards, those of other processes too: what is seen before the flush is on the disk after it
        told = layouts.settled(self._connection, divided) if divided else {}
        saved = flushed(self._connection, list(self._live.values()))
        for label, position in positions.items():
            # where it has just been divided by another process, that one tells
            if self._live[label].shard.of == 1 and label in saved:
                told[label] = min(position, saved[label])
        try:
            retention.acknowledge(told)
        except Exception as failure:
            # the events store takes no writes for now; what it has can be read and applied
            if not in_maintenance(failure):
                raise
            return
        # a process with another shard may have told less since, or still has to come here: tell it again
        if all(told.get(self._live[label].name, 0) >= position for label, position in positions.items()):
            self._acknowledged = positions

    def _safe(self, worker: Worker) -> int:
        """The position below which the projector needs no event any more."""
        waiting = deadletters.oldest(worker.connection, worker.name) if worker.parked else None
        return worker.position if waiting is None else waiting - 1

    def _worker(self, unit: Unit) -> Worker | None:
        """None where it was shared out in another way just now."""
        if self._connection is None:
            # what a crash of PostgreSQL takes back, rows and positions alike, is applied again: no waiting
            # for the disk, but before acknowledging
            self._connection = connect(
                "projections", "balados-projector", **OF_A_PROJECTOR, synchronous_commit="off"
            )
            self._allow(self._longest)
        with suppress(Moved):
            return Worker(unit.projector, self._connection, shard=unit.shard)
        self._lose(unit.label)
        return None

    def _allow(self, seconds: float) -> None:
        """How long a transaction may last."""
        self._longest = seconds
        if self._connection is not None and self._connection.info.server_version >= 170_000:
            self._connection.execute(f"SET transaction_timeout = {1000 * seconds:.0f}")

    def _position(self) -> int:
        """How far the live loop has come: below it no event can appear any more."""
        return 0 if self._follower is None else self._follower.position

    def _reached(self, position: int) -> bool:
        held = self._live.keys() == self._holdings.labels
        return held and min(self.positions().values(), default=position) >= position

    def _drop_everything(self) -> None:
        for late in self._late:
            late.stop()
        self._live.clear()
        self._late.clear()
        self._acknowledged.clear()
        self._follower = None
        self._holdings.close()
        discard(self._connection)
        self._connection = None
        self._tended_at = float("-inf")


def _by_projector(workers: Iterable[Worker]) -> list[list[Worker]]:
    found = sorted(workers, key=lambda worker: worker.name)
    return [list(of_one) for _, of_one in groupby(found, key=lambda worker: worker.name)]
