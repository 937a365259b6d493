"""Covers as browsers get them: from this server, and from no other."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from django.core.cache import cache
from django.http import HttpResponse
from django.test import Client
from pytest_django.fixtures import Settings

from feeds import covers
from feeds.cover_fetching import WANTED, want
from jobs.covers import refresh_wanted
from tests.feeds.origin import Origin, allowed, answer
from tests.feeds.pictures import opened, picture
from tests.projections.running import eventually


@pytest.fixture(autouse=True)
def queue(settings: Settings, tmp_path: Path) -> Iterator[redis.Redis]:
    settings.BALADOS_HOME = tmp_path
    cache.clear()
    with redis.Redis.from_url(settings.REDIS_URL) as server:
        server.delete("covers")
        yield server
        server.delete("covers")


@pytest.fixture
def origin(settings: Settings) -> Iterator[Origin]:
    with Origin() as running, allowed(settings, running):
        yield running


def get(path: str | None) -> HttpResponse:
    assert path is not None
    found: HttpResponse = Client().get(path)  # type: ignore[assignment]
    return found


def test_what_is_missing_is_drawn_and_fetched_once(origin: Origin, queue: redis.Redis) -> None:
    origin.on("/c.jpg", answer(picture("JPEG"), content_type="image/jpeg"))
    url = origin.url("/c.jpg")
    path = covers.path_of(url, title="Slow Radio", key="uid")
    for _ in range(3):
        drawn = get(path)
        assert (drawn.status_code, drawn["Content-Type"]) == (200, "image/svg+xml")
        assert b">SR<" in drawn.content
        assert b' width="8"' in drawn.content  # a placeholder, at which the page asks again for the picture
        assert drawn["Cache-Control"] == "no-cache"
        assert drawn["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in drawn["Content-Security-Policy"]
    eventually(lambda: queue.llen("covers") == 1)
    assert origin.requests == []
    refresh_wanted()
    shown = get(path)
    assert (shown.status_code, shown["Content-Type"]) == (200, "image/webp")
    assert shown["Cache-Control"] == "public, max-age=31536000, immutable"
    assert opened(shown.content).size == (300, 300)
    assert [opened(get(covers.path_of(url, size=size)).content).width for size in (96, 600)] == [96, 600]
    assert queue.llen(WANTED) == 0
    assert "127.0.0.1" not in f"{path}{drawn.headers}{shown.headers}"


def test_after_a_month_a_newer_one_is_looked_for_while_the_old_one_is_shown(
    origin: Origin, queue: redis.Redis
) -> None:
    origin.on("/c.jpg", answer(picture("JPEG")))
    path, name = covers.path_of(origin.url("/c.jpg")), covers.name_of(origin.url("/c.jpg"))
    want(name)
    refresh_wanted()
    assert get(path).status_code == 200
    assert queue.llen("covers") == 0
    cover = covers.cover_of(name)
    assert cover is not None
    old = time.time() - 31 * 86_400
    os.utime(cover.file(300), (old, old))
    assert [get(path)["Content-Type"] for _ in range(3)] == ["image/webp"] * 3
    eventually(lambda: queue.llen("covers") == 1)
    assert queue.lrange(WANTED, 0, -1) == [name.encode()]


def test_names_and_sizes_that_are_not_ours_are_not_found(queue: redis.Redis) -> None:
    name = covers.name_of("https://images.example/c.png")
    bad = [f"/covers/{name}/{size}.webp" for size in (0, 95, 301, 10**20)]
    bad += [f"/covers/{name[:-2]}/300.webp", "/covers/AAAA/300.webp", f"/covers/{name}/300.svg"]
    bad += ["/covers/generated/x.svg", "/covers/generated/12-ABC.svg", "/covers/generated/12-%3Cb.svg"]
    assert {path: get(path).status_code for path in bad} == dict.fromkeys(bad, 404)
    assert queue.llen("covers") == 0
    # a picture that is missing, with nothing to draw in its place
    assert get(f"/covers/{name}/300.webp").status_code == 404
    assert get(f"/covers/{name}/300.webp?or=%22%3E%3Cscript").status_code == 404
    assert Client().post(f"/covers/{name}/300.webp").status_code == 405


def test_a_podcast_without_a_cover_has_a_drawn_one() -> None:
    drawn = get(covers.generated_path("Élan vital", "uid"))
    assert (drawn.status_code, drawn["Content-Type"]) == (200, "image/svg+xml")
    assert ">ÉV<" in drawn.content.decode()
    assert drawn["Cache-Control"] == "public, max-age=31536000, immutable"


def test_without_redis_covers_are_shown_and_drawn_all_the_same(origin: Origin, settings: Settings) -> None:
    origin.on("/c.jpg", answer(picture("JPEG")))
    want(covers.name_of(origin.url("/c.jpg")))
    refresh_wanted()
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:9/0"}}
    assert get(covers.path_of(origin.url("/c.jpg"))).status_code == 200
    drawn = get(covers.path_of(origin.url("/other.jpg"), title="A", key="uid"))
    assert (drawn.status_code, drawn["Content-Type"]) == (200, "image/svg+xml")
