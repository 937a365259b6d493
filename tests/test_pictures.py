"""The pictures in the README, and the invented podcasts that they show."""

import io
import re
from datetime import UTC, datetime

from PIL import Image

from examples import screenshots, shows
from tests.feeds.reading import read_all
from tests.translations import ROOT


def test_the_readme_shows_small_pictures_in_light_and_dark() -> None:
    named = set(re.findall(r"docs/pictures/([\w-]+\.webp)", (ROOT / "README.md").read_text()))
    assert named == {f"{name}-{scheme}.webp" for name in ("desktop", "phone") for scheme in ("light", "dark")}
    for name in named:
        file = screenshots.PICTURES / name
        assert file.stat().st_size <= screenshots.LARGEST, name
        with Image.open(file) as image:
            assert image.format == "WEBP", name
    assert {file.name for file in screenshots.PICTURES.iterdir()} == named


def test_the_invented_podcasts_are_feeds_with_covers_of_their_own() -> None:
    now, drawn = datetime(2026, 11, 20, 12, 0, tzinfo=UTC), set()
    for show in shows.SHOWS:
        read, episodes = read_all(shows.document(show, "http://127.0.0.1:1", now).encode())
        assert (read.channel.title, read.channel.author) == (show.title, show.author)
        assert [episode.title for episode in episodes] == list(show.episodes)
        with Image.open(io.BytesIO(shows.cover(show))) as image:
            assert image.size == (shows.SIDE, shows.SIDE)
            drawn.add(image.tobytes())
    assert len(drawn) == len(shows.SHOWS)
