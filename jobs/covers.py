"""Fetching covers, on a queue of its own: pictures are large and never urgent."""

import logging
from contextlib import suppress

from celery import shared_task
from kombu.exceptions import OperationalError

from feeds import covers
from feeds.covers import Cover

logger = logging.getLogger(__name__)


@shared_task
def refresh(name: str) -> None:
    """Fetch the cover of this name, or look for a newer one. Never names its address in a log."""
    cover = covers.cover_of(name)
    if cover is None:  # SECRET_KEY has changed
        return
    code = covers.refresh(cover)
    if code not in ("ok", "not_modified"):
        logger.info("No cover: %s", code)


def ask_for(name: str, cover: Cover) -> None:
    """Have a cover fetched, unless somebody has lately. Nothing happens while Redis is away."""
    if covers.is_to_be_asked_for(cover):
        with suppress(OperationalError):
            refresh.delay(name)
