"""Tells the workers which feeds somebody has followed, played or asked for, without delaying the request.

A background thread sends the messages, so that a slow or unavailable Redis does not slow down any request.
Lost messages are made up for within the hour (``jobs.feeds.reconcile``). Tasks are sent by name, so that no
web process loads the code that reads feeds.
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

# feeds per message
AT_ONCE: Final = 1_000
# What other software logs of a message must not name the feeds that somebody follows.
UNNAMED: Final[dict[str, Any]] = {"argsrepr": "(feeds)", "retry": False}
# Feeds of recently played, saved or shared episodes are remembered up to this number, so that each is
# announced only once.
MOST_ANNOUNCED: Final = 20_000
_announced: set[str] = set()
# names of feeds to register, or the id of one feed to fetch
_waiting: "queue.Queue[list[str] | int]" = queue.Queue(maxsize=100)
_lock = threading.Lock()
_thread: threading.Thread | None = None


def announce(events: Iterable[Event]) -> None:
    """Have the feeds of these events fetched: newly followed feeds, and those of episodes that were played,
    saved, shared or added to a playlist.

    The latter are included so that a known title does not reveal that somebody follows the feed as well.
    Never blocks, never fails.
    """
    followed, others = set(), set()
    for event in events:
        if isinstance(event, UserSubscribed):
            followed.add(event.rss_source_feed)
        elif isinstance(event, PlayRecorded | EpisodeSaved | EpisodeShared | PlaylistItemAdded):
            others.add(event.rss_source_feed)
    others -= _announced
    if len(_announced) > MOST_ANNOUNCED:
        _announced.clear()
    _announced.update(followed, others)
    want(followed | others)


def want(feeds: Iterable[str]) -> None:
    """Have these feeds registered and fetched, by their normalised ``rss_source_feed``. Never blocks, never
    fails."""
    if wanted := list(feeds):
        _put(wanted)


def refresh(feed_id: int) -> None:
    """Have a feed fetched now, because somebody is looking at it. Never blocks, never fails."""
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
            _announced.difference_update(what)
        name = type(failure).__name__
        logger.warning("Redis: feeds are fetched within the hour, and not at once (%s)", name)
