"""The tasks of feeds: knowing them, refreshing them, putting right what was missed."""

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

# A few feeds are fetched at once, for whoever waits for them; those of a library one after the other: 200
# within twelve seconds, 10,000 within ten minutes, and never more at a time than their hosts bear.
STEP: Final = timedelta(milliseconds=60)
FEW: Final = 10

_stopping = threading.Event()


@worker_shutting_down.connect
def stop_pumps(**_: Any) -> None:
    """What they have claimed becomes due again: nobody need wait for it."""
    _stopping.set()


@shared_task
@stepping_aside
def ensure(feeds: list[str]) -> int:
    """Know the feeds of these names, which somebody has begun to follow. Returns how many were new."""
    spread = STEP * len(feeds) if len(feeds) > FEW else timedelta(0)
    new = store.ensure(feeds, timezone.now(), asked=True, spread=spread).new
    for feed_id in new[:FEW]:
        fetch_now.delay(feed_id)
    return len(new)


@shared_task
@stepping_aside
def fetch_now(feed_id: int, forced: bool = False) -> bool:
    """Fetch one feed that somebody waits for. Returns whether it was: not where its host is left alone, nor
    twice in five minutes unless ``forced``."""
    return pumping.fetch_now(feed_id, forced=forced, stop=_stopping.is_set) is not None


@shared_task
@stepping_aside
def pump(number: int) -> int | None:
    """Fetch what is due, for up to a minute. Leaves at once where the last run is still at it."""
    return pumping.run(number, settings.FEED_PUMPS, stop=_stopping.is_set)


@shared_task
@stepping_aside
def reconcile() -> None:
    """Every hour: what no message told, followers, and what nobody wants any more."""
    done = reconcile_feeds(timezone.now())
    logger.info(
        "Feeds: %s followed, %s of them unknown so far, %s not wanted any more, %s deleted",
        *(done.followed, done.unknown, done.unwanted, done.purged),
    )


@shared_task
@stepping_aside
def renew_hubs() -> None:
    """Every hour, with ``WEBSUB``: ask hubs to tell of new episodes, for the first time or again."""
    if settings.WEBSUB:
        done = hubs.renew(timezone.now())
        logger.info("Hubs: %s asked, %s agreed to look at it", done.asked, done.accepted)
