"""The state of the instance at a glance, for the first page of the administration.

Whatever is away takes one line that says so; nothing here waits long for it.
"""

import platform
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

import django
import msgspec
import redis
from celery import current_app
from django.conf import settings
from django.utils.timesince import timesince

from feeds.figures import figures
from jobs.retention import Run, last_run
from operations import maintenance
from operations.stores import SCHEMAS, connect, has_room, place_of
from projections import lag, locks
from projections.connect import connect as connect_projections
from projections.failures import suppress_outages, unless_away
from projections.projectors import PROJECTORS

# the worker runs every five minutes: if it has not run for twice that and a minute, something is wrong
WORKER_RUNS_WITHIN: Final = timedelta(minutes=11)
WORKER_ANSWERS_WITHIN: Final = 0.5  # seconds
LAG_SECONDS: Final = 60.0
FEEDS_OVERDUE: Final = 15 * 60.0  # seconds
LITTLE_SPACE: Final = 0.1
SHORT_OF_SPACE: Final = 0.03
Level = Literal["good", "warn", "bad"]


class StatusLine(NamedTuple):
    """One thing that is well or not. ``path`` leads to the page with more about it."""

    name: str
    level: Level
    text: str
    path: str = ""


def report(now: datetime) -> dict[str, list[StatusLine]]:
    """Return the lines under their headings: what answers, what it is doing, which versions are installed."""
    return {
        "Programs": [*_unless_away("Projectors", projectors), *_worker(now)],
        "Stores": [*stores(), _disk()],
        "Feeds": [*_unless_away("Feeds", lambda: feeds(now))],
        "Versions": list(versions()),
    }


def projectors() -> Iterator[StatusLine]:
    """Whether each projector runs somewhere, how far behind they are, and what they could not apply."""
    with connect_projections("projections") as connection:
        running = locks.held(connection, PROJECTORS)
    missing = sorted(PROJECTORS.keys() - running)
    if missing:
        yield StatusLine("Projectors", "bad", f"Not running: {', '.join(missing)}.")
    else:
        yield StatusLine("Projectors", "good", f"All {len(PROJECTORS)} are running.")
    furthest = max(lag.lags(), key=lambda each: each.seconds)
    level: Level = "good" if furthest.seconds < LAG_SECONDS else "warn"
    text = f"{furthest.projector} is {furthest.events:,} events and {furthest.seconds:,.0f} s behind."
    yield StatusLine(
        "Read models", level, text if furthest.events else "Up to date.", _list_of("projectorposition")
    )
    failed = sum(each.failed for each in lag.dead_letter_counts())
    text = f"{failed:,} events could not be applied." if failed else "None."
    yield StatusLine("Dead letters", "bad" if failed else "good", text, _list_of("deadletter"))


def stores() -> Iterator[StatusLine]:
    """For each store whether it answers and takes writes, and how large its database is; then Redis."""
    yield from (StatusLine(alias, *_store(alias), "/admin/stores/") for alias in SCHEMAS)
    yield _redis()


def feeds(now: datetime) -> Iterator[StatusLine]:
    """How the fetching of feeds goes."""
    found = figures(now)
    level: Level = "good" if found.overdue_s < FEEDS_OVERDUE else "warn"
    late = f", the oldest of them for {found.overdue_s / 60:,.0f} min" if found.overdue_s >= 60 else ""
    known, path = found.feeds - found.unwanted, "/admin/feeds/feed/"
    yield StatusLine("Fresh", level, f"{known:,} are kept fresh; {found.due:,} are due{late}.", path)
    failing = f"{found.failing:,} failed the last time."
    yield StatusLine("Failing", "warn" if found.failing else "good", failing, f"{path}?state__exact=failing")


def versions() -> Iterator[StatusLine]:
    """The versions installed here."""
    yield StatusLine("Balados", "good", settings.VERSION)
    yield StatusLine("Django", "good", django.get_version())
    yield StatusLine("Python", "good", platform.python_version())


def worker_run() -> Run | None:
    """What the last run of the five-minute work did; None if that is unknown."""
    try:
        return last_run()
    except (redis.RedisError, msgspec.MsgspecError):
        return None


def _store(alias: str) -> tuple[Level, str]:
    with suppress_outages(), connect(alias) as connection:
        where, state, room = place_of(connection), maintenance.status(connection, alias), has_room(connection)
        ((size,),) = connection.execute("SELECT pg_database_size(current_database())").fetchall()
        text = f"PostgreSQL {where.version}, {size / 1e6:,.0f} MB"
        text += "" if state == "open" else f"; closed to writes ({state})"
        return "good" if state == "open" and room else "bad", text + ("." if room else "; its disk is full.")
    return "bad", "Does not answer."


def _worker(now: datetime) -> Iterator[StatusLine]:
    try:
        last = last_run()
        answers = _worker_answers()
    except (redis.RedisError, OSError):
        yield StatusLine("Worker", "bad", "Unknown: Redis does not answer.")
        return
    except msgspec.MsgspecError:
        yield StatusLine("Worker", "warn", "The report of its last run cannot be read.")
        return
    yield StatusLine("Worker", "good" if answers else "bad", "Running." if answers else "Does not answer.")
    yield _last_run(last, now)


def _worker_answers() -> bool:
    """Whether any worker answers; the first answer is enough."""
    connection = current_app.connection_for_write(connect_timeout=WORKER_ANSWERS_WITHIN)
    with connection:
        return bool(
            current_app.control.broadcast(
                "ping", reply=True, timeout=WORKER_ANSWERS_WITHIN, limit=1, connection=connection
            )
        )


def _last_run(last: Run | None, now: datetime) -> StatusLine:
    if last is None or last.finished_at is None:
        return StatusLine("Five-minute work", "warn", "It has not run yet.")
    ago = now - last.finished_at
    took = (last.finished_at - last.started_at).total_seconds()
    text = f"{timesince(last.finished_at, now)} ago, in {took:,.1f} s"
    if ago > WORKER_RUNS_WITHIN:
        return StatusLine("Five-minute work", "bad", f"Last {text}: is a worker with the scheduler running?")
    return StatusLine("Five-minute work", "good", f"Last {text}.")


def _redis() -> StatusLine:
    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=1, socket_timeout=1) as client:
            found: Any = client.info()
    except redis.RedisError:
        return StatusLine("Redis", "bad", "Does not answer.")
    size = found["used_memory"] / 1e6
    return StatusLine("Redis", "good", f"Redis {found['redis_version']}, {size:,.0f} MB.")


def _disk() -> StatusLine:
    """The free space of this machine's disk, which has the covers and, with ``make run``, the stores."""
    usage = shutil.disk_usage(settings.BALADOS_HOME)
    free = usage.free / usage.total
    level: Level = "good" if free >= LITTLE_SPACE else "warn" if free >= SHORT_OF_SPACE else "bad"
    return StatusLine(
        "Disk of this machine", level, f"{usage.free / 1e9:,.1f} GB free of {usage.total / 1e9:,.1f}."
    )


def _list_of(model: str) -> str:
    return f"/admin/projections/{model}/"


def _unless_away(name: str, ask: Callable[[], Iterator[StatusLine]]) -> list[StatusLine]:
    lines = unless_away(lambda: list(ask()))
    return [StatusLine(name, "bad", "Unknown: a store does not answer.")] if lines is None else lines
