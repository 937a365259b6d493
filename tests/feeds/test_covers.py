"""Covers as they are stored."""

import asyncio
import os
import re
import time
from pathlib import Path
from urllib.parse import unquote

import pytest
import redis
from django.core.cache import cache
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from pytest_django.fixtures import Settings

from feeds import cover_fetching, covers
from feeds.cover_fetching import WANTED, refresh_wanted, want
from feeds.covers import SIZES, Cover, cover_of, name_of
from tests.feeds.origin import Exchange, Origin, allowed, answer, hang, status_only
from tests.feeds.pictures import BLUE, RED, is_about, opened, picture

DAY = 86_400
URL = "https://images.example/a/cover.jpg?width=3000"


@pytest.fixture(autouse=True)
def home(settings: Settings, tmp_path: Path) -> Path:
    settings.BALADOS_HOME = tmp_path
    cache.clear()  # clears all of Redis, including the list of wanted covers
    return tmp_path


def cover_at(url: str) -> Cover:
    found = cover_of(name_of(url))
    assert found is not None
    return found


def fetched(*wanted: Cover) -> list[str]:
    """Fetch these covers, and return the outcomes."""
    for cover in wanted:
        want(cover.name)
    return sorted(refresh_wanted().elements())


def kept(cover: Cover, size: int = 96) -> bytes | None:
    found = covers.read(cover, size, time.time())
    return found and found[0]


@given(st.text(min_size=1, max_size=200).filter(lambda text: text.isprintable()))
def test_a_name_gives_its_url_back_to_us_alone(url: str) -> None:
    name = name_of(url)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", name)
    assert cover_of(name) == Cover(url, name, cover_at(url).digest)
    assert name_of(url) == name


def test_names_cannot_be_made_up_or_read(settings: Settings) -> None:
    name = name_of(URL)
    assert "images" not in name
    changed = [name[:-1], name + "A", name[::-1], "", "A" * 40, "../../etc/passwd", "é" * 40, name.swapcase()]
    assert [text for text in changed if cover_of(text) is not None] == []
    assert cover_at(URL).digest != cover_at(URL + "&").digest
    settings.SECRET_KEY = "another" * 10
    assert cover_of(name) is None


def test_paths_name_no_publisher_and_say_what_to_draw_meanwhile() -> None:
    assert covers.path_of("") is None
    assert covers.path_of(URL) == f"/covers/{name_of(URL)}/300.webp"
    drawn = covers.path_of(URL, title="The Daily Show", key="uid", size=96)
    assert drawn is not None
    assert re.fullmatch(rf"/covers/{name_of(URL)}/96\.webp\?or=\d+-TD", drawn)
    assert re.fullmatch(r"/covers/generated/\d+-%C3%89L.svg", covers.generated_path("éa, (la)", "uid"))
    assert covers.generated_path("A", "one") != covers.generated_path("A", "other")


def test_a_cover_is_fetched_once_and_looked_for_again_with_its_validators(origin: Origin) -> None:
    origin.on("/c.png", answer(picture(), content_type="image/png", etag='"1"', last_modified="then"))
    cover = cover_at(origin.url("/c.png"))
    assert kept(cover) is None
    assert fetched(cover) == ["ok"]
    assert [opened(kept(cover, size) or b"").size for size in SIZES] == [(96, 96), (300, 300), (600, 600)]
    asked = origin.requests[0].headers
    assert asked["user-agent"] == "Balados/0.1.0"
    assert asked["accept"].startswith("image/")
    month_ago = time.time() - 31 * DAY
    for size in SIZES:
        os.utime(cover.file(size), (month_ago, month_ago))
    found = covers.read(cover, 96, time.time())
    assert found is not None
    assert found[1] is True
    assert fetched(cover) == ["not_modified"]
    assert origin.requests[1].headers["if-none-match"] == '"1"'
    assert origin.requests[1].headers["if-modified-since"] == "then"
    assert covers.read(cover, 96, time.time()) == (found[0], False)
    # a missing file is fetched again without validators, which rules out a 304
    cover.file(600).unlink()
    assert fetched(cover) == ["ok"]


def test_what_fails_leaves_what_was_there_and_is_left_alone_for_a_while(origin: Origin) -> None:
    origin.on(
        "/c", answer(picture(colour=RED)), status_only(500), answer(b"<svg/>"), answer(picture(colour=BLUE))
    )
    cover = cover_at(origin.url("/c"))
    assert covers.is_to_be_asked_for(cover)
    assert not covers.is_to_be_asked_for(cover)
    cache.clear()
    assert [fetched(cover) for _ in range(3)] == [["ok"], ["http_error"], ["no_image"]]
    assert is_about(opened(kept(cover) or b"").getpixel((9, 9)), RED)
    assert not covers.is_to_be_asked_for(cover)
    assert fetched(cover) == ["ok"]
    assert is_about(opened(kept(cover) or b"").getpixel((9, 9)), BLUE)


