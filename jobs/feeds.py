"""Tasks for feeds: registering them, refreshing them, and making up for what was missed."""

import logging
import threading
from datetime import timedelta
from typing import Any, Final

from celery import shared_task
from celery.signals import worker_shutting_down
from django.conf import settings
from django.utils import timezone

from feeds import hubs, store
from feeds import pump as pumping
from feeds.reconcile import reconcile as reconcile_feeds
from jobs.tasks import stepping_aside

logger = logging.getLogger(__name__)

# A few feeds are fetched at once, because somebody waits for them; those of a whole library are spread out:
# 200 over twelve seconds, 10,000 over ten minutes, and never more at a time than their hosts can bear.
STEP: Final = timedelta(milliseconds=60)
FEW: Final = 10

_stopping = threading.Event()


@worker_shutting_down.connect
def stop_pumps(**_: Any) -> None:
    """Stop fetching; feeds that are claimed become due again, so that nobody needs to wait for them."""
    _stopping.set()


@shared_task
@stepping_aside
def ensure(feeds: list[str]) -> int:
    """Register the feeds with these names, which somebody has begun to follow. Returns how many were new."""
    spread = STEP * len(feeds) if len(feeds) > FEW else timedelta(0)
    new = store.ensure(feeds, timezone.now(), asked=True, spread=spread).new
    for feed_id in new[:FEW]:
        fetch_now.delay(feed_id)
    return len(new)


@shared_task
@stepping_aside
def fetch_now(feed_id: int, forced: bool = False) -> bool:
    """Fetch one feed that somebody waits for. Returns whether it was fetched.

    It is not fetched while its host must not be asked, nor twice within five minutes unless ``forced``.
    """
    return pumping.fetch_now(feed_id, forced=forced, stop=_stopping.is_set) is not None


@shared_task
@stepping_aside
def pump(number: int) -> int | None:
    """Fetch feeds that are due, for some minutes. Returns at once if the previous run is still active."""
    return pumping.run(number, settings.FEED_PUMPS, stop=_stopping.is_set)


@shared_task
@stepping_aside
def reconcile() -> None:
    """Every hour: register feeds whose messages were lost, count followers, and retire feeds that nobody
    wants any more."""
    done = reconcile_feeds(timezone.now())
    logger.info(
        "Feeds: %s followed, %s of them unknown so far, %s not wanted any more, %s deleted",
        *(done.followed, done.unknown, done.unwanted, done.purged),
    )


@shared_task
@stepping_aside
def renew_hubs() -> None:
    """Every hour, with ``WEBSUB``: ask hubs to announce new episodes, for the first time or again."""
    if settings.WEBSUB:
        done = hubs.renew(timezone.now())
        logger.info("Hubs: %s asked, %s agreed to look at it", done.asked, done.accepted)
