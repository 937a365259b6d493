"""A task that reports how long it waited, for a worker that is started with ``--include
benchmarks.probe``."""

import time

import redis
from celery import shared_task
from django.conf import settings

QUEUES = ("default", "plays", "feeds_now", "covers")
WAITED = "benchmarks:waited:"


@shared_task
def note(queue: str, sent_at: float) -> None:
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.rpush(f"{WAITED}{queue}", time.time() - sent_at)


def send() -> None:
    """Send one task to each queue except that of the pumps."""
    for queue in QUEUES:
        note.apply_async((queue, time.time()), queue=queue)


def take() -> list[float]:
    """Return the waiting times in seconds of the tasks that have run since the last call, in all queues."""
    found: list[float] = []
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        for queue in QUEUES:
            found += [float(each) for each in client.lrange(f"{WAITED}{queue}", 0, -1)]
            client.delete(f"{WAITED}{queue}")
    return found
