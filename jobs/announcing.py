"""Tells the workers which feeds somebody follows, plays or asks for, while his answer is under way already.

A thread sends: Redis, slow or away, costs no request a millisecond. What is lost, the hour brings
(``jobs.feeds.reconcile``). Tasks go by their names, so that no web process loads what reads feeds.
"""

import logging
import queue
import threading
from collections.abc import Iterable
from typing import Any, Final

from eventstore.domain.messages import Event
from eventstore.domain.playlists import PlaylistItemAdded
from eventstore.domain.plays import PlayRecorded
from eventstore.domain.saved import EpisodeSaved, EpisodeShared
from eventstore.domain.subscriptions import UserSubscribed
from jobs import celery_app

logger = logging.getLogger(__name__)

# feeds in a message
AT_ONCE: Final = 1_000
# What others log of a message must not name what somebody follows.
UNNAMED: Final[dict[str, Any]] = {"argsrepr": "(feeds)", "retry": False}
# names of feeds to know, or the id of one to fetch
# Feeds of episodes that were played, saved or shared lately: each of them is told once.
MOST_TOLD: Final = 20_000
_told: set[str] = set()
_waiting: "queue.Queue[list[str] | int]" = queue.Queue(maxsize=100)
_lock = threading.Lock()
_thread: threading.Thread | None = None


def announce(events: Iterable[Event]) -> None:
    """Have the feeds fetched that these events begin to follow, or of which they play, save or share an
    episode or put it into a playlist: whether a title is known must not tell that somebody follows it as
    well. Never waits, never fails."""
    followed, others = set(), set()
    for event in events:
        if isinstance(event, UserSubscribed):
            followed.add(event.rss_source_feed)
        elif isinstance(event, PlayRecorded | EpisodeSaved | EpisodeShared | PlaylistItemAdded):
            others.add(event.rss_source_feed)
    others -= _told
    if len(_told) > MOST_TOLD:
        _told.clear()
    _told.update(followed, others)
    want(followed | others)


def want(feeds: Iterable[str]) -> None:
    """Have these feeds known and fetched, named by their normalised ``rss_source_feed``. Never waits, never
    fails."""
    if wanted := list(feeds):
        _put(wanted)


def refresh(feed_id: int) -> None:
    """Have a feed fetched now, for somebody who looks at it. Never waits, never fails."""
    _put(feed_id)


def _put(what: list[str] | int) -> None:
    _start()
    try:
        _waiting.put_nowait(what)
    except queue.Full:
        logger.warning("Redis is away or slow: feeds are fetched within the hour, and not at once")


def _start() -> None:
    global _thread
    with _lock:
        if _thread is None or not _thread.is_alive():
            _thread = threading.Thread(target=_send_for_ever, name="announcing", daemon=True)
            _thread.start()


def _send_for_ever() -> None:
    while True:
        what = _waiting.get()
        if isinstance(what, int):
            _send("jobs.feeds.fetch_now", what)
            continue
        for start in range(0, len(what), AT_ONCE):
            _send("jobs.feeds.ensure", what[start : start + AT_ONCE])


def _send(task: str, what: list[str] | int) -> None:
    try:
        celery_app.send_task(task, [what], **UNNAMED)
    except Exception as failure:
        if isinstance(what, list):
            _told.difference_update(what)
        name = type(failure).__name__
        logger.warning("Redis: feeds are fetched within the hour, and not at once (%s)", name)
