"""Chapters and transcripts, fetched from a server on loopback when they are first requested."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from api.v1 import supplements as views
from feeds import supplements
from feeds.models import Episode, FetchedDocument
from jobs import celery_app, documents
from tests.api.devices import Device, code_of, document, item, url_safe
from tests.feeds.origin import Origin, allowed, answer, status_only
from tests.feeds.rows import EpisodeFactory, FeedFactory, item_name, name_of

CHAPTERS = b'{"chapters": [{"startTime": 0, "title": "<b>Intro</b>"}, {"startTime": 61.5, "title": "End"}]}'
VTT = b"WEBVTT\n\n00:00:01.000 --> 00:00:02.500\n<v Ann>Hello <script>\n"


@pytest.fixture
def origin(settings: Settings) -> Iterator[Origin]:
    with Origin() as running, allowed(settings, running):
        running.on("/c.json", answer(CHAPTERS))
        running.on("/t.vtt", answer(VTT))
        yield running


@pytest.fixture(autouse=True)
def _worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run at once what a worker would do with the message."""

    def send_task(name: str, arguments: Any, **_: Any) -> None:
        assert name == documents.fetch.name
        documents.fetch(*arguments)

    monkeypatch.setattr(celery_app, "send_task", send_task)


def named(origin: Origin, **paths: str) -> Episode:
    extra = {kind: [{"url": origin.url(path), "language": "fr"}] for kind, path in paths.items()}
    made: Episode = EpisodeFactory.create(extra=extra)
    return made


def ask(device: Device, kind: str, episode: Episode) -> Any:
    name = url_safe(item_name(episode))
    return device.get(f"episodes/{name}/{kind}?feed={url_safe(name_of(episode.feed))}")


def test_it_is_fetched_once_and_shown_in_one_shape(phone: Device, origin: Origin) -> None:
    episode = named(origin, chapters="/c.json", transcript="/t.vtt")
    for _ in range(2):
        assert document(ask(phone, "chapters", episode)) == {
            "chapters": [{"start": 0.0, "title": "Intro"}, {"start": 61.5, "title": "End"}]
        }
        assert document(ask(phone, "transcript", episode)) == {
            "language": "fr",
            "segments": [{"start": 1.0, "end": 2.5, "text": "Hello", "speaker": "Ann"}],
        }
    assert len(origin.requests) == 2
    kept = b"".join(bytes(row.content) + bytes(row.url_digest) for row in FetchedDocument.objects.all())
    assert origin.url("").encode() not in kept


def test_chapters_in_the_feed_itself_need_no_fetch(phone: Device, origin: Origin) -> None:
    chapters = [{"start": "00:01:00", "title": "One"}]
    episode = EpisodeFactory.create(extra={"pscChapters": [{"version": "1.2", "chapter": chapters}]})
    assert document(ask(phone, "chapters", episode)) == {"chapters": [{"start": 60.0, "title": "One"}]}
    assert origin.requests == []


def test_what_is_not_named_is_404_and_so_is_an_episode_that_nobody_knows(phone: Device) -> None:
    episode = EpisodeFactory.create()
    for kind in ("chapters", "transcript"):
        found = ask(phone, kind, episode)
        assert (found.status_code, code_of(found)) == (404, f"no_{kind}")
        unknown = phone.get(f"episodes/{url_safe(item(7))}/{kind}")
        assert (unknown.status_code, code_of(unknown)) == (404, "not_found")


def test_where_its_server_fails_it_is_502_and_not_asked_again_at_once(phone: Device, origin: Origin) -> None:
    origin.on("/404", status_only(404))
    origin.on("/html", answer(b"<html>Log in</html>"))
    origin.on("/large", answer(b"x" * (supplements.LARGEST + 1)))
    for path, code in (("/404", "not_found"), ("/html", "unreadable"), ("/large", "too_large")):
        episode = named(origin, chapters=path)
        for _ in range(2):
            failed = ask(phone, "chapters", episode)
            assert (failed.status_code, code_of(failed)) == (502, code), path
    assert len(origin.requests) == 3
    FetchedDocument.objects.update(fetched_at=timezone.now() - timedelta(minutes=6))
    origin.on("/404", answer(CHAPTERS))
    assert ask(phone, "chapters", Episode.objects.order_by("pk").first()).status_code == 200  # type: ignore[arg-type]


def test_addresses_within_our_network_are_refused(phone: Device, origin: Origin, settings: Settings) -> None:
    settings.FEED_ALLOW_NETWORKS = []
    refused = ask(phone, "chapters", named(origin, chapters="/c.json"))
    assert (refused.status_code, code_of(refused)) == (502, "refused")
    assert origin.requests == []


def test_of_a_secret_feed_only_who_follows_it_sees_them(phone: Device, origin: Origin) -> None:
    extra = {"chapters": [{"url": origin.url("/c.json")}]}
    episode = EpisodeFactory.create(feed=FeedFactory.create(is_secret=True), extra=extra)
    assert ask(phone, "chapters", episode).status_code == 404


def test_who_waited_long_enough_comes_again(
    phone: Device, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "PATIENCE", 0.05)
    monkeypatch.setattr(celery_app, "send_task", lambda *_, **__: None)
    queued = ask(phone, "transcript", named(origin, transcript="/t.vtt"))
    assert (queued.status_code, queued.headers["Retry-After"]) == (202, "5")


def test_there_is_a_limit_to_what_one_listener_has_fetched(
    phone: Device, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "MOST", 1)
    origin.otherwise(answer(CHAPTERS))
    statuses = [ask(phone, "chapters", named(origin, chapters=f"/{n}")).status_code for n in range(2)]
    assert statuses == [200, 429]


def test_of_what_is_kept_the_oldest_go_first(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    now = timezone.now()
    monkeypatch.setattr(supplements, "MOST_KEPT", 400)
    origin.otherwise(answer(CHAPTERS))
    for number in range(8):
        supplements.fetch("chapters", origin.url(f"/{number}"), now + timedelta(minutes=number))
    ages = [(row.fetched_at - now).seconds // 60 for row in FetchedDocument.objects.order_by("fetched_at")]
    assert 0 < len(ages) < 8
    assert ages[-1] == 7
    supplements.fetch("chapters", origin.url("/late"), now + timedelta(days=8))
    assert FetchedDocument.objects.count() == 1
