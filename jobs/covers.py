"""Fetches covers, on a queue of its own, because pictures are large and never urgent."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from celery import shared_task
from celery.signals import worker_shutting_down
from kombu.exceptions import OperationalError
from redis import RedisError

from feeds import cover_fetching, covers
from feeds.covers import Cover
from jobs.tasks import stepping_aside

logger = logging.getLogger(__name__)

_stopping = threading.Event()
# sends in a thread, so that nobody who looks at a page waits for Redis
_sender = ThreadPoolExecutor(max_workers=1, thread_name_prefix="covers")


@worker_shutting_down.connect
def stop_fetching(**_: Any) -> None:
    """Stop fetching; unfinished covers stay wanted, and the next worker fetches them."""
    _stopping.set()


@shared_task
@stepping_aside
def refresh_wanted() -> None:
    """Fetch the covers that are wanted. Returns at once if another run is active."""
    ended = cover_fetching.refresh_wanted(_stopping.is_set)
    if ended:
        logger.info("Covers: %s", ", ".join(f"{number} {code}" for code, number in ended.items()))


def ask_for(cover: Cover) -> None:
    """Have a cover fetched, unless it was asked for recently. Does nothing while Redis is unavailable."""
    if covers.is_to_be_asked_for(cover):
        _sender.submit(_send, cover.name)


def _send(name: str) -> None:
    try:
        cover_fetching.want(name)
        refresh_wanted.delay()
    except (RedisError, OperationalError) as failure:
        logger.warning("Redis: a cover is not asked for (%s)", type(failure).__name__)
