"""Has shows read that a listener's lists name and that nobody has read yet."""

import logging
from collections.abc import Sequence
from typing import Final

from celery import current_app

from accounts import attempts

logger = logging.getLogger(__name__)

# by its name: the layer of the jobs is above this one
TASK: Final = "jobs.feeds.ensure"
MOST: Final = 1_000


def request_unread(feeds: Sequence[str]) -> None:
    """Ask the workers for these feeds (normalised ``rss_source_feed``). Never fails; without Redis nothing is
    asked, and the next request does."""
    if not feeds or attempts.is_away():
        return
    try:
        # what others log of a message must not name what somebody follows
        current_app.send_task(TASK, (list(feeds[:MOST]),), argsrepr="(feeds)", retry=False)
    except Exception as failure:
        logger.warning("%s feeds are not asked for: %s", len(feeds), type(failure).__name__)
