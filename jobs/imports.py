"""The tasks that bring along what listeners have on other sync servers.

A message holds the number of an import alone. What is lost of them, and what a worker that died has left, is
found once a minute.
"""

import logging
import threading
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from celery import shared_task
from celery.signals import worker_shutting_down
from django.utils import timezone
from kombu.exceptions import OperationalError

from accounts.import_models import ServerImport
from feeds.imports.work import work
from jobs.announcing import announce
from jobs.tasks import stepping_aside

logger = logging.getLogger(__name__)

# where a store was away, or something failed that nobody expected
AFTER_FAILURE: Final = timedelta(seconds=30)
_stopping = threading.Event()


@worker_shutting_down.connect
def stop_imports(**_: Any) -> None:
    """They go on in the next worker, where they were left."""
    _stopping.set()


@shared_task
@stepping_aside
def run(number: str) -> None:
    """Bring along what one import is about. Leaves at once where another worker has it, or it has ended."""
    row = ServerImport.objects.claim(UUID(number), timezone.now())
    if row is None:
        return
    try:
        wait = work(row, row.secret, timezone.now, announce, lambda _: _stopping.is_set())
    except Exception:
        with suppress(Exception):
            row.put_off(timezone.now() + AFTER_FAILURE)
        raise
    if wait is not None:
        order(row.pk, wait)


@shared_task
@stepping_aside
def resume() -> int:
    """Once a minute: take up what waits, end what takes too long. Returns how many are taken up."""
    now = timezone.now()
    if ended := ServerImport.objects.end_overdue(now):
        logger.warning("Imports: %s given up", ended)
    waiting = ServerImport.objects.waiting(now)
    for number in waiting:
        order(number)
    return len(waiting)


def order(number: UUID, wait: timedelta = timedelta(0)) -> None:
    """Have a worker do it. Where Redis is away, that is within a minute of its coming back."""
    try:
        run.apply_async((str(number),), countdown=wait.total_seconds(), retry=False)
    except OperationalError as failure:
        logger.warning("Redis: an import waits (%s)", type(failure).__name__)
