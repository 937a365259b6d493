"""Tasks that import what listeners have on other sync servers.

A message contains only the id of an import. Lost messages, and imports left by a worker that died, are found
once a minute.
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

# delay after a store was unavailable, or after an unexpected failure
AFTER_FAILURE: Final = timedelta(seconds=30)
_stopping = threading.Event()


@worker_shutting_down.connect
def stop_imports(**_: Any) -> None:
    """Stop; the next worker continues the imports where they were left."""
    _stopping.set()


@shared_task
@stepping_aside
def run(number: str) -> None:
    """Run one import. Returns at once if another worker has it, or it has ended."""
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
    """Once a minute: queue the imports that wait, and end those that take too long. Returns how many were
    queued."""
    now = timezone.now()
    if ended := ServerImport.objects.end_overdue(now):
        logger.warning("Imports: %s given up", ended)
    waiting = ServerImport.objects.waiting(now)
    for number in waiting:
        order(number)
    return len(waiting)


def order(number: UUID, wait: timedelta = timedelta(0)) -> None:
    """Queue an import for a worker. If Redis is unavailable, this happens within a minute of its return."""
    try:
        run.apply_async((str(number),), countdown=wait.total_seconds(), retry=False)
    except OperationalError as failure:
        logger.warning("Redis: an import waits (%s)", type(failure).__name__)