@pytest.mark.usefixtures("undecoded")
def test_a_disk_that_takes_nothing_costs_no_other_cover(
    origin: Origin, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    origin.otherwise(answer(b"whatever"))
    (home / "covers").write_text("no directory")
    assert fetched(*(cover_at(origin.url(f"/{number}")) for number in range(2))) == ["not_written"] * 2
    assert "cannot be written" in caplog.text
    assert "127.0.0.1" not in caplog.text


def test_a_picture_of_more_than_12_mib_is_not_fetched(origin: Origin) -> None:
    origin.on("/c", answer(picture() + b"\0" * cover_fetching.MOST_BYTES))
    assert fetched(cover_at(origin.url("/c"))) == ["too_large"]


@pytest.fixture
def undecoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not decode pictures: store 80,000 bytes for each size, whatever is received."""
    monkeypatch.setattr(cover_fetching, "thumbnails", lambda data, sizes: dict.fromkeys(sizes, b"x" * 80_000))


@pytest.mark.usefixtures("undecoded")
def test_what_was_not_shown_for_longest_goes_first(origin: Origin, settings: Settings, home: Path) -> None:
    origin.otherwise(answer(picture()))
    all_covers = [cover_at(origin.url(f"/{number}")) for number in range(4)]
    now = time.time()
    for place, cover in enumerate(all_covers):
        assert fetched(cover) == ["ok"]
        os.utime(cover.validators, (now - (10 - place) * DAY, now - (10 - place) * DAY))
    covers.read(all_covers[0], 96, now)
    size = sum(file.stat().st_size for file in all_covers[0].validators.parent.iterdir())
    assert cover_fetching.make_room(2 * size + 100) == 2
    assert [kept(cover) is not None for cover in all_covers] == [True, False, False, True]
    assert cover_fetching.make_room(0) == 2
    assert not any(file.is_file() for file in (home / "covers").rglob("*"))


@pytest.mark.usefixtures("undecoded")
def test_covers_take_no_more_than_they_may(origin: Origin, settings: Settings) -> None:
    settings.COVERS_MAX_MB = 1
    origin.otherwise(answer(b"whatever"))
    for number in range(12):
        fetched(cover_at(origin.url(f"/{number}")))
        assert sum(size for _, size, _ in cover_fetching.stored()) <= 1024 * 1024


@pytest.mark.usefixtures("undecoded")
def test_one_host_is_asked_for_two_at_a_time_while_others_go_on(settings: Settings) -> None:
    with Origin("0.0.0.0") as many, allowed(settings, many):
        many.otherwise(answer(b"whatever", delay=0.02))
        hosts = ["127.0.0.1"] * 8 + ["127.0.0.2"] * 3
        ended = fetched(*(cover_at(many.url(f"/{place}", host=host)) for place, host in enumerate(hosts)))
        assert ended == ["ok"] * 11
        assert many.busiest == {"127.0.0.1": 2, "127.0.0.2": 2}
        assert many.asked("/8")[0].at < many.asked("/7")[0].at


@pytest.mark.usefixtures("undecoded")
def test_what_a_worker_that_stops_was_at_is_fetched_by_the_next_one(
    origin: Origin, settings: Settings
) -> None:
    origin.otherwise(hang())
    all_covers = [cover_at(origin.url(f"/{number}")) for number in range(4)]
    for cover in all_covers:
        want(cover.name)
    began = time.monotonic()
    assert not refresh_wanted(stop=lambda: len(origin.requests) == 2)
    assert time.monotonic() - began < 5
    with redis.Redis.from_url(settings.REDIS_URL) as server:
        names = {name.decode() for name in server.lrange(WANTED, 0, -1)}
    assert names == {cover.name for cover in all_covers}
    origin.otherwise(answer(b"whatever"))
    assert refresh_wanted() == {"ok": 4}


@pytest.mark.usefixtures("undecoded")
def test_while_one_worker_is_at_it_another_has_nothing_to_do(origin: Origin) -> None:
    others = []

    async def answered_beside_another_worker(exchange: Exchange) -> None:
        others.append(await asyncio.to_thread(refresh_wanted))
        await answer(b"whatever")(exchange)

    origin.otherwise(answered_beside_another_worker)
    assert fetched(*(cover_at(origin.url(f"/{number}")) for number in range(4))) == ["ok"] * 4
    assert others == [{}] * 4


@given(st.text(max_size=30), st.text(max_size=40))
def test_whatever_the_title_a_drawing_is_valid_and_holds_two_letters_at_most(title: str, key: str) -> None:
    design = (
        unquote(covers.generated_path(title, key)).removeprefix("/covers/generated/").removesuffix(".svg")
    )
    svg = covers.drawing(design)
    assert svg is not None
    root = etree.fromstring(svg)
    text = root.findtext("{*}text") or ""
    assert len(text) <= 2
    assert text.isalnum() or not text


def test_what_is_no_drawing_is_none() -> None:
    bad = ["", "-", "x-AB", "360-AB", "-1-AB", "12-ABC", "12-<A", "12-&", "9" * 5_000 + "-A", "²-A"]
    assert [design for design in bad if covers.drawing(design) is not None] == []
