"""Tells the workers which feeds somebody has begun to follow, while his answer is under way already.

A thread sends: Redis, slow or away, costs no request a millisecond. What is lost, the hour brings
(``jobs.feeds.reconcile``).
"""

import logging
import queue
import threading
from collections.abc import Iterable
from typing import Any, Final

from eventstore.domain.messages import Event
from eventstore.domain.subscriptions import UserSubscribed
from jobs.feeds import ensure

logger = logging.getLogger(__name__)

# feeds in a message
AT_ONCE: Final = 1_000
# What others log of a message must not name what somebody follows.
UNNAMED: Final[dict[str, Any]] = {"argsrepr": "(feeds)", "retry": False}
_waiting: "queue.Queue[list[str]]" = queue.Queue(maxsize=100)
_lock = threading.Lock()
_thread: threading.Thread | None = None


def announce(events: Iterable[Event]) -> None:
    """Have the feeds fetched that these events begin to follow. Never waits, never fails."""
    followed = list({event.rss_source_feed for event in events if isinstance(event, UserSubscribed)})
    if not followed:
        return
    _start()
    try:
        _waiting.put_nowait(followed)
    except queue.Full:
        logger.warning("Redis is away or slow: %s followed feeds are fetched an hour later", len(followed))


def _start() -> None:
    global _thread
    with _lock:
        if _thread is None or not _thread.is_alive():
            _thread = threading.Thread(target=_send_for_ever, name="announcing", daemon=True)
            _thread.start()


def _send_for_ever() -> None:
    while True:
        feeds = _waiting.get()
        for start in range(0, len(feeds), AT_ONCE):
            _send(feeds[start : start + AT_ONCE])


def _send(feeds: list[str]) -> None:
    try:
        ensure.apply_async((feeds,), **UNNAMED)
    except Exception as failure:
        logger.warning(
            "Redis: %s followed feeds are fetched an hour later (%s)", len(feeds), type(failure).__name__
        )
