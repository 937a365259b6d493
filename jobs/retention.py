"""The retention worker: takes checkpoints, recalculates popularity, and deletes what is too old. Only one run
at a time; it is safe to kill and to repeat.

Each of its five steps finds its own work in the stores, so the next run finds what a killed run has left.
Events are deleted only if they are covered by a checkpoint that every projector has passed.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

import msgspec
import redis
from django.conf import settings

from eventstore import codec, database, log, retention
from eventstore.dispatcher import Conflict, StreamErased, StreamUnreadable, dispatch
from eventstore.domain.checkpoint import IN_CHECKPOINT, NOT_STATE, PublicHistoryTrimmed, TakeCheckpoint
from eventstore.domain.messages import INSTANCE, Origin
from eventstore.domain.times import MAX_SKEW
from eventstore.failpoints import failpoint
from projections import deadletters, popularity
from projections.connect import connect
from projections.lag import check_log, wait_for_all
from projections.locks import try_lock, unlock
from projections.projectors import PROJECTORS
from projections.public import cut, has_older
from projections.worker import Worker

logger = logging.getLogger(__name__)
Step = TypeVar("Step")

LOCK = "worker"
# Redis key for what the last run did, for the metrics
LAST_RUN = "balados:worker:last"
# How many times longer the worker rests than it works, and old events per transaction: listeners' requests
# share its disk and cores (docs/performance-details.md has the figures).
REST = 3.0
CHUNK = 500
# Rows of public history that are trimmed per transaction of the projector: with a backlog of 300,000 at once,
# every fifth play took 80 ms for two seconds.
TRIMMED_AT_ONCE = 10_000
SAY_EVERY = 5.0  # seconds


class AlreadyRunning(Exception):
    """Another process is running the worker."""


class Run(msgspec.Struct):
    """What a run did. ``passed``: whether every projector caught up; if not, the next run deletes the rest.

    ``seconds``: the duration of each step, in order. ``oldest_event``: when the oldest remaining event was
    recorded.
    """

    started_at: datetime
    cutoff: datetime
    users_due: int = 0
    users_checkpointed: int = 0
    public_history_trimmed: bool = False
    figures_changed: int = 0
    events_deleted: int = 0
    passed: bool = True
    oldest_event: datetime | None = None
    seconds: dict[str, float] = {}
    finished_at: datetime | None = None


Say = Callable[[str], None]
Wait = Callable[[int], bool]


def run(
    cutoff: datetime | None = None,
    *,
    say: Say = logger.info,
    chunk: int = CHUNK,
    wait: Wait = wait_for_all,
) -> Run:
    """Process what was recorded before ``cutoff``, by default ``RETENTION_DAYS`` ago by the database's clock.

    ``wait`` waits for the projectors to pass a position, and returns whether they did. Raises
    ``AlreadyRunning`` at once, ``WrongStore`` for a log that is older than the read models, and the errors of
    a store that is unavailable.
    """
    with _alone():
        check_log()
        now = log.database_time()
        done = Run(now, cutoff or now - timedelta(days=settings.RETENTION_DAYS))
        _work(done, _sparingly(say), chunk, wait)
        done.oldest_event, done.finished_at = retention.oldest_event(), log.database_time()
        _publish(done)
    return done


def _work(done: Run, say: Say, chunk: int, wait: Wait) -> None:
    with _timed(done, "due"):
        old, grown = retention.users_to_checkpoint(done.cutoff), retention.users_with_checkpoint_due()
        users = list(dict.fromkeys([*old, *grown]))
        done.users_due = len(users)
    failpoint("due")
    with _timed(done, "checkpoint"):
        for number, user_id in _unhurried(enumerate(users, 1)):
            done.users_checkpointed += checkpoint(user_id, done.started_at, done.cutoff)
            say(f"checkpoints: {number:,} of {len(users):,}")
            failpoint("checkpointing" if number < len(users) else "checkpointed")
    with _timed(done, "project"):
        done.passed = wait(log.head())
    failpoint("projected")
    with _timed(done, "popularity"):
        # the events deleted below are about nothing later than this
        trimmed = list(_unhurried(_trims(done.cutoff + MAX_SKEW, wait)))
        done.public_history_trimmed = bool(trimmed)
        failpoint("trimmed")
        done.passed = done.passed and all(trimmed) and wait(log.head())
        if done.passed:
            done.figures_changed = popularity.recalculate()
            _close(done.cutoff)
    failpoint("recalculated")
    with _timed(done, "delete"):
        done.passed = done.passed and wait(log.head())
        done.events_deleted = _delete(done.cutoff, retention.acknowledged_by_all(PROJECTORS), chunk, say)
    logger.info(
        "Worker: %s of %s users checkpointed, %s figures changed, %s events deleted in %.1f s%s",
        done.users_checkpointed,
        done.users_due,
        done.figures_changed,
        done.events_deleted,
        sum(done.seconds.values()),
        "" if done.passed else "; projectors are behind, the rest next time",
    )


def checkpoint(user_id: UUID, now: datetime, before: datetime) -> bool:
    """Take a checkpoint of a user; False if the stream cannot be read now, grows too fast, or is gone."""
    command = TakeCheckpoint(user_id=user_id, now=now, before=before)
    try:
        dispatch(command, Origin())
    except (Conflict, StreamErased):
        return False
    except StreamUnreadable as error:
        logger.warning("No checkpoint of stream %s: %s", log.stream_of(user_id), error)
        return False
    retention.checkpoint_taken(log.stream_of(user_id))
    return True


def last_run() -> Run | None:
    """Return what the last run did, as it was stored in Redis. Raises ``redis.RedisError``."""
    with redis.Redis.from_url(settings.REDIS_URL) as connection:
        text = connection.get(LAST_RUN)
    return msgspec.json.decode(text, type=Run) if isinstance(text, bytes) else None


def _trims(cutoff: datetime, wait: Wait) -> Iterator[bool]:
    """Have the projectors delete what is too old to be shown, a limited number of rows at a time; yield each
    time whether they did."""
    before = None
    while before != cutoff and has_older(cutoff):
        step = cut(cutoff, TRIMMED_AT_ONCE)
        # The same time again means that nothing was trimmed. The cutoff by which events are deleted is
        # recorded in any case.
        before = cutoff if step == before else step
        position = log.append_to_instance([PublicHistoryTrimmed(before=before)])
        log.notify()
        yield wait(position)


def _close(cutoff: datetime) -> None:
    """Append an event that names no feed, because the last event of the stream is kept for as long as it is
    the last."""
    last = log.read_history(log.stream_of(INSTANCE), limit=1)
    if last and last[0].type == "PopularityRecalculated":
        log.append_to_instance([PublicHistoryTrimmed(before=cutoff)])


def _delete(cutoff: datetime, passed: int, chunk: int, say: Say) -> int:
    types = sorted(name for name, (cls, _) in codec.EVENTS.items() if cls in IN_CHECKPOINT | NOT_STATE)
    deleted = 0
    for reached, gone in _unhurried(retention.delete_covered(cutoff, passed, types, chunk)):
        deleted += gone
        failpoint("deleting")
        say(f"deleted {deleted:,} events, at position {reached:,}")
    failpoint("deleted")
    deleted += retention.delete_superseded(passed)
    _retry_letters()
    failpoint("finished")
    return deleted


def _retry_letters() -> None:
    """Retry dead letters, which removes those whose event is gone: their error texts may still reveal what it
    was."""
    with connect("projections", application_name="balados-worker") as connection:
        for worker in [Worker(projector, connection) for projector in PROJECTORS.values()]:
            if worker.parked:
                deadletters.retry(worker)


def _publish(done: Run) -> None:
    # the metrics can do without it, and the work is done
    with suppress(redis.RedisError), redis.Redis.from_url(settings.REDIS_URL) as connection:
        connection.set(LAST_RUN, msgspec.json.encode(done))


def _sparingly(say: Say) -> Say:
    """Wrap ``say`` so that it passes on at most one line every ``SAY_EVERY`` seconds."""
    last_at = time.monotonic()

    def sometimes(line: str) -> None:
        nonlocal last_at
        if time.monotonic() - last_at >= SAY_EVERY:
            last_at = time.monotonic()
            say(line)

    return sometimes


def _unhurried(steps: Iterable[Step]) -> Iterator[Step]:
    """Yield each step, and rest ``REST`` times as long as it took."""
    began = time.monotonic()
    for step in steps:
        yield step
        time.sleep(REST * (time.monotonic() - began))
        began = time.monotonic()


@contextmanager
def _alone() -> Iterator[None]:
    with connect(database.ALIAS, application_name="balados-worker") as connection:
        if not try_lock(connection, LOCK):
            raise AlreadyRunning
        yield
        # unlock now: the server ends the session only a moment later, and the next run may come before that
        unlock(connection, LOCK)


@contextmanager
def _timed(done: Run, step: str) -> Iterator[None]:
    started = time.monotonic()
    try:
        yield
    finally:
        done.seconds[step] = round(time.monotonic() - started, 3)
