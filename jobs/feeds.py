"""The tasks of feeds: knowing them, refreshing them, putting right what was missed."""

import logging
from datetime import timedelta
from typing import Final

from celery import shared_task
from django.utils import timezone

from feeds import store
from feeds.reconcile import reconcile as reconcile_feeds
from jobs.tasks import stepping_aside

logger = logging.getLogger(__name__)

# An import of a library is not fetched all at once.
SPREAD: Final = timedelta(minutes=10)


@shared_task
@stepping_aside
def ensure(feeds: list[str]) -> int:
    """Know the feeds of these names, which somebody has begun to follow. Returns how many were new."""
    spread = SPREAD if len(feeds) > 1 else timedelta(0)
    return len(store.ensure(feeds, timezone.now(), asked=True, spread=spread).new)


@shared_task
@stepping_aside
def reconcile() -> None:
    """Every hour: what no message told, followers, and what nobody wants any more."""
    done = reconcile_feeds(timezone.now())
    logger.info(
        "Feeds: %s followed, %s of them unknown so far, %s not wanted any more, %s deleted",
        *(done.followed, done.unknown, done.unwanted, done.purged),
    )
