"""A projector that is far behind, or in trouble, in a thread of its own: the others do not wait for it."""

import logging
from collections.abc import Callable
from threading import Thread

from django.db import connections

from projections import deadletters
from projections.catchup import catch_up
from projections.connect import OF_A_PROJECTOR, connect
from projections.projectors.shape import Projector
from projections.worker import Worker

logger = logging.getLogger(__name__)
# how near, in positions, the live loop takes a projector back: one batch of its own
NEAR = 1_000


class Late(Thread):
    """Brings one projector near the live loop, retrying its dead letters first.

    ``live`` tells how far the live loop has come: below that no event can appear any more. Ends by itself;
    ``failure`` then says why, where it did not get there.
    """

    def __init__(self, projector: Projector, live: Callable[[], int]) -> None:
        super().__init__(name=f"late-{projector.name}", daemon=True)
        self.projector = projector
        self.failure: Exception | None = None
        self._live = live
        self._stopped = False

    def stop(self) -> None:
        """Ask it to end after the batch at hand."""
        self._stopped = True

    def run(self) -> None:
        try:
            name = f"balados-{self.name}"
            with connect("projections", application_name=name, **OF_A_PROJECTOR) as connection:
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
        # at least once: a projector in trouble is near, and what it stumbled over lies before it
        while not self._stopped:
            catch_up([worker], self._live(), stopped=lambda: self._stopped)
            if self._live() - worker.position <= NEAR:
                return
