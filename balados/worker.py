"""The Celery worker: ``celery --app balados.worker worker``. One worker is started with
``--with-scheduler``."""

import logging
import os
import resource
import signal
import threading
import warnings
from typing import Any

from celery import bootsteps
from celery.beat import PersistentScheduler
from celery.exceptions import CPendingDeprecationWarning
from celery.signals import heartbeat_sent, setup_logging, worker_ready
from click import Option

from balados import readiness
from balados.celery import app
from eventstore import counters

logger = logging.getLogger(__name__)
FILES = 8192
# The warning is about pickled tasks, while ours are JSON; and `make run` may run as root.
warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")


class Scheduler(bootsteps.StartStopStep):
    """A thread that sends the periodic tasks (CELERY_BEAT_SCHEDULE).

    Celery's own ``--beat`` forks a process for it, whose thread wakes up every second.
    """

    def __init__(self, worker: Any, with_scheduler: bool = False, **options: Any) -> None:
        self.enabled = with_scheduler
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scheduler", daemon=True)
        super().__init__(worker, **options)

    def start(self, worker: Any) -> None:
        self._thread.start()

    def stop(self, worker: Any) -> None:
        self._stopped.set()
        self._thread.join(5.0)

    def terminate(self, worker: Any) -> None:
        self.stop(worker)

    def _run(self) -> None:
        """Run until ``stop``. Any failure ends the worker in order, and its supervisor restarts it."""
        try:
            scheduler = PersistentScheduler(app=app, schedule_filename=app.conf.beat_schedule_filename)
            while not self._stopped.wait(scheduler.tick()):
                pass
            scheduler.close()
        except Exception:
            logger.exception("The scheduler failed: this worker ends")
            os.kill(os.getpid(), signal.SIGTERM)


app.steps["worker"].add(Scheduler)
app.user_options["worker"].add(
    Option(["--with-scheduler"], is_flag=True, help="Also send the periodic tasks: one worker is to.")
)


@setup_logging.connect
def keep_our_logging(**_: Any) -> None:
    """Keep Celery from giving its own loggers handlers, which would log the arguments of tasks."""


@worker_ready.connect
def announce(**_: Any) -> None:
    # The warning announces what Celery 6 will do when Redis is unavailable; our tasks work either way. It has
    # to be silenced here because the worker itself switches these warnings on.
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)
    # each pump holds hundreds of sockets, and the usual limit is 1,024
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, FILES), most))
    counters.publish_in_background()
    readiness.announce("worker")


@heartbeat_sent.connect
def go_on(**_: Any) -> None:
    readiness.refresh("worker")
