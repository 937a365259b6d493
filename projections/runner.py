"""The process that keeps the read models up to date: ONE path for live, catching up and rebuild.

One follower of the global order feeds every projector whose lock this process holds. A projector that is far
behind, or meets an event that it cannot apply, continues in a thread of its own (catch_up.py) and comes back.
Nothing is kept that does not follow from the position: after any failure of a store everything is dropped and
started again, as after kill -9.
"""

import logging
import time
from collections.abc import Callable, Iterable

from eventstore import log, retention
from eventstore.follower import Follower
from projections import locks
from projections.batches import Batch
from projections.catch_up import NEAR, CatchUp
from projections.connect import LIVE_SESSION, Connection, connect
from projections.failures import in_maintenance, is_outage, suppress_outages
from projections.lag import check_log
from projections.listener import Listener
from projections.projectors import PROJECTORS
from projections.projectors.shape import Projector
from projections.worker import StalePosition, Worker, apply_together, flush, safe_positions

logger = logging.getLogger(__name__)

# Seconds between two looks: a tenth of the time since the last event, within these bounds. So frequent events
# are seen at once, and rare ones cost little (docs/performance-details.md, from append to projected).
SHORTEST_POLL = 0.0004
LONGEST_POLL = 0.005
POLL_SHARE = 1 / 10
# Seconds. Writers send at most one hint in 250 ms, so whoever was woken or had an event keeps polling for a
# while.
AWAKE = 1.0
# Above GATHER_ABOVE events per second, they are left to gather until there are GATHERED of them, or for
# LONGEST_GATHERING seconds: a transaction takes nearly the same time for thirty events as for one. A caller
# that waits for one of them is still heard (queries.wait_for).
GATHER_ABOVE = 300.0
GATHERED = 32
LONGEST_GATHERING = 0.05
# seconds, about, over which the rate is averaged
RATE_OVER = 0.3
# Seconds between two looks for free locks: with the server's own detection of a dead holder, another process
# takes over in under 5 s.
HOUSEKEEPING_EVERY = 1.0
ACKNOWLEDGE_EVERY = 1.0
SHORTEST_BACKOFF, LONGEST_BACKOFF = 0.1, 2.0
POSITIONS = 'SELECT projector, position FROM "users"."projector_positions" WHERE projector = ANY(%s)'


