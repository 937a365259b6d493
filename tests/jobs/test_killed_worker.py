"""The worker is killed at some point and run again: the result is the same as after a single run."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.db import connections

from eventstore import database, log
from eventstore.dispatcher import dispatch
from eventstore.domain.identifiers import episode_key, item_of
from eventstore.domain.messages import Origin
from eventstore.domain.plays import RecordPlay
from eventstore.domain.privacy import ChangePrivacy
from eventstore.domain.saved import SaveEpisode, ShareEpisode
from eventstore.domain.subscriptions import Subscribe, Unsubscribe
from eventstore.domain.user import User
from jobs import retention
from operations.stores import SCHEMAS
from projections import runner
from projections.connect import connect
from projections.lag import wait_for_all
from projections.locks import try_lock
from projections.projectors import PROJECTORS
from projections.rebuild import rebuild
from projections.runner import Runner
from tests.conftest import clear_caches, empty
from tests.domain.scenarios import FEEDS
from tests.jobs.working import dispatch_all, event_types, events, read_models, state_of
from tests.projections.running import eventually, running

pytestmark = pytest.mark.usefixtures("stores")

ROOT = Path(__file__).resolve().parent.parent.parent
CAST = [UUID(int=number, version=4) for number in range(1, 7)]
LATER = datetime(2100, 6, 1, 12, tzinfo=UTC)
POINTS = (
    "due",
    "checkpointing",
    "checkpointing:3",
    "checkpointed",
    "projected",
    "instance_appended",
    "trimmed",
    "instance_appended:2",
    "recalculated",
    "deleting",
    "deleting:3",
    "deleted",
    "finished",
)

COPIER = """
import os, sys, django
from django.core.management import call_command
django.setup()
for line in sys.stdin:
    point, cutoff = line.split()
    if os.fork() == 0:
        os.dup2(2, 1)
        os.environ["BALADOS_FAILPOINT"] = point
        call_command("run_worker_once", "--before", cutoff, "--chunk", "7")
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""


def item(number: int) -> str:
    return item_of(f"item-{number}", "")


def half_a_life(user_id: UUID, number: int) -> None:
    """Record events that differ between the two halves and between users."""
    level = ("public", "anonymous", "private")[user_id.int % 3]
    dispatch_all(
        ChangePrivacy(user_id=user_id, level=level, now=LATER),  # type: ignore[arg-type]
        *(Subscribe(user_id=user_id, feed=feed, now=LATER) for feed in FEEDS[: number + 1]),
        *(play(user_id, episode, number) for episode in range(user_id.int % 4 + number)),
        SaveEpisode(user_id=user_id, feed=FEEDS[0], item=item(number), now=LATER),
        ShareEpisode(user_id=user_id, feed=FEEDS[0], item=item(0), now=LATER),
        Unsubscribe(user_id=user_id, feed=FEEDS[number], now=LATER),
    )


def play(user_id: UUID, episode: int, position: int) -> RecordPlay:
    return RecordPlay(
        user_id=user_id, feed=FEEDS[0], item=item(episode), position=position, played=False, now=LATER
    )


