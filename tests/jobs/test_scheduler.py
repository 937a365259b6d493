"""The worker's scheduler: its tasks are known to the workers, and are sent on time and to their queues."""

import os
import signal
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from celery.beat import PersistentScheduler
from django.conf import settings

from balados.celery import app
from balados.worker import Scheduler


class Worker:
    """What a Celery boot step needs of a worker."""

    def __init__(self) -> None:
        self.steps: list[Any] = []


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> "list[str]":
    """Names of the tasks in the order in which they are sent; one is due every ten milliseconds."""
    names: list[str] = []
    schedule = {"often": {"task": "jobs.feeds.pump", "schedule": timedelta(milliseconds=10)}}
    monkeypatch.setitem(app.conf, "beat_schedule", schedule)
    monkeypatch.setitem(app.conf, "beat_schedule_filename", str(tmp_path / "schedule"))
    monkeypatch.setattr(PersistentScheduler, "apply_async", lambda _, entry, **__: names.append(entry.task))
    return names


def test_workers_know_every_task_of_the_schedule_and_take_it_from_a_queue_of_theirs() -> None:
    app.loader.import_default_modules()
    queues = {"default", *(route["queue"] for route in settings.CELERY_TASK_ROUTES.values())}
    for name, entry in app.conf.beat_schedule.items():
        assert entry["task"] in app.tasks, name
        assert app.amqp.router.route({}, entry["task"])["queue"].name in queues


def test_it_sends_until_it_is_stopped_and_then_ends_at_once(sent: list[str]) -> None:
    scheduler = Scheduler(Worker(), with_scheduler=True)
    scheduler.start(Worker())
    until = time.monotonic() + 10
    while len(sent) < 3 and time.monotonic() < until:
        time.sleep(0.01)
    began = time.monotonic()
    scheduler.stop(Worker())
    assert time.monotonic() - began < 5
    assert not [thread for thread in threading.enumerate() if thread.name == "scheduler"]
    assert {*sent} == {"jobs.feeds.pump"}


def test_a_worker_that_was_not_told_to_has_none() -> None:
    assert not Scheduler(Worker()).include_if(Worker())
    assert Scheduler(Worker(), with_scheduler=True).include_if(Worker())


def test_a_scheduler_that_fails_ends_its_worker_in_order(
    sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no space left")

    killed: list[int] = []
    monkeypatch.setattr(PersistentScheduler, "tick", fail)
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append(number))
    scheduler = Scheduler(Worker(), with_scheduler=True)
    scheduler.start(Worker())
    scheduler.stop(Worker())
    assert killed == [signal.SIGTERM]