class Runner:
    """Runs projectors. Not to be shared between threads; ``close`` it at the end."""

    def __init__(self, projectors: Iterable[Projector] | None = None) -> None:
        chosen = PROJECTORS.values() if projectors is None else projectors
        self.projectors = {projector.name: projector for projector in chosen}
        self._held: set[str] = set()
        self._listener = Listener()
        self._connection: Connection | None = None
        self._follower: Follower | None = None
        self._live: dict[str, Worker] = {}
        self._late: list[CatchUp] = []
        self._acknowledged: dict[str, int] = {}
        self._housekept_at = self._acknowledged_at = float("-inf")
        self._one_by_one = False
        self._rate, self._counted_at = 0.0, time.monotonic()

    def run(self, stopped: Callable[[], bool], ready: Callable[[], None]) -> None:
        """Work until ``stopped``, also while stores are away.

        ``ready`` is called once, when each lock is held here or known to be held by another process.
        """
        backoff = SHORTEST_BACKOFF
        woken_at = float("-inf")
        is_ready = False
        while not stopped():
            try:
                moving = self.step()
                if not is_ready:
                    is_ready = True
                    ready()
                if backoff > SHORTEST_BACKOFF:
                    logger.warning("The stores are back")
                backoff = SHORTEST_BACKOFF
                if moving or self._rest(time.monotonic() - woken_at):
                    woken_at = time.monotonic()
            except Exception as failure:
                if not is_outage(failure):
                    raise
                reason = str(failure).strip().partition("\n")[0] if in_maintenance(failure) else failure
                if backoff == SHORTEST_BACKOFF:  # once for each outage
                    logger.warning("A store is away, trying again and again: %s", reason)
                self.disconnect()
                time.sleep(backoff)
                backoff = min(backoff * 2, LONGEST_BACKOFF)
        self.close()

    def step(self) -> bool:
        """Apply what there is, up to a batch; return False if there was nothing. Raises when a store is
        away."""
        self._housekeeping()
        follower = self._follower
        if follower is None:
            return False
        before = follower.position
        batch = Batch(follower.read(), follower.position)
        if batch.upto == before:
            return False
        self._apply_all(batch)
        self._gather(len(batch.events))
        return True

    def positions(self) -> dict[str, int]:
        """Return how far the projectors of the live loop have come."""
        return {name: worker.position for name, worker in self._live.items()}

    def close(self) -> None:
        """Release everything in order: stop late projectors, acknowledge, then disconnect, which frees the
        locks."""
        for late in self._late:
            late.stop()
        for late in self._late:
            late.join()
        with suppress_outages():
            self._acknowledge()
        self.disconnect()
        self._listener.close()

    def _gather(self, applied: int) -> None:
        """Let events gather for the next step if many are coming."""
        now = time.monotonic()
        passed = max(now - self._counted_at, 1e-6)
        self._rate += min(1.0, passed / RATE_OVER) * (applied / passed - self._rate)
        self._counted_at = now
        if self._rate > GATHER_ABOVE:
            self._listener.wait(min(GATHERED / self._rate, LONGEST_GATHERING))

    def _rest(self, quiet: float) -> bool:
        """Pause until it is worth looking again, after ``quiet`` seconds without events; return True for a
        hint."""
        if quiet < AWAKE:
            time.sleep(min(max(quiet * POLL_SHARE, SHORTEST_POLL), LONGEST_POLL))
            return False
        return self._listener.wait()

    def _housekeeping(self) -> None:
        """From time to time take free locks, let projectors that have caught up rejoin, and acknowledge."""
        now = time.monotonic()
        due = now - self._housekept_at >= HOUSEKEEPING_EVERY
        if due:
            self._housekept_at = now
            # this also shows that the session still exists, and with it the locks
            self._restart_moved()
            if free := self.projectors.keys() - self._held:
                taken = locks.take(self._session(), free)
                self._held |= taken
                self._go_live([self.projectors[name] for name in taken], fresh=True)
        for late in [late for late in self._late if not late.is_alive()]:
            self._rejoin(late, again=due)
        if now - self._acknowledged_at >= ACKNOWLEDGE_EVERY:
            self._acknowledged_at = now
            self._acknowledge()

    def _go_live(self, projectors: Iterable[Projector], *, fresh: bool = False) -> None:
        """Let projectors join the live loop at their saved positions; those too far behind catch up first.

        ``fresh``: this process has just taken their locks.
        """
        workers = [Worker(projector, self._session()) for projector in projectors]
        if workers:
            check_log()
        if workers and self._follower is None:
            self._follower = Follower(max(worker.position for worker in workers))
        for worker in workers:
            # a fresh process retries dead letters, because it may be the one with the fix
            if (fresh and worker.parked) or self._position() - worker.position > NEAR:
                self._begin_catch_up(worker.projector)
                continue
            self._live[worker.name] = worker
            if worker.position < self._position():
                missing = log.read_all(worker.position, NEAR, self._position())
                self._apply(worker, Batch(missing, self._position()))

    def _rejoin(self, late: CatchUp, *, again: bool) -> None:
        """Take back a projector whose thread has ended. ``again``: it is time to retry after an outage."""
        if late.failure is None or isinstance(late.failure, StalePosition):
            self._late.remove(late)
            self._go_live([late.projector])
        elif not is_outage(late.failure):
            raise late.failure
        elif again:
            logger.warning("%s cannot go on, trying again: %s", late.projector.name, late.failure)
            self._late.remove(late)
            self._begin_catch_up(late.projector)

    def _apply_all(self, batch: Batch) -> None:
        """Apply a batch for all projectors in one transaction; if that fails, for one after the other."""
        connection = self._session()
        apart = [worker for worker in self._live.values() if worker.parked or self._one_by_one]
        in_step = [worker for worker in self._live.values() if worker not in apart]
        try:
            apply_together(connection, in_step, batch)
        except Exception as failure:
            if connection.closed or in_maintenance(failure):
                raise
            logger.info("One by one before %s: %s", batch.upto, type(failure).__name__)
            apart += in_step
        for worker in apart:
            self._apply(worker, batch)
        self._one_by_one = False

    def _apply(self, worker: Worker, batch: Batch) -> None:
        try:
            worker.apply(batch)
        except StalePosition:
            self._restart(worker.projector)
        except Exception as failure:
            if worker.connection.closed or in_maintenance(failure):
                raise
            # the trouble is this projector's alone (an event, a missing column, a deadlock); only its class
            # is logged, because PostgreSQL's message has the failing row, and the dead letter keeps all of it
            logger.warning("%s stumbled before %s: %s", worker.name, batch.upto, type(failure).__name__)
            # it catches up in a thread of its own
            self._live.pop(worker.name, None)
            self._begin_catch_up(worker.projector)

    def _begin_catch_up(self, projector: Projector) -> None:
        self._late.append(late := CatchUp(projector, self._position))
        late.start()

    def _restart_moved(self) -> None:
        """Restart projectors whose position a rebuild or a reset has moved: otherwise only a batch would
        notice."""
        saved: dict[str, int] = dict(self._session().execute(POSITIONS, [list(self._live)]).fetchall())
        for worker in [each for each in self._live.values() if saved.get(each.name) != each.position]:
            self._restart(worker.projector)

    def _restart(self, projector: Projector) -> None:
        """Restart a projector from its saved position: a rebuild was swapped in, or an account erased.

        It cannot have been another process, because the session that writes is the one that holds the lock.
        """
        logger.info("The position of %s was moved by somebody else", projector.name)
        self._live.pop(projector.name, None)
        self._go_live([projector])

    def _acknowledge(self) -> None:
        """Tell the event store which events it may delete: those whose rows are on the disk here."""
        if self._connection is None or self.positions() == self._acknowledged:
            return
        positions = safe_positions(self._connection, list(self._live))
        if positions == self._acknowledged:
            return
        # what was read before the flush is on the disk after it
        flush(self._connection, list(self._live))
        try:
            retention.acknowledge(positions)
        except Exception as failure:
            # the events store takes no writes for now, but its events can still be read and applied
            if not in_maintenance(failure):
                raise
            return
        self._acknowledged = positions

    def _session(self) -> Connection:
        if self._connection is None:
            self._connection = connect("projections", "balados-projector", **LIVE_SESSION)
        return self._connection

    def _position(self) -> int:
        """Return how far the live loop has come: below that no event can appear any more."""
        return 0 if self._follower is None else self._follower.position

    def disconnect(self) -> None:
        """Drop everything, including locks. The next step starts from what is saved."""
        for late in self._late:
            late.stop()
        # the session may have ended because a batch took too long for all projectors in one transaction (a
        # checkpoint of 50,000 plays on a slow disk): one by one, there is no time limit
        self._one_by_one = True
        self._live.clear()
        self._late.clear()
        self._acknowledged.clear()
        self._follower = None
        self._held.clear()
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._housekept_at = float("-inf")
