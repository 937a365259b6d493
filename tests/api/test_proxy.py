"""Feeds rewritten for web players: who gets them, what they are made from, and what is cached."""

import gzip
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import feedparser
import pytest
import redis
from django.conf import settings as configuration
from django.db import connections
from django.test import Client
from pytest_django.fixtures import Settings

from api.v1 import proxy
from eventstore.domain.identifiers import feed_of_url
from feeds import cache
from feeds.models import Episode, Feed, FeedHost, FeedSchedule
from feeds.serving import Rendered
from projections.public_models import BlockedFeed
from tests.api.devices import Device, code_of, faults, in_path, url_safe
from tests.apps import App
from tests.factories import UserFactory
from tests.feeds.rows import PUBLISHED, EpisodeFactory, FeedFactory, alias_key, item_name, name_of
from tests.projecting import bring_up_to_date

pytestmark = pytest.mark.usefixtures("stores")
REDIS = configuration.REDIS_URL


@pytest.fixture(autouse=True)
def _empty_cache(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(cache, "_away_until", 0.0)
    yield
    with redis.Redis.from_url(REDIS) as client:
        for key in client.scan_iter("balados:*"):
            client.delete(key)


def kept() -> list[str]:
    with redis.Redis.from_url(REDIS) as client:
        return [key.decode() for key in client.scan_iter(f"{cache.PREFIX}*")]


def ask(
    feed: Feed | str, item: str = "", *, by: Device | None = None, query: str = "", **headers: str
) -> Any:
    name = url_safe(feed if isinstance(feed, str) else name_of(feed))
    path = f"/api/v1/rss/proxy/{name}{f'/{url_safe(item)}' if item else ''}{query}"
    sent = {**headers, **(by.headers if by else {})}
    return Client(raise_request_exception=False).get(path, headers=sent)


def titles(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [entry.title for entry in feedparser.parse(answer.content).entries]


def schedule(feed: Feed, **fields: Any) -> None:
    host, _ = FeedHost.objects.get_or_create(name="shows.example")
    FeedSchedule.objects.create(feed=feed, host=host, slot=0, fetched_at=PUBLISHED, **fields)


def follow(device: Device, feed: Feed) -> None:
    assert device.post("subscriptions", {"rss_source_feed": name_of(feed)}).status_code == 201
    bring_up_to_date()


def test_anybody_reads_what_was_read_of_a_feed(phone: Device) -> None:
    feed = FeedFactory.create()
    episodes = [*EpisodeFactory.create_batch(2, feed=feed)]
    EpisodeFactory.create(feed=feed, blocked=True)
    EpisodeFactory.create(feed=feed, gone_at=PUBLISHED)
    answer = ask(feed)
    assert titles(answer) == [episodes[1].title, episodes[0].title]
    entry = feedparser.parse(answer.content).entries[0]
    assert (entry.id, entry.enclosures[0].href) == (episodes[1].guid, episodes[1].enclosure_url)
    headers = answer.headers
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert headers["Cache-Control"] == "public, max-age=300, stale-while-revalidate=3600"
    assert headers["Content-Type"] == "application/rss+xml; charset=utf-8"
    assert headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Balados-Feed-State" not in headers
    assert ask(feed, if_none_match=headers["ETag"]).status_code == 304
    assert ask(feed, if_modified_since=headers["Last-Modified"]).status_code == 304
    packed = ask(feed, accept_encoding="gzip")
    assert gzip.decompress(packed.content) == answer.content
    # followers see what its publisher keeps out of directories, and no shared cache may store that
    follow(phone, feed)
    own = ask(feed, by=phone)
    assert len(titles(own)) == 3
    assert own.headers["Cache-Control"] == "private, no-store"


def test_every_name_of_a_feed_hits_the_same_entry() -> None:
    feed = FeedFactory.create(aliases=["http://shows.example/old?a=ÿÿ~~~"])
    EpisodeFactory.create(feed=feed)
    old = feed_of_url("http://shows.example/old?a=ÿÿ~~~")
    name = name_of(feed)
    bodies = {ask(name).content, ask(old).content}
    for spelling in (name, in_path(name), in_path(old), old.rstrip("=")):
        answer = Client().get(f"/api/v1/rss/proxy/{spelling}?x=1", HTTP_HOST="localhost")
        assert answer.status_code == 200, spelling
        bodies.add(answer.content)
    assert len(bodies) == 1
    assert kept() == [f"{cache.PREFIX}{feed.uid}:{feed.version}:500"]


def test_a_new_version_is_made_anew_and_an_old_copy_is_stale(phone: Device) -> None:
    feed = FeedFactory.create()
    first = ask(feed)
    Feed.objects.filter(pk=feed.pk).update(title="Another", version=2)
    assert b"Another" in ask(feed).content
    assert b"Another" not in first.content
    schedule(feed, error="timeout", error_since=PUBLISHED, ok_at=PUBLISHED)
    answer = ask(feed)
    assert (answer.status_code, answer.headers["Balados-Feed-State"]) == (200, "stale")


def test_a_feed_that_was_never_good_says_why() -> None:
    for error, expected in (
        ("timeout", (502, "feed_unreachable")),
        ("forbidden", (502, "feed_unreachable")),
        ("not_a_feed", (415, "not_a_feed")),
        ("unsupported", (415, "not_a_feed")),
    ):
        feed = FeedFactory.create(version=0, state=Feed.State.NEW)
        schedule(feed, error=error)
        answer = ask(feed)
        assert (answer.status_code, code_of(answer)) == expected, error


def test_strangers_have_nothing_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted: list[list[str]] = []
    monkeypatch.setattr("jobs.announcing.want", wanted.append)
    unread = FeedFactory.create(version=0, state=Feed.State.NEW)
    for feed in (unread, feed_of_url("https://unknown.example/feed")):
        answer = ask(feed)
        assert (answer.status_code, code_of(answer)) == (404, "feed_unknown")
    assert wanted == []


def test_who_is_let_in_has_a_new_feed_read_and_waits_a_while(
    phone: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = feed_of_url("https://shows.example/new.xml")
    monkeypatch.setattr(proxy, "PATIENCE", 0.2)
    monkeypatch.setattr("jobs.announcing.want", lambda names: None)
    answer = ask(name, by=phone)
    assert (answer.status_code, answer.headers["Retry-After"]) == (202, "5")
    assert answer.json() == {"status": "success", "state": "queued"}

    def read(names: list[str]) -> None:
        assert names == [name]
        EpisodeFactory.create(feed=FeedFactory.create(url="https://shows.example/new.xml"), title="New")

    monkeypatch.setattr("jobs.announcing.want", read)
    assert titles(ask(name, by=phone)) == ["New"]


def test_so_many_new_feeds_an_hour_and_no_more(phone: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "PATIENCE", 0.0)
    monkeypatch.setattr(proxy, "NEW_FEEDS", 2)
    monkeypatch.setattr("jobs.announcing.want", lambda names: None)
    answers = [ask(feed_of_url(f"https://shows.example/{n}"), by=phone) for n in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert int(answers[2].headers["Retry-After"]) > 3_000


def test_a_secret_or_blocked_feed_is_for_those_who_follow_it_and_in_no_cache(
    phone: Device, bobs: Device
) -> None:
    secret = FeedFactory.create(url="https://www.patreon.com/rss/x?auth=Zk93mQ7xLw2pT4vB", is_secret=True)
    blocked = FeedFactory.create(blocked=True)
    by_operator = FeedFactory.create(aliases=["https://shows.example/other"])
    BlockedFeed.objects.create(feed_key=alias_key("https://shows.example/other"), operator_since=PUBLISHED)
    for feed in (secret, blocked, by_operator):
        episode = EpisodeFactory.create(feed=feed)
        follow(phone, feed)
        for by in (None, bobs):
            for answer in (ask(feed, by=by), ask(feed, item_name(episode), by=by)):
                assert (answer.status_code, code_of(answer)) == (404, "feed_unknown")
        for answer in (ask(feed, by=phone), ask(feed, item_name(episode), by=phone)):
            assert titles(answer) == [episode.title]
            assert answer.headers["Cache-Control"] == "private, no-store"
    assert kept() == []


def test_one_episode_of_a_feed() -> None:
    feed, other = FeedFactory.create(), FeedFactory.create()
    first = EpisodeFactory.create(feed=feed, items=[("old", "https://old.example/1.mp3")])
    EpisodeFactory.create(feed=feed)
    strange, hidden = EpisodeFactory.create(feed=other), EpisodeFactory.create(feed=feed, blocked=True)
    assert titles(ask(feed, item_name(first))) == [first.title]
    name = in_path(name_of(feed)), in_path(item_name(first))
    assert titles(Client().get(f"/api/v1/rss/proxy/{name[0]}/{name[1]}")) == [first.title]
    for episode in (strange, hidden):
        answer = ask(feed, item_name(episode))
        assert (answer.status_code, code_of(answer)) == (404, "item_unknown")


def test_it_has_the_newest_and_as_many_as_are_asked_for() -> None:
    feed = FeedFactory.create()
    Episode.objects.bulk_create(EpisodeFactory.build_batch(510, feed=feed))
    newest = list(feed.episodes.order_by("-sort_at").values_list("title", flat=True))
    assert titles(ask(feed)) == newest[:500]
    assert titles(ask(feed, query="?limit=2000")) == newest
    assert titles(ask(feed, query="?limit=3")) == newest[:3]
    for limit in ("0", "2001", "x", "-1", "1.5", "", "١"):
        answer = ask(feed, query=f"?limit={limit}")
        assert faults(answer) == {"limit": "invalid"}, limit


@pytest.mark.parametrize("name", ["x", "!!", "aHR0cHM6Ly9", "%00", "a/b/c", "ZmlsZTovLy9ldGM"])
def test_what_is_no_feed_is_400(name: str) -> None:
    assert Client().get(f"/api/v1/rss/proxy/{name}").status_code == 400


def test_a_token_that_is_bad_or_lacks_the_scope_is_refused(phone: Device) -> None:
    feed = FeedFactory.create()
    assert ask(feed, Authorization="Bearer x").status_code == 401
    user = UserFactory.create()
    App().grant(user, ["user.plays"])
    answer = ask(feed, by=Device(user.pk))
    assert (answer.status_code, code_of(answer)) == (403, "scope_missing")


def test_without_Redis_it_is_made_each_time(settings: Settings) -> None:
    feed = FeedFactory.create()
    EpisodeFactory.create(feed=feed)
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert ask(feed).content == ask(feed).content
    assert kept() == []


def test_one_at_a_time_makes_it_and_all_others_get_that() -> None:
    built: list[int] = []
    ready = threading.Event()

    def build() -> Rendered:
        built.append(1)
        ready.wait(60)
        return Rendered.of(b"<rss/>", datetime(2026, 1, 1, tzinfo=UTC))

    found: list[Rendered] = []
    threads = [
        threading.Thread(target=lambda: found.append(cache.get_or_build("x", build))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    ready.set()
    for thread in threads:
        thread.join()
    connections.close_all()
    assert len(built) == 1
    assert len({one.digest for one in found}) == 1
    assert len(found) == 6


def test_what_is_large_or_damaged_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = FeedFactory.create()
    monkeypatch.setattr(cache, "LARGEST", 10)
    ask(feed)
    assert kept() == []
    with redis.Redis.from_url(REDIS) as client:
        client.set(f"{cache.PREFIX}{feed.uid}:{feed.version}:500", b"\xc1 nonsense")
    assert ask(feed).status_code == 200


def test_an_entry_ends() -> None:
    ask(FeedFactory.create())
    (key,) = kept()
    with redis.Redis.from_url(REDIS) as client:
        assert timedelta(minutes=59) < timedelta(seconds=int(client.ttl(key))) <= timedelta(hours=1)
