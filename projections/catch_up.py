"""Applies events up to a position below which none can appear any more: for a late projector, or a
rebuild."""

import logging
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Thread

from django.db import connections

from eventstore import log
from eventstore.codec import CodecError
from projections import deadletters
from projections.batches import Batch
from projections.connect import PROJECTOR_SESSION, connect
from projections.failures import is_outage
from projections.projectors.shape import Projector
from projections.worker import StalePosition, Worker

logger = logging.getLogger(__name__)

# a projector at most this many positions behind the live loop joins it again: one batch of the loop
NEAR = 1_000
# events per transaction: 1.4 times the events per second of 1,000, and more gains nothing
AT_ONCE = 5_000
# seconds before each retry of a failing event (it may be a deadlock with an operator's statement, say)
PAUSES = (0.05, 0.2, 0.5)


def apply_until(
    workers: Sequence[Worker],
    upto: int,
    *,
    applied: Callable[[int], None] = lambda events: None,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Apply everything up to ``upto``, a position below which no event can appear any more.

    ``applied`` is called with the number of events after each batch; ``stopped`` is asked before each. An
    event that cannot be applied is parked. Raises ``StalePosition``, and errors of a store that is away.
    """
    with closing(_batches(workers, upto)) as batches:
        for batch in batches:
            if stopped():
                return
            for worker in workers:
                apply_or_park(worker, batch)
            applied(len(batch.events))


def apply_or_park(worker: Worker, batch: Batch) -> None:
    """Apply a batch; if that fails, halve it until each failing event is alone, and park those."""
    try:
        worker.apply(batch)
    except Exception as failure:
        if isinstance(failure, StalePosition) or is_outage(failure) or not batch.events:
            raise
        if len(batch.events) == 1:
            _try_again_or_park(worker, batch, failure)
        else:
            for half in batch.halves():
                apply_or_park(worker, half)


def _try_again_or_park(worker: Worker, batch: Batch, failure: Exception) -> None:
    # decoding is pure, so a retry would fail in the same way
    pauses = () if isinstance(failure, CodecError) else PAUSES
    for pause in pauses:
        time.sleep(pause)
        try:
            worker.apply(batch)
            return
        except Exception as again:
            if isinstance(again, StalePosition) or is_outage(again):
                raise
            failure = again
    worker.park(batch, failure, 1 + len(pauses))


def _batches(workers: Sequence[Worker], upto: int) -> Generator[Batch]:
    """Yield everything that the workers lack up to ``upto``, decoded.

    The next batch is read and decoded while the database works on this one: 1.5 times the events per second.
    """
    after = min(worker.position for worker in workers)
    nobody_wants = frozenset.intersection(*(worker.projector.ignores for worker in workers))

    def read(after: int) -> Batch:
        events = log.read_all(after, AT_ONCE, upto)
        batch = Batch(events, events[-1].position if len(events) == AT_ONCE else upto)
        batch.decode(events, besides=nobody_wants)
        return batch

    if after >= upto:
        return
    batch = read(after)
    if batch.upto == upto:
        yield batch
        return
    with ThreadPoolExecutor(1, "reading-ahead") as ahead:
        try:
            while batch.upto < upto:
                coming = ahead.submit(read, batch.upto)
                yield batch
                batch = coming.result()
            yield batch
        finally:
            ahead.submit(connections["events"].close)


class CatchUp(Thread):
    """A thread that brings one projector near the live loop, after retrying its dead letters.

    The other projectors do not wait for it. ``live`` returns the position of the live loop, below which no
    event can appear any more. The thread ends by itself; if it did not get there, ``failure`` says why.
    """

    def __init__(self, projector: Projector, live: Callable[[], int]) -> None:
        super().__init__(name=f"catch-up-{projector.name}", daemon=True)
        self.projector = projector
        self.failure: Exception | None = None
        self._live = live
        self._stopped = False

    def stop(self) -> None:
        """Ask the thread to end after the current batch."""
        self._stopped = True

    def run(self) -> None:
        try:
            name = f"balados-{self.name}"
            with connect("projections", application_name=name, **PROJECTOR_SESSION) as connection:
                self._work(Worker(self.projector, connection))
        except Exception as failure:
            self.failure = failure
        finally:
            connections.close_all()

    def _work(self, worker: Worker) -> None:
        logger.info("%s is at %s, catching up to %s", worker.name, worker.position, self._live())
        if worker.parked:
            retried = deadletters.retry(worker)
            logger.info("%s: %s dead letters applied, %s left", worker.name, *retried)
        # at least once: a projector that failed in the live loop is near, but has yet to pass the failing
        # event
        while not self._stopped:
            apply_until([worker], self._live(), stopped=lambda: self._stopped)
            if self._live() - worker.position <= NEAR:
                return
