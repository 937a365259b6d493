"""A worker: ``celery --app balados.worker worker``. One of them says ``--with-scheduler``."""

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
# `make run` works as root too; the advice is about tasks in pickle, and ours are JSON
warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")


class Scheduler(bootsteps.StartStopStep):
    """A thread that sends what the clock asks for (CELERY_BEAT_SCHEDULE).

    Celery's own ``--beat`` forks a process for it, and its thread wakes up every second.
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
        """Until ``stop``. What fails otherwise ends the worker in order: whoever keeps it starts it again."""
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
    """Celery would give its own loggers handlers that write whatever a task was given."""


@worker_ready.connect
def announce(**_: Any) -> None:
    # what Celery 6 will do when Redis goes away; our tasks bear it either way. The worker itself has switched
    # these warnings on.
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)
    # each pump holds hundreds of sockets, and the usual limit is 1,024
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, FILES), most))
    counters.publish_in_background()
    readiness.announce("worker")


@heartbeat_sent.connect
def go_on(**_: Any) -> None:
    readiness.refresh("worker")
