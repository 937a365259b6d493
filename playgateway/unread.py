"""Requests the first fetch of shows that a listener's lists name but that have never been fetched."""

import logging
from collections.abc import Sequence
from typing import Final

from celery import current_app

from accounts import attempts

logger = logging.getLogger(__name__)

# referred to by name, because the jobs are in a layer above this one
TASK: Final = "jobs.feeds.ensure"
MOST: Final = 1_000


def request_unread(feeds: Sequence[str]) -> None:
    """Ask the workers to fetch these feeds (normalised ``rss_source_feed``). Never fails: without Redis
    nothing is requested, and the next call tries again."""
    if not feeds or attempts.is_away():
        return
    try:
        # logs of messages must not reveal what somebody follows
        current_app.send_task(TASK, (list(feeds[:MOST]),), argsrepr="(feeds)", retry=False)
    except Exception as failure:
        logger.warning("%s feeds are not asked for: %s", len(feeds), type(failure).__name__)