@pytest.fixture
def projecting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run the projectors while the worker runs."""
    monkeypatch.setattr(runner, "ACKNOWLEDGE_EVERY", 0.02)
    with running(Runner()):
        yield


def begin() -> datetime:
    """Record two halves of six lives, with figures in between. Return the cutoff after the first half."""
    for user_id in CAST:
        half_a_life(user_id, 0)
    wait_for_all(log.head())
    retention.run(datetime(2020, 1, 1, tzinfo=UTC))
    cutoff = log.database_time()
    for user_id in CAST:
        half_a_life(user_id, 1)
    wait_for_all(log.head())
    return cutoff


def states() -> list[User]:
    return [state_of(user_id) for user_id in CAST]


def shown() -> dict[str, list[tuple[Any, ...]]]:
    """Return the public tables and the tables behind them, except for times and random ids."""
    asked = {
        "public": 'SELECT kind, feed_key, item_key, user_id FROM "public"."public_events"',
        "activity": "SELECT user_id, kind, rss_source_feed, rss_source_item, level, happened_at IS NULL,"
        ' withdrawn_at IS NULL, public_id IS NULL FROM "users"."activity"',
        "podcasts": "SELECT rss_source_feed, score, plays, likes, shares, subscribers"
        ' FROM "public"."podcast_popularity"',
        "episodes": "SELECT rss_source_item, score, plays, likes, shares, subscribers"
        ' FROM "public"."episode_popularity"',
    }
    found = {}
    for name, statement in asked.items():
        with connections["projections"].cursor() as cursor:
            cursor.execute(statement)
            found[name] = sorted(cursor.fetchall(), key=repr)
    return found


def outcome() -> tuple[Any, ...]:
    """Return everything that a run decides: the events left, the states they fold to, and what is shown."""
    wait_for_all(log.head())
    logs = [event_types(user_id) for user_id in CAST]
    return states(), logs, shown()


@pytest.fixture(scope="module")
def copier() -> Iterator["subprocess.Popen[str]"]:
    """A process that forks itself for each line that it reads, and prints how the fork ended."""
    command = [sys.executable, "-c", COPIER]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "balados.settings"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
        yield process
        process.communicate()


def die_at(point: str, cutoff: datetime, copier: "subprocess.Popen[str]") -> None:
    """Run the worker as an operator does, and kill it at that point."""
    assert copier.stdin is not None
    assert copier.stdout is not None
    print(point, cutoff.isoformat(), file=copier.stdin, flush=True)
    assert copier.stdout.readline() == "-9\n"
    # its database session, and with it its lock, ends a moment later
    eventually(unlocked)


def unlocked() -> bool:
    with connect(database.ALIAS) as connection:
        return try_lock(connection, retention.LOCK)


_once: list[tuple[Any, ...]] = []


def run_once() -> tuple[Any, ...]:
    """Return the outcome of one undisturbed run."""
    cutoff = begin()
    done = retention.run(cutoff, say=print, chunk=7)
    assert done.events_deleted > 30
    assert done.public_history_trimmed
    assert done.figures_changed
    return outcome()


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, ...]:
    """The outcome of one undisturbed run. It is made once, and leaves the stores empty."""
    if not _once:
        monkeypatch.setattr(runner, "ACKNOWLEDGE_EVERY", 0.02)
        with running(Runner()):
            _once.append(run_once())
        for alias in SCHEMAS:
            empty(alias)
        clear_caches()
    return _once[0]


@pytest.mark.parametrize("point", POINTS)
def test_killed_there_and_run_again_it_is_as_if_it_had_run_once(
    point: str, reference: tuple[Any, ...], projecting: None, copier: "subprocess.Popen[str]"
) -> None:
    cutoff = begin()
    before = states()
    die_at(point, cutoff, copier)
    assert states() == before, "what is left of a killed run folds to the same"
    done = retention.run(cutoff, say=print, chunk=7)
    assert done.passed
    assert states() == before
    assert outcome() == reference
    again, left = retention.run(cutoff, say=print), events()
    assert (again.users_due, again.figures_changed, again.events_deleted) == (0, 0, 0)
    assert events() == left


def test_a_rebuild_from_what_is_left_equals_the_read_models(projecting: None) -> None:
    cutoff = begin()
    retention.run(cutoff, say=print)
    wait_for_all(log.head())
    rows, public = read_models(), shown()
    rebuild(list(PROJECTORS.values()))
    assert read_models() == rows
    assert shown() == public


def test_two_processes_at_once_one_works_and_the_other_says_so_and_leaves() -> None:
    dispatch_all(play(CAST[0], 1, 1))
    with retention._alone():
        other = subprocess.run(
            [sys.executable, "manage.py", "run_worker_once"], cwd=ROOT, capture_output=True, text=True
        )
    assert other.returncode == 1
    assert "Another worker is running" in other.stderr


def test_listeners_who_go_on_meanwhile_lose_nothing(projecting: None) -> None:
    stop = threading.Event()
    recorded: dict[UUID, dict[str, int]] = {user_id: {} for user_id in CAST}

    def listen(user_id: UUID) -> None:
        number = 0
        try:
            while not stop.wait(0.005):
                number += 1
                episode, position = number % 20, number
                dispatch(play(user_id, episode, position), Origin())
                recorded[user_id][episode_key(FEEDS[0], item(episode))] = position
        finally:
            connections.close_all()

    threads = [threading.Thread(target=listen, args=[user_id]) for user_id in CAST[:3]]
    for thread in threads:
        thread.start()
    try:
        deleted = sum(retention.run(log.database_time(), say=print).events_deleted for _ in range(5))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert deleted > 0
    for user_id in CAST[:3]:
        found = {name: one.position for name, one in state_of(user_id).plays.items()}
        assert found == recorded[user_id]
    wait_for_all(log.head())
    rows = read_models()
    rebuild(list(PROJECTORS.values()))
    assert read_models() == rows
