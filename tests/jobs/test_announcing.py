"""Followed feeds are fetched: following one does not wait for that, and a lost message loses nothing."""

import base64
import json
from itertools import chain
from typing import Any

import pytest
import redis
from django.conf import settings
from kombu.exceptions import OperationalError

from balados.celery import app
from feeds.models import FeedAlias
from jobs import announcing, feeds
from tests.api.devices import Device, feed, item, play
from tests.apps import App
from tests.factories import UserFactory
from tests.projections.running import eventually

pytestmark = pytest.mark.usefixtures("stores")


@pytest.fixture
def phone() -> Device:
    alice = UserFactory.create(username="alice")
    App().grant(alice)
    return Device(alice.pk)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Start with an empty queue in Redis and no feed announced yet; at most two feeds go in one message."""
    found: list[list[str]] = []
    with redis.Redis.from_url(settings.REDIS_URL) as broker:
        broker.delete("default")
    monkeypatch.setattr(announcing, "AT_ONCE", 2)
    monkeypatch.setattr(announcing, "_announced", set())
    return found


def messages() -> list[dict[str, Any]]:
    with redis.Redis.from_url(settings.REDIS_URL) as broker:
        return [json.loads(message) for message in reversed(broker.lrange("default", 0, -1))]


def work_off() -> list[list[str]]:
    """Do what a worker does with the messages in the queue; return the feeds of each message."""
    arguments = [json.loads(base64.b64decode(message["body"]))[0] for message in messages()]
    for (names,) in arguments:
        feeds.ensure(names)
    return [names for (names,) in arguments]


@pytest.mark.usefixtures("sent")
def test_following_syncing_and_importing_have_feeds_fetched(phone: Device) -> None:
    phone.post("subscriptions", {"rss_source_feed": feed(1)})
    entries = [
        {"rss_source_feed": feed(number), "subscribed_at": "2026-05-01T12:00:00Z", "unsubscribed_at": None}
        for number in (1, 2, 3, 4)
    ]
    phone.post("sync", {"subscriptions": entries})
    eventually(lambda: len(messages()) == 3)
    assert all(message["headers"]["argsrepr"] == "(feeds)" for message in messages())
    names = work_off()
    assert names[0] == [feed(1)]
    assert set(chain.from_iterable(names[1:])) == {feed(2), feed(3), feed(4)}
    assert FeedAlias.objects.count() == 4


@pytest.mark.usefixtures("sent")
def test_what_follows_nothing_new_sends_nothing(phone: Device) -> None:
    phone.post("subscriptions", {"rss_source_feed": feed(1)})
    phone.post("subscriptions", {"rss_source_feed": feed(1)})
    phone.delete(f"subscriptions/{feed(1)}")
    phone.post("subscriptions", {"rss_source_feed": feed(2)})
    eventually(lambda: len(messages()) == 2)
    assert work_off() == [[feed(1)], [feed(2)]]


@pytest.mark.usefixtures("sent")
def test_a_feed_of_which_an_episode_is_played_saved_shared_or_listed_is_fetched_too(phone: Device) -> None:
    """Otherwise its title in a public list would reveal that somebody follows it in private."""
    for _ in range(2):
        phone.post("plays", play(rss_source_feed=feed(1)))
        phone.post(f"episodes/{item()}/save", {"rss_source_feed": feed(2)})
        phone.post(f"episodes/{item()}/share", {"rss_source_feed": feed(3)})
        phone.post("playlists/queue/items", {"rss_source_feed": feed(4), "rss_source_item": item()})
    phone.post("subscriptions", {"rss_source_feed": feed(1)})
    eventually(lambda: len(messages()) == 5)
    assert work_off() == [[feed(1)], [feed(2)], [feed(3)], [feed(4)], [feed(1)]]


def test_without_redis_following_is_what_it_was(
    phone: Device, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(app, "send_task", refuse)
    monkeypatch.setattr(announcing, "_announced", set())
    assert phone.post("subscriptions", {"rss_source_feed": feed(1)}).status_code == 201
    announcing.refresh(7)
    phone.post("plays", play(rss_source_feed=feed(2)))
    eventually(lambda: caplog.text.count("within the hour") == 3)
    assert announcing._announced == set(), "what was lost is told again with the next play"
    assert feed(1) not in caplog.text
