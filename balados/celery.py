"""The Celery application; tasks live in ``jobs``."""

import os
import resource
import warnings
from typing import Any

from celery import Celery
from celery.exceptions import CPendingDeprecationWarning
from celery.signals import setup_logging, worker_ready

from balados import readiness
from eventstore import counters

# `make run` works as root too; the advice is about tasks in pickle, and ours are JSON
warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")
FILES = 8192
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "balados.settings")
app = Celery("balados")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def keep_our_logging(**_: Any) -> None:
    """Celery would give its own loggers handlers that write whatever a task was given."""


@worker_ready.connect
def announce_worker(**_: Any) -> None:
    # what Celery 6 will do when Redis goes away; our tasks bear it either way. The worker itself has switched
    # these warnings on.
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)
    # each pump holds hundreds of sockets, and the usual limit is 1,024
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, FILES), most))
    counters.publish_in_background()
    readiness.announce("worker")
